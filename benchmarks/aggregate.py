# ruff: noqa: ARG002 - the library takes an event's attributes from the parameters of its method
"""What would a domain of library aggregates cost? The same events through `eventsourcing`'s Aggregate and folds.

Rebuilding a stock item of 1,000 movements, and an OrderPlaced of five lines to JSON and back. No database: only what
the processor does. Ratios taken in one run hold; absolute figures belong to the machine that printed them.
"""

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from importlib.metadata import version
from uuid import UUID, uuid4

import msgspec
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import Mapper

from domain.event import Event
from domain.ids import CustomerId, OrderId, Sku
from domain.inventory import stock_item
from domain.money import Currency, Minor, UnitPrice
from domain.ordering.events import ROUNDED_BY_LINE, OrderLine, OrderPlaced
from event_store.log import codec

MOVEMENTS = 1_000
LINES = 5
ROUNDS = 5
SECONDS_PER_ROUND = 0.4
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


class LibraryStock(Aggregate):
    """The stock item as the library's documentation would write it."""

    @event("Created")
    def __init__(self, sku: str) -> None:
        self.sku = sku
        self.on_hand = 0
        self.reserved = 0

    @event("Received")
    def receive(self, quantity: int, reference: str) -> None:
        self.on_hand += quantity

    @event("Reserved")
    def reserve(self, quantity: int, order_id: str) -> None:
        self.reserved += quantity


class LibraryOrder(Aggregate):
    """An order whose first event carries its lines."""

    @event("Placed")
    def __init__(  # the events of OrderPlaced
        self,
        order_id: str,
        customer_id: str,
        placed_at: datetime,
        country: str,
        currency: str,
        lines: list[dict[str, object]],
        total: Decimal,
    ) -> None:
        self.order_id = order_id


def best(work: Callable[[], object], *, things: int) -> float:
    """Microseconds per thing, of the best round."""
    fastest = float("inf")
    for _ in range(ROUNDS):
        runs, started = 0, time.perf_counter()
        while (spent := time.perf_counter() - started) < SECONDS_PER_ROUND:
            work()
            runs += 1
        fastest = min(fastest, spent / runs / things * 1_000_000)
    return fastest


def library_movements() -> list[object]:
    stock = LibraryStock(sku="85123A")
    for number in range(MOVEMENTS // 2):
        stock.receive(quantity=2, reference=f"delivery {number}")
        stock.reserve(quantity=1, order_id=f"order {number}")
    return list(stock.collect_events())


def our_movements() -> list[Event]:
    sku, item, events = Sku("85123A"), None, list[Event]()
    for number in range(MOVEMENTS // 2):
        decided = stock_item.receive(item, sku=sku, quantity=2, reference=f"delivery {number}", now=NOW)
        item = stock_item.evolve(item, decided[0])
        decided += stock_item.reserve(item, sku=sku, order_id=OrderId(f"order {number}"), quantity=1, now=NOW)
        item = stock_item.evolve(item, decided[1])
        events += decided
    return events


def rebuilt_by_library(events: list[object]) -> object:
    stock = None
    for each in events:
        stock = each.mutate(stock)  # type: ignore[attr-defined]  # every event of an Aggregate has it
    return stock


def folded(events: list[Event]) -> object:
    item = None
    for each in events:
        item = stock_item.evolve(item, each)
    return item


def order_of_ours() -> OrderPlaced:
    lines = tuple(
        OrderLine(
            line_id=number,
            sku=Sku(str(uuid4())),
            quantity=3,
            unit_price=UnitPrice("2.55"),
            total=Minor(765),
            stocked=True,
        )
        for number in range(1, LINES + 1)
    )
    return OrderPlaced(
        order_id=OrderId(str(uuid4())),
        customer_id=CustomerId(str(uuid4())),
        contact=None,
        placed_at=NOW,
        country="United Kingdom",
        currency=Currency("GBP"),
        lines=lines,
        total=Minor(765 * LINES),
        rounding=ROUNDED_BY_LINE,
        payment=None,
    )


def order_of_library(order: OrderPlaced) -> object:
    lines: list[dict[str, object]] = [
        {
            "line_id": line.line_id,
            "sku": UUID(line.sku),
            "quantity": line.quantity,
            "unit_price": Decimal("2.55"),
            "total": Decimal("7.65"),
            "stocked": line.stocked,
        }
        for line in order.lines
    ]
    placed = LibraryOrder(
        order_id=order.order_id,
        customer_id=str(order.customer_id),
        placed_at=order.placed_at,
        country=order.country,
        currency=order.currency,
        lines=lines,
        total=Decimal("38.25"),
    )
    return placed.collect_events()[0]


def main() -> None:
    mapper: Mapper[UUID] = Application[UUID]().mapper
    theirs, ours = library_movements(), our_movements()
    stored_theirs = [mapper.to_stored_event(each) for each in theirs]  # type: ignore[arg-type]
    stored_ours = [codec.encode(event) for event in ours]
    order = order_of_ours()
    placed = order_of_library(order)
    stored_placed = mapper.to_stored_event(placed)  # type: ignore[arg-type]
    type_name, payload = codec.encode(order)

    measured = {
        "evolve a state, per event": (
            best(lambda: rebuilt_by_library(theirs), things=len(theirs)),
            best(lambda: folded(ours), things=len(ours)),
        ),
        "read and evolve, per event": (
            best(
                lambda: rebuilt_by_library([mapper.to_domain_event(each) for each in stored_theirs]),
                things=len(stored_theirs),
            ),
            best(
                lambda: folded([codec.decode(name, stored) for name, stored in stored_ours]),
                things=len(stored_ours),
            ),
        ),
        "write an order of five lines": (
            best(lambda: mapper.to_stored_event(placed), things=1),  # type: ignore[arg-type]
            best(lambda: codec.encode(order), things=1),
        ),
        "read an order of five lines": (
            best(lambda: mapper.to_domain_event(stored_placed), things=1),
            best(lambda: codec.decode(type_name, payload), things=1),
        ),
    }
    print(
        f"Python {sys.version.split()[0]}, eventsourcing {version('eventsourcing')}, msgspec {msgspec.__version__}"
    )
    print(f"{'microseconds, best of ' + str(ROUNDS):<34}{'library':>10}{'here':>10}{'ratio':>8}")
    for what, (library, here) in measured.items():
        print(f"{what:<34}{library:>10.2f}{here:>10.2f}{library / here:>8.0f}")
    sizes = len(stored_placed.state), len(payload)
    print(f"{'bytes of that order':<34}{sizes[0]:>10}{sizes[1]:>10}{sizes[0] / sizes[1]:>8.1f}")


if __name__ == "__main__":
    main()
