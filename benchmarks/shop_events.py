"""What is appended and replayed: the events of a shop, made by its own decisions, the same for every contestant."""

import asyncio
import random
import secrets
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

import uvloop
from msgspec import Struct

from domain.event import Event
from domain.ids import CustomerId, OrderId, Sku
from domain.inventory import stock_item
from domain.inventory.events import StockReserved
from domain.money import Currency, UnitPrice
from domain.ordering import order as orders
from domain.ordering.lines import LineRequest
from event_store.log import codec
from event_store.log.appending.writer import Writer
from event_store.log.envelope import (
    ANY,
    NEW,
    Accepted,
    AppendRequest,
    Expectation,
    Metadata,
    NewEvent,
    encode_metadata,
    new_nonce,
)

LINES: Final = 5
CODES: Final = 4_000
CUSTOMERS: Final = 5_000
EVENTS_PER_REQUEST: Final = 2_000
IN_FLIGHT: Final = 4
"""Large requests that wait for the log at once while it is filled."""
SEED: Final = 1869
NOW: Final = datetime(2026, 1, 31, 12, tzinfo=UTC)
GBP: Final = Currency("GBP")
PIECES: Final = 1_000_000_000

Happened = tuple[str, Event]
"""A stream and what happened on it."""


class Shape(Struct, frozen=True):
    """What one event of a benchmark holds: type name, payload and metadata bytes."""

    type: str
    payload: bytes
    metadata: bytes


def metadata(command: str) -> bytes:
    """Metadata as the command API writes it."""
    return encode_metadata(
        Metadata(actor="anonymous", command=command, correlation_id=secrets.token_hex(16), nonce=new_nonce())
    )


def reservation(name: str) -> Shape:
    """One reservation of stock: the most frequent event of a shop."""
    event = StockReserved(sku=Sku(f"code-{name}"), order_id=OrderId(name), quantity=3, reserved_at=NOW)
    return Shape(*codec.encode(event), metadata("place_order"))


def single(stream: str | None = None) -> AppendRequest:
    """A request of one event, on a new stream of its own or on a given one at any version."""
    name = secrets.token_hex(8)
    shape = reservation(name)
    on = f"stock-code-{name}" if stream is None else stream
    return AppendRequest(
        key=secrets.token_bytes(16),
        fingerprint=secrets.token_bytes(32),
        events=(NewEvent(on, shape.type, shape.payload, shape.metadata),),
        expectations=(Expectation(on, NEW if stream is None else ANY),),
    )


def code(number: int) -> str:
    """The code of a product."""
    return f"{20_000 + number}A"


def deliveries(codes: int = CODES) -> Iterator[Happened]:
    """Every code comes into stock, in more pieces than can be sold."""
    for number in range(codes):
        sku = Sku(code(number))
        yield (
            f"stock-{sku}",
            stock_item.receive(None, sku=sku, quantity=10_000_000, reference="", now=NOW)[0],
        )


def order_life(number: int, chance: random.Random, *, codes: int = CODES) -> list[Happened]:
    """All that happens to one order of five lines: placed, reserved, confirmed, shipped. Thirteen events."""
    order_id = OrderId(f"order {number}")
    skus = [Sku(code(each)) for each in chance.sample(range(codes), LINES)]
    lines = [LineRequest(sku=sku, quantity=3, unit_price=UnitPrice("2.55"), stocked=True) for sku in skus]
    stream = orders.ORDER.stream(order_id)
    customer = CustomerId(f"{10_000 + chance.randrange(CUSTOMERS)}")
    (placed,) = orders.place(
        None,
        order_id=order_id,
        customer_id=customer,
        placed_at=NOW,
        country="United Kingdom",
        currency=GBP,
        lines=lines,
    )
    state = orders.evolve(None, placed)
    (confirmed,) = orders.confirm(state, order_id=order_id, now=NOW)
    (shipped,) = orders.ship(orders.evolve(state, confirmed), order_id=order_id, now=NOW)
    reserved = [
        stock_item.reserve(_full(sku), sku=sku, order_id=order_id, quantity=3, now=NOW) for sku in skus
    ]
    left = [stock_item.ship(_full(sku), sku=sku, order_id=order_id, quantity=3, now=NOW) for sku in skus]
    return [
        (stream, placed),
        *((f"stock-{sku}", event) for sku, (event,) in zip(skus, reserved, strict=True)),
        (stream, confirmed),
        (stream, shipped),
        *((f"stock-{sku}", event) for sku, (event,) in zip(skus, left, strict=True)),
    ]


FACTS_PER_ORDER: Final = 3 + 2 * LINES


def history(events: int, *, codes: int = CODES) -> Iterator[Happened]:
    """About so many events of a shop: deliveries, then the lives of orders."""
    codes = min(codes, max(LINES, events // 10))
    yield from deliveries(codes)
    chance = random.Random(SEED)
    for number in range(orders_in(events, codes=codes)):
        yield from order_life(number, chance, codes=codes)


def orders_in(events: int, *, codes: int = CODES) -> int:
    """How many orders there are in a history."""
    return max(1, (events - min(codes, max(LINES, events // 10))) // FACTS_PER_ORDER)


def fill(url: str, events: Iterable[Happened]) -> int:
    """Append events in large requests; how many there were."""
    return uvloop.run(_filled(url, events))


async def _filled(url: str, events: Iterable[Happened]) -> int:
    total = 0
    async with Writer.open(url, name="filling") as writer:
        waiting: set[asyncio.Future[object]] = set()
        for some in _chunks(events):
            total += len(some)
            waiting.add(asyncio.ensure_future(_accepted(writer, large(some))))
            if len(waiting) >= IN_FLIGHT:
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for each in done:
                    each.result()
        await asyncio.gather(*waiting)
    return total


async def _accepted(writer: Writer, request: AppendRequest) -> None:
    verdict = await writer.append(request)
    assert isinstance(verdict, Accepted), verdict


def large(events: Sequence[Happened]) -> AppendRequest:
    """One request for many events on streams at any version."""
    cause = metadata("fill")
    return AppendRequest(
        key=secrets.token_bytes(16),
        fingerprint=secrets.token_bytes(32),
        events=tuple(NewEvent(stream, *codec.encode(event), cause) for stream, event in events),
        expectations=tuple(
            Expectation(stream, ANY) for stream in dict.fromkeys(stream for stream, _ in events)
        ),
    )


def _chunks(events: Iterable[Happened]) -> Iterator[list[Happened]]:
    some: list[Happened] = []
    for event in events:
        some.append(event)
        if len(some) == EVENTS_PER_REQUEST:
            yield some
            some = []
    if some:
        yield some


def _full(sku: Sku) -> stock_item.StockItem:
    return stock_item.StockItem(sku, PIECES, PIECES // 2)
