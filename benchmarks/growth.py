"""Do appends and keyed reads stay as fast when the log grows from a hundred thousand events to millions?

Two databases of one server, measured in turns: the 99th percentile of appends of 64 callers, and of reads of one
order's row by key through the query API, without cache.
"""

from collections.abc import Iterator
from typing import Final

import uvloop

from benchmarks import shop_events, workers
from benchmarks.append import appended
from benchmarks.command import load
from benchmarks.laboratory import Laboratory
from benchmarks.measuring import alternating, percentile
from benchmarks.table import Goal, Row
from devservers import child
from projections import builds, rebuild
from projections.ordering.views import order_details
from runtime import database

NAME: Final = "growth"
SMALL_EVENTS: Final = 100_000
CALLERS: Final = 64
READERS: Final = 16
REQUESTS_PER_S: Final = 40_000
GOALS: Final = (Goal("ratio_to_limit", at_most=1.3),)


def rows(laboratory: Laboratory) -> Iterator[Row]:
    """One row for appends, one for reads."""
    size = laboratory.size
    counts = size.count(SMALL_EVENTS, tiny=1_000), size.growth_events
    with laboratory.database() as small, laboratory.database() as large:
        orders = [filled(url, events) for url, events in zip((small, large), counts, strict=True)]
        appends = alternating(
            {
                "limit": lambda: _append_p99(laboratory, small),
                "ours": lambda: _append_p99(laboratory, large),
            },
            rounds=size.rounds,
        )
        reads = alternating(
            {
                "limit": lambda: _read_p99(laboratory, small, orders=orders[0]),
                "ours": lambda: _read_p99(laboratory, large, orders=orders[1]),
            },
            rounds=size.rounds,
        )
    for found, what in (
        (appends, f"p99 of appends, {CALLERS} callers"),
        (reads, f"p99 of reading an order by key from SQL, {READERS} connections"),
    ):
        yield Row(
            name=NAME,
            case=f"{what}, {counts[1]:,} events",
            unit="ms",
            ours=found["ours"],
            limit=found["limit"],
            limit_name=f"the same at {counts[0]:,} events",
            goals=GOALS,
        )


def filled(url: str, events: int) -> int:
    """Fill a log and the view of orders; how many orders there are."""
    shop_events.fill(url, shop_events.history(events))
    workers.settle(url)
    with database.connect(url, role="counterfoil_projector", name="benchmark") as connection:
        builds.ensure_builds(connection, [order_details])
    for _ in rebuild.rebuild(url, order_details):
        pass
    rebuild.promote(url, order_details)
    with database.connect(url, role=None, name="benchmark") as connection:
        connection.execute("vacuum analyze")
        connection.execute("checkpoint")
    return shop_events.orders_in(events)


def _append_p99(laboratory: Laboratory, url: str) -> float:
    seconds = laboratory.size.seconds
    requests = [shop_events.single() for _ in range(int(seconds * REQUESTS_PER_S))]
    _, took = uvloop.run(appended(url, requests, callers=CALLERS, seconds=seconds))
    return percentile(took, 0.99) * 1000


def _read_p99(laboratory: Laboratory, url: str, *, orders: int) -> float:
    port = child.free_port()
    environment = {
        "COUNTERFOIL_DATABASE_URL": url,
        "COUNTERFOIL_QUERY_API_PORT": str(port),
        "COUNTERFOIL_HOME": str(laboratory.directory / "nowhere"),
    }
    with laboratory.http(["counterfoil", "query-api"], port=port, environment=environment):
        return load(laboratory, "order", port, orders=orders, connections=READERS).p99_ms
