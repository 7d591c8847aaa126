"""What do hot streams cost? Many callers on one stream, and orders for ten SKUs, through their process manager.

The limit is the same work on streams of their own: at least half of that rate has to remain.
"""

import time
from collections.abc import Iterator, Sequence
from typing import Final

import uvloop

from benchmarks import shop_events, workers
from benchmarks.append import PREPARED_PER_S, appended
from benchmarks.laboratory import Laboratory
from benchmarks.measuring import alternating
from benchmarks.shop_events import Happened
from benchmarks.table import Goal, Row
from domain.ids import OrderId, Sku
from domain.money import UnitPrice
from domain.ordering import order as orders
from domain.ordering.lines import LineRequest
from event_store.log import reading
from runtime import database

NAME: Final = "append-hot"
CALLERS: Final = 64
HOT_CODES: Final = 10
COLD_CODES: Final = 4_000
ORDERS: Final = 6_000
LINES: Final = 5
WAIT_S_MAX: Final = 180.0
POLL_S: Final = 0.02
GOALS: Final = (Goal("ratio_to_limit", at_least=0.5),)

_DONE: Final = """
select (select count(*) from log.outcome) - %(before)s
"""


def rows(laboratory: Laboratory) -> Iterator[Row]:
    """One row for callers that append themselves, one for the process manager."""
    found = alternating(
        {
            "hot": lambda: _appended(laboratory, stream="stock-hot"),
            "cold": lambda: _appended(laboratory, stream=None),
        },
        rounds=laboratory.size.rounds,
    )
    yield Row(
        name=NAME,
        case=f"{CALLERS} callers, one stream, any version",
        unit="appends/s",
        ours=found["hot"],
        limit=found["cold"],
        limit_name="each on a stream of its own",
        goals=GOALS,
    )
    found = alternating(
        {
            "hot": lambda: _decided(laboratory, codes=HOT_CODES),
            "cold": lambda: _decided(laboratory, codes=laboratory.size.count(COLD_CODES, tiny=100)),
        },
        rounds=laboratory.size.rounds,
    )
    yield Row(
        name=NAME,
        case=f"process manager, {LINES}-line orders, {HOT_CODES} stock streams",
        unit="stock events/s",
        ours=found["hot"],
        limit=found["cold"],
        limit_name=f"{COLD_CODES} stock streams",
        goals=GOALS,
    )


def _appended(laboratory: Laboratory, *, stream: str | None) -> float:
    seconds = laboratory.size.seconds
    with laboratory.database() as url:
        requests = [shop_events.single(stream) for _ in range(int(seconds * PREPARED_PER_S))]
        return uvloop.run(appended(url, requests, callers=CALLERS, seconds=seconds))[0]


def _decided(laboratory: Laboratory, *, codes: int) -> float:
    """Stock events a second that fulfilment decides and appends, for orders that wait."""
    count = laboratory.size.count(ORDERS, tiny=200)
    with laboratory.database() as url:
        workers.register(url)
        filled = shop_events.fill(url, _waiting_orders(count, codes=codes))
        assert filled
        with (
            database.connect(url, role="counterfoil_reader", name="benchmark") as connection,
            workers.processes(url),
        ):
            row = connection.execute("select count(*) from log.outcome").fetchone()
            assert row is not None
            before, first = int(row[0]), 0
            began = time.perf_counter()
            while (done := _done(connection, before)) < count:
                if not first and done:
                    first, began = done, time.perf_counter()
                assert time.perf_counter() - began < WAIT_S_MAX, f"fulfilment decided {done} of {count}"
                time.sleep(POLL_S)
            return (count - first) * LINES / (time.perf_counter() - began)


def _done(connection: reading.Connection, before: int) -> int:
    row = connection.execute(_DONE, {"before": before}).fetchone()
    assert row is not None
    return int(row[0])


def _waiting_orders(count: int, *, codes: int) -> Iterator[Happened]:
    yield from shop_events.deliveries(codes)
    for number in range(count):
        order_id = OrderId(f"order {number}")
        skus = _drawn(number, codes)
        lines = [LineRequest(sku=sku, quantity=1, unit_price=UnitPrice("2.55"), stocked=True) for sku in skus]
        (placed,) = orders.place(
            None,
            order_id=order_id,
            customer_id=None,
            placed_at=shop_events.NOW,
            country="United Kingdom",
            currency=shop_events.GBP,
            lines=lines,
        )
        yield orders.ORDER.stream(order_id), placed


def _drawn(number: int, codes: int) -> Sequence[Sku]:
    """Five codes, neighbours on a ring, so that all are drawn equally often."""
    return [Sku(shop_events.code((number * LINES + line) % codes)) for line in range(LINES)]
