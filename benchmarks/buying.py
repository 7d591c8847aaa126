"""How many buyers can a shop serve that browse, fill a cart, check out and pay, and is nothing sold that is not there?

A standalone shop whose payments go to a simulated provider in a process of its own. Each buyer asks for the next thing
as soon as the last is answered: pages of products, a cart of two items, the checkout, the order and its payment. One of
the two items is one of few: most who want it do not get it. When all orders are decided, a checker of this module
folds the log: no unit is promised that is not there, and no payment is asked for twice or not at all.
"""

import asyncio
import contextlib
import itertools
import random
import secrets
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import msgspec
import uvloop

from benchmarks import http_client, shop_events
from benchmarks.http_client import Answer, Connection
from benchmarks.laboratory import Laboratory
from benchmarks.measuring import median_of, percentile
from benchmarks.table import Row
from counterfoil.runfile import Running
from devservers import child
from domain.inventory.events import (
    StockAdjusted,
    StockReceived,
    StockReleased,
    StockReserved,
    StockReturned,
)
from event_store.log import codec, reading
from runtime import database

NAME: Final = "buying"
BUYERS: Final = 16
PRODUCTS: Final = 50
UNITS: Final = 100_000
SCARCE: Final = 20
"""Products of which there are a few only."""
FEW: Final = 10
PAGES: Final = 4
"""Products that a buyer looks at."""
SECONDS: Final = 15.0
TINY_SECONDS: Final = 1.0
DECIDED_S_MAX: Final = 300.0
DECIDED_POLL_S: Final = 0.2
SHOWN_S_MAX: Final = 300.0
WAITS: Final = "Prefer: wait=10"
CREATED: Final = 201
OK: Final = 200
STALE: Final = 503
NOT_PAYABLE: Final = b'"order-not-payable"'
READY_S_MAX: Final = 240.0
STOP_S_MAX: Final = 10.0
STEPS: Final = ("browse", "cart", "checkout", "pay")


def rows(laboratory: Laboratory) -> Iterator[Row]:
    """Purchases a second, then how long a request of each step takes."""
    tiny = laboratory.size.tiny
    with _shop(laboratory) as running:
        uvloop.run(_opened(running))
        runs = [
            uvloop.run(_bought(running, seconds=TINY_SECONDS if tiny else SECONDS))
            for _ in range(laboratory.size.rounds)
        ]
        note = _checked(running, paid=not tiny)
    found = median_of(runs)
    case = f"standalone, {BUYERS} buyers who browse, fill a cart, check out and pay"
    yield Row(name=NAME, case=case, unit="purchases/s", ours=found["rate"], note=note)
    for step in STEPS:
        yield Row(name=NAME, case=f"p99 of a request to {step}", unit="ms", ours=found[step])


@contextlib.contextmanager
def _shop(laboratory: Laboratory) -> Iterator[Running]:
    """A shop with a provider; at tiny size the one that all share, which has none: payments are only asked for."""
    if laboratory.size.tiny:
        with laboratory.shop(distributed=True) as running:
            yield running
        return
    with _provider(laboratory) as url, laboratory.shop(distributed=False, payment_url=url) as running:
        yield running


@contextlib.contextmanager
def _provider(laboratory: Laboratory) -> Iterator[str]:
    """The address of a payment provider with a ledger of its own."""
    port, ledger = child.free_port(), laboratory.directory / "payments.ledger"
    given = ["simulate", "payments", "--ledger", str(ledger), "--port", str(port)]
    process = laboratory.launched([sys.executable, "-P", "-m", "counterfoil", *given], name="payments")
    try:
        process.wait_until(lambda: not child.is_free(port), timeout_s=READY_S_MAX)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.stop(timeout_s=STOP_S_MAX)


async def _opened(running: Running) -> None:
    """Products with stock, through the command API, until every one of their pages is shown."""
    commands = await Connection.open("127.0.0.1", http_client.port_of(running.addresses.command_api))
    shown_from: dict[str, str] = {}
    for number in range(PRODUCTS):
        sku, quantity = _sku(number), FEW if number < SCARCE else UNITS
        product = {"sku": sku, "title": sku, "stocked": True, "unit_price": "2.55", "currency": "GBP"}
        created = await commands.ask(_post("/v1/products", product))
        assert created.status == CREATED, created
        assert created.position is not None, created
        shown_from[sku] = created.position.decode()
        received = await commands.ask(_post(f"/v1/stock/{sku}/receipts", {"quantity": quantity}))
        assert received.status == CREATED, received
    commands.close()
    queries = await Connection.open("127.0.0.1", http_client.port_of(running.addresses.query_api))
    give_up = time.monotonic() + SHOWN_S_MAX
    for sku, position in shown_from.items():
        # Each by the position of its own creation: a position names what its command wrote, nothing before it.
        asking = http_client.get(f"/v1/products/{sku}", f"Min-Position: {position}", WAITS)
        while (page := await queries.ask(asking)).status != OK:
            assert page.status == STALE, page
            assert time.monotonic() < give_up, page
    queries.close()


async def _bought(running: Running, *, seconds: float) -> dict[str, float]:
    """What buyers found: purchases a second, and milliseconds of the slowest hundredth of each step."""
    took: dict[str, list[float]] = defaultdict(list)
    names = (f"{secrets.token_hex(4)}-{number}" for number in itertools.count())

    async def buys(buyer: "_Buyer") -> int:
        count = 0
        while time.perf_counter() < end:
            await buyer.buy(next(names))
            count += 1
        buyer.close()
        return count

    buyers = [await _Buyer.of(running, took, seed=number) for number in range(BUYERS)]
    began = time.perf_counter()
    end = began + seconds  # not before they are connected: each buys once at least, also on a busy machine
    count = sum(await asyncio.gather(*map(buys, buyers)))
    rate = count / (time.perf_counter() - began)
    return {"rate": rate, **{step: percentile(sorted(took[step]), 0.99) * 1000 for step in STEPS}}


class _Buyer:
    """One who buys again and again, over a connection to each API."""

    def __init__(
        self, commands: Connection, queries: Connection, took: Mapping[str, list[float]], *, seed: int
    ) -> None:
        self._commands = commands
        self._queries = queries
        self._took = took
        self._chance = random.Random(shop_events.SEED + seed)

    @classmethod
    async def of(cls, running: Running, took: Mapping[str, list[float]], *, seed: int) -> "_Buyer":
        commands, queries = running.addresses.command_api, running.addresses.query_api
        return cls(
            await Connection.open("127.0.0.1", http_client.port_of(commands)),
            await Connection.open("127.0.0.1", http_client.port_of(queries)),
            took,
            seed=seed,
        )

    async def buy(self, name: str) -> None:
        """Look around, fill a cart, check out and pay; a cart, a checkout and a payment for each name."""
        pages = self._chance.sample(range(PRODUCTS), PAGES)
        for number in pages:
            await self._get("browse", f"/v1/products/{_sku(number)}")
        cart = f"/v1/carts/{name}"
        await self._post("cart", "/v1/carts", {"cart_id": name, "currency": "GBP"})
        for number in (self._chance.randrange(SCARCE), self._chance.randrange(SCARCE, PRODUCTS)):
            await self._post("cart", f"{cart}/items", {"sku": _sku(number), "quantity": 1})
        frozen = await self._post("checkout", f"{cart}/checkout", {"country": "United Kingdom"})
        assert frozen.position is not None, frozen
        shown = await self._get("checkout", cart, f"Min-Position: {frozen.position.decode()}", WAITS)
        checkout = msgspec.json.decode(shown.body)["checkout"]
        await self._post("checkout", f"{cart}/order", {"checkout_id": checkout["checkout_id"]})
        paid = {"payment_id": name, "order_id": checkout["order_id"], "method_ref": "pm_visa"}
        answer = await self._timed("pay", self._commands, _post("/v1/payments", paid))
        if NOT_PAYABLE in answer.body:  # rejected by now: others were faster
            return
        assert answer.status == CREATED, answer
        await self._post("pay", f"/v1/payments/{name}/authorisation", {})

    def close(self) -> None:
        """Hang up."""
        self._commands.close()
        self._queries.close()

    async def _get(self, step: str, path: str, *headers: str) -> Answer:
        answer = await self._timed(step, self._queries, http_client.get(path, *headers))
        assert answer.status == OK, answer
        return answer

    async def _post(self, step: str, path: str, body: object) -> Answer:
        answer = await self._timed(step, self._commands, _post(path, body))
        assert answer.status == CREATED, answer
        return answer

    async def _timed(self, step: str, connection: Connection, request: bytes) -> Answer:
        began = time.perf_counter()
        answer = await connection.ask(request)
        self._took[step].append(time.perf_counter() - began)
        return answer


def _sku(number: int) -> str:
    return f"{NAME}-{number}"


def _post(path: str, body: object) -> bytes:
    key = f"Idempotency-Key: {secrets.token_hex(8)}"
    return http_client.post(path, msgspec.json.encode(body), key)


def _checked(running: Running, *, paid: bool) -> str:
    """Wait until every order is decided and every payment has its outcome (`paid`), and say what became of them.

    Raises:
        AssertionError: units were promised that are not there, or an order or a payment has not one outcome.
    """
    assert running.addresses.database_url is not None
    with database.connect(running.addresses.database_url, role="counterfoil_reader", name=NAME) as connection:
        give_up = time.monotonic() + DECIDED_S_MAX
        while undecided := _undecided(counts := _counts(connection), paid=paid):
            assert time.monotonic() < give_up, f"after {DECIDED_S_MAX} s {undecided} are not decided"
            time.sleep(DECIDED_POLL_S)
        require_nothing_oversold(
            codec.decode(event.type, event.payload)
            for event in reading.copy_log(connection)
            if event.stream.startswith("stock-")
        )
    return (
        f"{counts['order_placed']:,} orders: {counts['order_confirmed']:,} confirmed, {counts['order_rejected']:,}"
        f" rejected; {counts['payment_authorised']:,} payments authorised; nothing oversold"
    )


def _counts(connection: reading.Connection) -> Counter[str]:
    """Events of the log by their name, without context and version."""
    found: Counter[str] = Counter()
    for name, count in connection.execute("select type, count(*) from log.event group by type"):
        found[str(name).split(".")[1]] += int(count)
    return found


def _undecided(counts: Counter[str], *, paid: bool) -> int:
    """Orders and payments without an outcome."""
    orders = counts["order_placed"] - counts["order_confirmed"] - counts["order_rejected"]
    payments = counts["payment_created"] - counts["payment_authorised"]
    return orders + payments if paid else orders


def require_nothing_oversold(events: Iterable[object]) -> None:
    """Fold what happened to stock, in order.

    Raises:
        AssertionError: more was promised than was there.
    """
    left: dict[str, int] = defaultdict(int)
    for event in events:
        match event:
            case StockReceived() | StockReturned() | StockReleased():
                left[event.sku] += event.quantity
            case StockReserved():
                left[event.sku] -= event.quantity
                assert left[event.sku] >= 0, f"{-left[event.sku]} more of {event.sku} promised than there are"
            case StockAdjusted():
                left[event.sku] += event.delta
