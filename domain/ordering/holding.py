"""Decisions that hold an order and lift its holds: it is not shipped while it is held, whatever its status.

Refusals: NothingReserved (Conflict).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from domain.event import Event
from domain.ids import OrderId, Sku
from domain.moment import in_utc
from domain.ordering.events import (
    BackorderFilled,
    DispatchOverdue,
    HoldLifted,
    HoldReason,
    OrderBackordered,
    OrderHeld,
    OrderStockLost,
    OrderStockReplaced,
    SkuTotal,
)
from domain.ordering.order import (
    AlreadyCancelled,
    AlreadyRejected,
    AlreadyShipped,
    NotConfirmed,
    Order,
    Status,
    evolve,
    known,
)
from domain.rejection import Conflict


@dataclass(kw_only=True, eq=False)
class NothingReserved(Conflict):
    """It has none of these pieces."""

    title = "Nothing is reserved for the order"
    meaning = "The order does not have this SKU, has lost what was reserved of it, or waits for all of it."
    remedy = (
        "Name orders for which pieces of the SKU are reserved: `GET /v1/stock-reservations?sku=…` lists them."
    )

    order_id: OrderId
    sku: Sku

    def __str__(self) -> str:
        return f"Nothing of '{self.sku}' is reserved for order '{self.order_id}'."


def hold(order: Order | None, *, order_id: OrderId, reason: HoldReason, now: datetime) -> list[Event]:
    """Keep an order from being shipped; nothing if it is held for this reason.

    Raises:
        OrderUnknown: there is no such order.
        AlreadyShipped, AlreadyRejected, AlreadyCancelled: there is nothing left to ship.
    """
    order = known(order, order_id=order_id)
    match order.status:
        case Status.PLACED | Status.CONFIRMED if reason in order.holds:
            return []
        case Status.PLACED | Status.CONFIRMED:
            return [OrderHeld(order_id=order_id, reason=reason, held_at=in_utc(now))]
        case Status.SHIPPED:
            raise AlreadyShipped(order_id=order_id, shipped_at=order.shipped_at)
        case Status.REJECTED:
            raise AlreadyRejected(order_id=order_id)
        case Status.CANCELLED:
            raise AlreadyCancelled(order_id=order_id)
    assert_never(order.status)


def is_on_credit(order: Order, *, unheld_since: datetime) -> bool:
    """Whether an order may leave though its amount is not held: its hold for that was lifted afterwards.

    The order process holds it for that, but only a moment later. People who lift that hold ship on credit.
    """
    return order.payment_lifted_at is not None and order.payment_lifted_at >= unheld_since


def backorder(order: Order, *, waits_for: Mapping[Sku, int], now: datetime) -> list[Event]:
    """Note for how many pieces of which SKUs the order waits, and hold it for them; nothing if for none."""
    if not waits_for:
        return []
    backordered = [
        OrderBackordered(order_id=order.order_id, sku=sku, quantity=quantity, backordered_at=in_utc(now))
        for sku, quantity in waits_for.items()
    ]
    return [*backordered, *hold(order, order_id=order.order_id, reason="stock", now=now)]


def fill_backorder(order: Order, *, sku: Sku, quantity: int, now: datetime) -> list[Event]:
    """Note that pieces are reserved which the order waited for, and lift its hold once it waits for none.

    Nothing if it is off, or does not wait for them any more.
    """
    if order.status not in {Status.PLACED, Status.CONFIRMED} or sku not in order.backordered:
        return []
    filled = BackorderFilled(order_id=order.order_id, sku=sku, quantity=quantity, filled_at=in_utc(now))
    after = evolve(order, filled)
    if after.backordered or after.lost:
        return [filled]
    return [filled, *lift(after, order_id=order.order_id, reason="stock", now=now)]


def lose_stock(
    order: Order | None, *, order_id: OrderId, sku: Sku, waits_for: int, now: datetime
) -> list[Event]:
    """Note that what was reserved of a SKU for a confirmed order is gone, and hold the order for it.

    `waits_for` are the pieces of its demand that were not reserved for it yet, as the stock item has it.

    Raises:
        OrderUnknown: there is no such order.
        NotConfirmed: it is not confirmed, or no longer: its stock is another decision's business.
        NothingReserved: nothing of it is reserved for the order.
    """
    order = known(order, order_id=order_id)
    if order.status is not Status.CONFIRMED:
        raise NotConfirmed(order_id=order_id, status=order.status)
    reserved = next((total for total in reserved_for(order) if total.sku == sku), None)
    quantity = 0 if reserved is None else reserved.units - waits_for
    if not quantity:
        raise NothingReserved(order_id=order_id, sku=sku)
    lost = OrderStockLost(order_id=order_id, sku=sku, quantity=quantity, lost_at=in_utc(now))
    return [lost, *hold(order, order_id=order_id, reason="stock", now=now)]


def replace_stock(order: Order, *, now: datetime) -> list[Event]:
    """Note that all that was lost is reserved again, in the same append."""
    return [
        OrderStockReplaced(
            order_id=order.order_id, sku=total.sku, quantity=total.units, replaced_at=in_utc(now)
        )
        for total in order.skus
        if total.sku in order.lost
    ]


def note_overdue(order: Order, *, now: datetime) -> list[Event]:
    """Note that an order could have been sent for too long; nothing if it left, is off, or is not to be sent."""
    if order.status is not Status.CONFIRMED or order.holds:
        return []
    assert order.waiting_since is not None, "a confirmed order waits since then"
    return [
        DispatchOverdue(
            order_id=order.order_id,
            reminder=order.reminders + 1,
            waiting_since=order.waiting_since,
            noted_at=in_utc(now),
        )
    ]


def reserved_for(order: Order) -> list[SkuTotal]:
    """What is promised to a confirmed order: its stocked SKUs, but those that were lost."""
    return [total for total in order.skus if total.stocked and total.sku not in order.lost]


def lift(order: Order | None, *, order_id: OrderId, reason: HoldReason, now: datetime) -> list[Event]:
    """Let an order be shipped again, as far as this reason goes; nothing if it is not held for it, or off.

    Raises:
        OrderUnknown: there is no such order.
    """
    order = known(order, order_id=order_id)
    if reason not in order.holds or order.status not in {Status.PLACED, Status.CONFIRMED}:
        return []
    return [HoldLifted(order_id=order_id, reason=reason, lifted_at=in_utc(now))]
