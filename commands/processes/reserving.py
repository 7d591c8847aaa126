"""Promising all stocked pieces of an order or none, and releasing them: for the process of orders."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from msgspec import Struct

from commands.decision import Appended, DecisionView, events_of
from domain.ids import OrderId, Sku
from domain.inventory import stock_item
from domain.inventory.events import BackorderRecorded, ReleaseReason, StockReleased
from domain.inventory.stock_item import STOCK, InsufficientStock
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
    """Promise every stocked SKU, summed over its lines: what is there, and the rest as far as it may be backordered."""
    promised: list[Appended] = []
    waits_for: dict[Sku, int] = {}
    missing: list[Shortage] = []
    for total in stocked(order.skus):
        item = view.current(STOCK, total.sku)
        try:
            events = stock_item.promise(
                item, sku=total.sku, order_id=order.order_id, quantity=total.units, now=now
            )
        except InsufficientStock as short:
            missing.append(Shortage(sku=total.sku, requested=total.units, available=short.available))
        else:
            promised.extend(events_of(STOCK, total.sku, events))
            waits_for.update(
                (each.sku, each.quantity) for each in events if isinstance(each, BackorderRecorded)
            )
    return Promised(tuple(promised), waits_for, tuple(missing))


def release_all(
    order_id: OrderId, skus: Iterable[SkuTotal], view: DecisionView, *, reason: ReleaseReason, now: datetime
) -> list[Appended]:
    """What an order had reserved is available again, or goes to orders that wait; it waits for nothing any more."""
    released: list[Appended] = []
    for total in stocked(skus):
        events = stock_item.release(
            view.current(STOCK, total.sku),
            sku=total.sku,
            order_id=order_id,
            quantity=total.units,
            reason=reason,
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
