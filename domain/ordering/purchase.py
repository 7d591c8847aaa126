"""A purchase: what the process of an order with a payment has done, so that it does nothing twice.

begun ─▶ (the order is confirmed, shipped) ─▶ not collected, as often as that
  │ ▲
  ▼ │
payment needed ─▶ unwound: the order is off, or its lost parcel refunded

Stock is promised to it from its beginning until the order is shipped or off. Its payment has the id of the order; once
that is voided, others may pay for it together.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from domain.aggregate import Aggregate
from domain.event import Event
from domain.ids import OrderId, PaymentId
from domain.moment import in_utc
from domain.ordering.events import (
    PaymentAdded,
    PaymentExpiryScheduled,
    PaymentNeed,
    PaymentNeeded,
    PurchaseBegun,
    PurchaseUnwound,
    ReleasedSku,
)
from domain.ordering.order import Order

ATTEMPTS_MAX: Final = 3
"""Methods, or tries with one, that a buyer has for an order."""


class PurchaseSteps(Struct, frozen=True, kw_only=True):
    """The steps that were taken. `uncollected`: how often the money of a payment was not to be had of what was shipped.

    `others` are the payments that pay for it since its own was voided.
    """

    order_id: OrderId
    is_unwound: bool = False
    uncollected: Mapping[PaymentId, int] = {}
    others: tuple[PaymentId, ...] = ()


def payment_of(order_id: OrderId) -> PaymentId:
    """The payment of an order that was placed with a method."""
    return PaymentId(order_id)


def evolve(purchase: PurchaseSteps | None, event: Event) -> PurchaseSteps:
    """Return the purchase as it is after `event`."""
    if isinstance(event, PurchaseBegun):
        return PurchaseSteps(order_id=event.order_id)
    assert purchase is not None, "an event about a purchase before it began"
    match event:
        case PaymentNeeded(reason="not_collected"):
            uncollected = {**purchase.uncollected, event.payment_id: _missed(purchase, event.payment_id) + 1}
            return replace(purchase, uncollected=uncollected)
        case PaymentNeeded() | PaymentExpiryScheduled():
            return purchase
        case PaymentAdded():
            return replace(purchase, others=(*purchase.others, event.payment_id))
        case PurchaseUnwound():
            return replace(purchase, is_unwound=True)
    raise AssertionError(f"{type(event).__name__} is no event of a purchase")


PURCHASE: Final[Aggregate[PurchaseSteps]] = Aggregate(
    "purchase",
    evolve,
    (PurchaseBegun, PaymentNeeded, PaymentAdded, PaymentExpiryScheduled, PurchaseUnwound),
    cached=False,
)
"""Not cached: its process writes it."""


def begin(order: Order, *, now: datetime) -> list[Event]:
    """Note that the stock of an order is reserved and its payment requested, in the same append."""
    return [
        PurchaseBegun(
            order_id=order.order_id,
            payment_id=payment_of(order.order_id),
            currency=order.currency,
            amount=order.total,
            begun_at=in_utc(now),
        )
    ]


def need_payment(
    purchase: PurchaseSteps, *, payment_id: PaymentId, reason: PaymentNeed, attempt: int, now: datetime
) -> list[Event]:
    """Note that somebody has to see to the money."""
    return [
        PaymentNeeded(
            order_id=purchase.order_id,
            payment_id=payment_id,
            reason=reason,
            attempt=attempt,
            needed_at=in_utc(now),
        )
    ]


def add_payment(purchase: PurchaseSteps, *, payment_id: PaymentId, now: datetime) -> list[Event]:
    """Note which other payment pays for the order, once."""
    if payment_id in purchase.others:
        return []
    return [PaymentAdded(order_id=purchase.order_id, payment_id=payment_id, added_at=in_utc(now))]


def schedule_expiry(purchase: PurchaseSteps, *, expires_at: datetime | None, now: datetime) -> list[Event]:
    """Note when the first of what pays instead expires, if any does: an order has one timer for all of it."""
    if expires_at is None:
        return []
    return [
        PaymentExpiryScheduled(order_id=purchase.order_id, expires_at=expires_at, scheduled_at=in_utc(now))
    ]


def miss_money(purchase: PurchaseSteps, *, payment_id: PaymentId, now: datetime) -> list[Event]:
    """Note that the money of a payment is not to be had of what was shipped, once more."""
    attempt = _missed(purchase, payment_id) + 1
    return need_payment(purchase, payment_id=payment_id, reason="not_collected", attempt=attempt, now=now)


def _missed(purchase: PurchaseSteps, payment_id: PaymentId) -> int:
    return purchase.uncollected.get(payment_id, 0)


def unwind(purchase: PurchaseSteps, *, released: Iterable[ReleasedSku], now: datetime) -> list[Event]:
    """Note that the payment is to collect nothing, and what is released of the stock of an order that is off, once."""
    if purchase.is_unwound:
        return []
    return [
        PurchaseUnwound(
            order_id=purchase.order_id,
            payment_id=payment_of(purchase.order_id),
            released=tuple(released),
            unwound_at=in_utc(now),
        )
    ]
