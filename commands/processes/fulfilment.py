"""Order fulfilment: a placed order reserves stock or is rejected, a cancelled one releases it, a shipped one takes it.

One that is still undecided a day after it was recorded is rejected: its customer waits no longer.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from commands.decision import Appended, Decision, DecisionView, events_of
from commands.processes.process import Process, Rejected, Streams
from commands.processes.timer import Timer
from domain.event import Event
from domain.inventory import stock_item
from domain.inventory.stock_item import STOCK, InsufficientStock
from domain.ordering import order as ordering
from domain.ordering.events import (
    OrderCancelled,
    OrderConfirmed,
    OrderPlaced,
    OrderRejected,
    OrderShipped,
    Shortage,
    SkuTotal,
)
from domain.ordering.order import ORDER, Order, Status
from event_store.consumers.starting import HEAD

FULFILMENT: Final = Process("fulfilment", writes=(ORDER, STOCK), start=HEAD)


def order_and_stock(event: OrderPlaced) -> Streams:
    """The order, which may have been cancelled meanwhile, and the stock of every stocked SKU, once."""
    skus = dict.fromkeys(line.sku for line in event.lines if line.stocked)
    return [(ORDER, event.order_id), *((STOCK, sku) for sku in skus)]


@FULFILMENT.when(OrderPlaced, reads=order_and_stock)
def reserve(event: OrderPlaced, view: DecisionView, now: datetime) -> Decision:
    """Reserve every stocked SKU, summed over its lines, and confirm; or reject with all that is missing."""
    order = view.current(ORDER, event.order_id)
    assert order is not None, "an order that was placed has no state"
    if order.status is not Status.PLACED:
        return Rejected()
    reserved: list[Appended] = []
    missing: list[Shortage] = []
    for total in _stocked(order.skus):
        item = view.current(STOCK, total.sku)
        try:
            events = stock_item.reserve(
                item, sku=total.sku, order_id=order.order_id, quantity=total.units, now=now
            )
        except InsufficientStock as short:
            missing.append(Shortage(sku=total.sku, requested=total.units, available=short.available))
        else:
            reserved.extend(events_of(STOCK, total.sku, events))
    return _rejected(order, missing, now) if missing else _confirmed(order, reserved, now)


def _rejected(order: Order, missing: list[Shortage], now: datetime) -> Decision:
    events = ordering.reject(order, order_id=order.order_id, missing=missing, now=now)
    return Rejected(events_of(ORDER, order.order_id, events))


def _confirmed(order: Order, reserved: list[Appended], now: datetime) -> Decision:
    confirmed = ordering.confirm(order, order_id=order.order_id, now=now)
    return Decision((*reserved, *events_of(ORDER, order.order_id, confirmed)))


def reserved_stock(event: OrderCancelled) -> Streams:
    """The stock that the order had reserved; nothing when it was not confirmed."""
    return [(STOCK, total.sku) for total in _stocked(event.skus)] if event.was_confirmed else ()


@FULFILMENT.when(OrderCancelled, reads=reserved_stock)
def release(event: OrderCancelled, view: DecisionView, now: datetime) -> Decision:
    """Release what a confirmed order had reserved; an order that was not confirmed holds nothing."""
    if not event.was_confirmed:
        return Decision()
    released: list[Appended] = []
    for total in _stocked(event.skus):
        events = stock_item.release(
            view.current(STOCK, total.sku),
            sku=total.sku,
            order_id=event.order_id,
            quantity=total.units,
            reason="cancelled",
            now=now,
        )
        released.extend(events_of(STOCK, total.sku, events))
    return Decision(tuple(released))


def shipped_stock(event: OrderShipped) -> Streams:
    """The stock that left with the order."""
    return [(STOCK, shipped.sku) for shipped in event.skus]


@FULFILMENT.when(OrderShipped, reads=shipped_stock)
def ship(event: OrderShipped, view: DecisionView, now: datetime) -> Decision:
    """Turn the order's reservations into shipped stock."""
    left: list[Appended] = []
    for shipped in event.skus:
        events = stock_item.ship(
            view.current(STOCK, shipped.sku),
            sku=shipped.sku,
            order_id=event.order_id,
            quantity=shipped.quantity,
            now=now,
        )
        left.extend(events_of(STOCK, shipped.sku, events))
    return Decision(tuple(left))


UNDECIDED: Final = Timer(FULFILMENT, "undecided", of=ORDER, after="undecided_after_s")


@UNDECIDED.set_by(OrderPlaced)
def from_the_order_on(_event: OrderPlaced, recorded_at: datetime) -> datetime:
    """The setting says how long a decision may take from then on."""
    return recorded_at


UNDECIDED.cleared_by(OrderConfirmed, OrderRejected, OrderCancelled)


@UNDECIDED.fires
def give_up(order: Order | None, _view: DecisionView, now: datetime) -> list[Event]:
    """Reject the order, unless it was decided in the end."""
    assert order is not None, "an order that was placed has no state"
    return ordering.reject_undecided(order, order_id=order.order_id, now=now)


def _stocked(totals: Iterable[SkuTotal]) -> list[SkuTotal]:
    return [total for total in totals if total.stocked]
