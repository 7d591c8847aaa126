"""What a log may not say, found by a fold of the checker's own: it shares no rule with the product."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from counterfoil.testing.memory import MemoryLog
from domain.event import Event
from domain.ids import OrderId
from domain.inventory.events import (
    StockAdjusted,
    StockReceived,
    StockReleased,
    StockReserved,
    StockReturned,
    StockShipped,
)
from domain.ordering.events import (
    CreditLine,
    CreditNoteIssued,
    OrderCancelled,
    OrderConfirmed,
    OrderLine,
    OrderPlaced,
    OrderRejected,
    OrderShipped,
)
from event_store.log import codec

Sums = dict[tuple[str, str, str], int]
"""Pieces by (what happened to them, order or note, code)."""

DECISIONS = {OrderConfirmed: "confirmed", OrderRejected: "rejected", OrderCancelled: "cancelled"}
LAWFUL = (["confirmed"], ["rejected"], ["cancelled"], ["confirmed", "cancelled"])


def check(log: MemoryLog) -> list[str]:
    """What the log says that must not be, by a fold of the checker's own."""
    events = [(event.position, codec.decode(event.type, event.payload)) for event in log.events]
    return [*_stock_problems(events), *_order_problems([event for _, event in events])]


def _stock_problems(events: Iterable[tuple[int, Event]]) -> list[str]:
    problems: list[str] = []
    on_hand: dict[str, int] = defaultdict(int)
    reserved: dict[str, int] = defaultdict(int)
    for position, event in events:
        match event:
            case StockReceived() | StockReturned():
                on_hand[event.sku] += event.quantity
            case StockAdjusted():
                on_hand[event.sku] += event.delta
            case StockReserved():
                reserved[event.sku] += event.quantity
            case StockReleased():
                reserved[event.sku] -= event.quantity
            case StockShipped():
                on_hand[event.sku] -= event.quantity
                reserved[event.sku] -= event.quantity
            case OrderRejected():
                for shortage in event.missing:
                    available = on_hand[shortage.sku] - reserved[shortage.sku]
                    if available != shortage.available or available >= shortage.requested:
                        problems.append(
                            f"{position} rejects for want of {shortage.sku}, of which there are {available}"
                        )
            case _:
                continue
        problems.extend(
            f"{position} oversells {sku}: {reserved[sku]} of {on_hand[sku]}"
            for sku in sorted({*on_hand, *reserved})
            if not 0 <= reserved[sku] <= on_hand[sku]
        )
    return problems


def _order_problems(events: Sequence[Event]) -> list[str]:
    """Each order and note moved exactly the stock it should have, once."""
    demand = {event.order_id: _per_sku(event.lines) for event in events if isinstance(event, OrderPlaced)}
    wanted: Sums = defaultdict(int)
    moved: Sums = defaultdict(int)
    decided: dict[str, list[str]] = defaultdict(list)
    for event in events:
        _note_wanted(event, demand, wanted)
        _note_moved(event, moved)
        if (name := DECISIONS.get(type(event))) is not None:
            decided[event.order_id].append(name)  # type: ignore[attr-defined]
    problems = [
        f"{key} moved {moved[key]}, not {wanted[key]}"
        for key in sorted({*wanted, *moved})
        if moved[key] != wanted[key]
    ]
    problems.extend(f"order {each} went {decided[each]}" for each in demand if decided[each] not in LAWFUL)
    return problems


def _note_wanted(event: Event, demand: dict[OrderId, dict[str, int]], wanted: Sums) -> None:
    match event:
        case OrderConfirmed():
            _add(wanted, "reserved", event.order_id, demand[event.order_id])
        case OrderCancelled() if event.was_confirmed:
            _add(wanted, "released", event.order_id, demand[event.order_id])
        case OrderShipped():
            _add(wanted, "shipped", event.order_id, demand[event.order_id])
        case CreditNoteIssued():
            _add(wanted, "returned", event.credit_note_id, _per_sku(event.lines))


def _note_moved(event: Event, moved: Sums) -> None:
    match event:
        case StockReserved():
            _add(moved, "reserved", event.order_id, {event.sku: event.quantity})
        case StockReleased():
            _add(moved, "released", event.order_id, {event.sku: event.quantity})
        case StockShipped():
            _add(moved, "shipped", event.order_id, {event.sku: event.quantity})
        case StockReturned():
            _add(moved, "returned", event.credit_note_id, {event.sku: event.quantity})


def _per_sku(lines: Iterable[OrderLine | CreditLine]) -> dict[str, int]:
    units: dict[str, int] = defaultdict(int)
    for line in lines:
        if line.stocked:
            units[line.sku] += line.quantity
    return units


def _add(sums: Sums, kind: str, owner: str, units: dict[str, int]) -> None:
    for sku, quantity in units.items():
        sums[kind, owner, sku] += quantity
