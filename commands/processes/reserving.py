"""Reserving all stocked pieces of an order or none, and releasing them: for the process of orders."""

from collections.abc import Iterable
from datetime import datetime

from commands.decision import Appended, DecisionView, events_of
from domain.ids import OrderId
from domain.inventory import stock_item
from domain.inventory.events import ReleaseReason
from domain.inventory.stock_item import STOCK, InsufficientStock
from domain.ordering.events import Shortage, SkuTotal
from domain.ordering.order import Order


def stocked(totals: Iterable[SkuTotal]) -> list[SkuTotal]:
    """Of these SKUs those that are kept in stock."""
    return [total for total in totals if total.stocked]


def reserve_all(order: Order, view: DecisionView, now: datetime) -> tuple[list[Appended], list[Shortage]]:
    """The reservations of every stocked SKU, summed over its lines, and all that is missing."""
    reserved: list[Appended] = []
    missing: list[Shortage] = []
    for total in stocked(order.skus):
        item = view.current(STOCK, total.sku)
        try:
            events = stock_item.reserve(
                item, sku=total.sku, order_id=order.order_id, quantity=total.units, now=now
            )
        except InsufficientStock as short:
            missing.append(Shortage(sku=total.sku, requested=total.units, available=short.available))
        else:
            reserved.extend(events_of(STOCK, total.sku, events))
    return reserved, missing


def release_all(
    order_id: OrderId, skus: Iterable[SkuTotal], view: DecisionView, *, reason: ReleaseReason, now: datetime
) -> list[Appended]:
    """What an order had reserved is available again."""
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
