"""Promising all stocked pieces of an order or none, and releasing them: for the process of orders."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from msgspec import Struct

from commands.decision import Appended, DecisionView, events_of
from domain.ids import LocationId, OrderId, Sku
from domain.inventory import stock_item
from domain.inventory.events import BackorderRecorded, ReleaseReason, StockReleased
from domain.inventory.locations import ALL, LOCATIONS, open_locations
from domain.inventory.stock_item import STOCK, StockItem
from domain.inventory.stock_refusals import InsufficientStock
from domain.ordering.events import ReleasedSku, Shortage, SkuTotal
from domain.ordering.order import Order


class Promised(Struct, frozen=True):
    """What an order gets of its demand: the events of stock, the pieces that it waits for, and all that is missing."""

    events: tuple[Appended, ...]
    waits_for: Mapping[Sku, int]
    missing: tuple[Shortage, ...]


def stocked(totals: Iterable[SkuTotal]) -> list[SkuTotal]:
    """Of these SKUs those that are kept in stock."""
    return [total for total in totals if total.stocked]


def promise_all(order: Order, view: DecisionView, now: datetime) -> Promised:
    """Promise every stocked SKU, summed over its lines: what is there, and the rest as far as it may be backordered.

    All of it is taken from one location if one has it, else each SKU from as few as there are.
    """
    demands = [(total, view.current(STOCK, total.sku)) for total in stocked(order.skus)]
    if not demands:
        return Promised((), {}, ())
    locations = _planned(demands, open_locations(view.current(LOCATIONS, ALL)))
    promised: list[Appended] = []
    waits_for: dict[Sku, int] = {}
    missing: list[Shortage] = []
    for total, item in demands:
        try:
            events = stock_item.promise(
                item,
                sku=total.sku,
                order_id=order.order_id,
                quantity=total.units,
                locations=locations,
                now=now,
            )
        except InsufficientStock as short:
            missing.append(Shortage(sku=total.sku, requested=total.units, available=short.available))
        else:
            promised.extend(events_of(STOCK, total.sku, events))
            waits_for.update(
                (each.sku, each.quantity) for each in events if isinstance(each, BackorderRecorded)
            )
    return Promised(tuple(promised), waits_for, tuple(missing))


def _planned(
    demands: Sequence[tuple[SkuTotal, StockItem | None]], locations: Sequence[LocationId]
) -> Sequence[LocationId]:
    """The locations in the order in which they are planned over: first the one that has all, if there is one."""
    for each in locations:
        if all(item is not None and item.at(each).available >= total.units for total, item in demands):
            return [each, *(other for other in locations if other != each)]
    return locations


def release_all(
    order_id: OrderId, skus: Iterable[SkuTotal], view: DecisionView, *, reason: ReleaseReason, now: datetime
) -> list[Appended]:
    """What an order had reserved is available again, or goes to orders that wait; it waits for nothing any more."""
    locations = open_locations(view.current(LOCATIONS, ALL))
    released: list[Appended] = []
    for total in stocked(skus):
        events = stock_item.release(
            view.current(STOCK, total.sku),
            sku=total.sku,
            order_id=order_id,
            quantity=total.units,
            reason=reason,
            locations=locations,
            now=now,
        )
        released.extend(events_of(STOCK, total.sku, events))
    return released


def released_for(order_id: OrderId, decided: Iterable[Appended]) -> list[ReleasedSku]:
    """Of these events, what was reserved for an order and is no longer."""
    return [
        ReleasedSku(sku=event.sku, quantity=event.quantity)
        for _, _, event in decided
        if isinstance(event, StockReleased) and event.order_id == order_id
    ]
