"""Order fulfilment: a placed order reserves stock or is rejected, a cancelled one releases it, a shipped one takes it.

An order may wait for pieces that are not there, as many as may be backordered: it is held until it has them.

The payment of an order that was placed with a method goes with it: requested with the reservation, let go with the
release, taken with the shipment. What its outcomes mean for the order is decided by `purchases`. The coupon of an order
that is off is released.

One that is still undecided a day after it was recorded is rejected, or cancelled if it waits for its payment: its
customer waits no longer.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from commands.amounts_held import collect, let_go
from commands.coupons import released_in
from commands.decision import Appended, Decision, DecisionView, events_of
from commands.processes.process import Process, Rejected, Streams
from commands.processes.reserving import Promised, promise_all, release_all, released_for, stocked
from commands.processes.timer import Timer
from domain.event import Event
from domain.ids import OrderId
from domain.inventory import stock_item
from domain.inventory.events import BackorderAllocated
from domain.inventory.locations import ALL, LOCATIONS
from domain.inventory.stock_item import STOCK
from domain.money import Minor
from domain.ordering import holding
from domain.ordering import order as ordering
from domain.ordering import purchase as purchasing
from domain.ordering.events import (
    OrderCancelled,
    OrderConfirmed,
    OrderPlaced,
    OrderRejected,
    OrderShipped,
)
from domain.ordering.order import ORDER, Order, Status
from domain.ordering.purchase import PURCHASE, payment_of
from domain.payments import authorising
from domain.payments.authorising import Payable
from domain.payments.payment import PAYMENT
from domain.pricing.events import ReleaseReason
from domain.pricing.redemption import REDEMPTION, redemption_of
from domain.promotion_terms import of_coupon
from event_store.consumers.starting import HEAD

FULFILMENT: Final = Process("fulfilment", writes=(ORDER, STOCK, PAYMENT, PURCHASE, REDEMPTION), start=HEAD)


def order_and_stock(event: OrderPlaced) -> Streams:
    """The order, which may be cancelled meanwhile, the stock of each stocked SKU, locations, payment and coupon."""
    skus = dict.fromkeys(line.sku for line in event.lines if line.stocked)
    paid = () if event.payment is None else _paid(event.order_id)
    coupon = [] if of_coupon(event.promotions) is None else [(REDEMPTION, redemption_of(event.order_id))]
    planned = [(LOCATIONS, ALL)] if skus else []
    return [(ORDER, event.order_id), *((STOCK, sku) for sku in skus), *planned, *paid, *coupon]


@FULFILMENT.when(OrderPlaced, reads=order_and_stock)
def reserve(event: OrderPlaced, view: DecisionView, now: datetime) -> Decision:
    """Reserve every stocked SKU, summed over its lines, and confirm; or reject with all that is missing.

    What is not there but may be backordered is waited for, and the order is held until it is.

    With a method of payment it is confirmed later, once that is authorised: here the authorisation is requested, after
    the stock, so that no provider is asked for the money of an order that is rejected.
    """
    order = view.current(ORDER, event.order_id)
    assert order is not None, "an order that was placed has no state"
    if order.status is not Status.PLACED:
        return Rejected()
    if event.payment is not None and view.current(PAYMENT, payment_of(order.order_id)) is not None:
        return _called_off(order, now)
    promised = promise_all(order, view, now)
    if promised.missing:
        rejected = ordering.reject(order, order_id=order.order_id, missing=promised.missing, now=now)
        return Rejected(_rejected(order, rejected, view, now))
    return _confirmed(order, promised, now) if order.payment is None else _begun(order, promised, now)


def _rejected(
    order: Order, rejected: Sequence[Event], view: DecisionView, now: datetime
) -> tuple[Appended, ...]:
    """The end of an order that is turned down, with the release of its coupon."""
    released = released_in(view, order.order_id, reason="rejected", now=now) if order.redeems else ()
    return (*events_of(ORDER, order.order_id, rejected), *released)


def _confirmed(order: Order, promised: Promised, now: datetime) -> Decision:
    confirmed = ordering.confirm(order, order_id=order.order_id, now=now)
    waits = holding.backorder(order, waits_for=promised.waits_for, now=now)
    return Decision((*promised.events, *events_of(ORDER, order.order_id, [*confirmed, *waits])))


def _begun(order: Order, promised: Promised, now: datetime) -> Decision:
    assert order.payment is not None, "an order without a method is confirmed at once"
    payment_id = payment_of(order.order_id)
    requested = authorising.request(
        payment_id=payment_id, of=_payable(order), method_ref=order.payment.method_ref, now=now
    )
    waits = events_of(ORDER, order.order_id, holding.backorder(order, waits_for=promised.waits_for, now=now))
    begun = events_of(PURCHASE, order.order_id, purchasing.begin(order, now=now))
    return Decision((*promised.events, *waits, *begun, *events_of(PAYMENT, payment_id, requested)))


def _called_off(order: Order, now: datetime) -> Decision:
    """Somebody created another payment under the id of the checkout: it cannot be paid."""
    cancelled = ordering.cancel(order, order_id=order.order_id, reason="other", now=now)
    return Rejected(events_of(ORDER, order.order_id, cancelled))


def waiting_order(event: BackorderAllocated) -> Streams:
    """The order that waited for the pieces."""
    return [(ORDER, event.order_id)]


@FULFILMENT.when(BackorderAllocated, reads=waiting_order)
def fill(event: BackorderAllocated, view: DecisionView, now: datetime) -> Decision:
    """Tell the order, which is not held for stock any more once it has all that it waited for."""
    order = view.current(ORDER, event.order_id)
    assert order is not None, "an order that was placed has no state"
    filled = holding.fill_backorder(order, sku=event.sku, quantity=event.quantity, now=now)
    return Decision(events_of(ORDER, event.order_id, filled)) if filled else Rejected()


def reserved_stock(event: OrderCancelled) -> Streams:
    """The order, the stock that it may have reserved, its payment, and the coupon that it may have used."""
    return [
        (ORDER, event.order_id),
        *_paid(event.order_id),
        (REDEMPTION, redemption_of(event.order_id)),
        (LOCATIONS, ALL),
        *((STOCK, total.sku) for total in stocked(event.skus)),
    ]


def payments_instead(event: OrderCancelled | OrderShipped, view: DecisionView) -> Streams:
    """Payments that pay for the order since its own was voided."""
    purchase = view.known(PURCHASE, event.order_id)
    return () if purchase is None else [(PAYMENT, other) for other in purchase.others]


@FULFILMENT.when(OrderCancelled, reads=reserved_stock, then_reads=payments_instead)
def release(event: OrderCancelled, view: DecisionView, now: datetime) -> Decision:
    """Release what the order had reserved, its coupon too, and let go of its payments, as far as there is any of it."""
    why: ReleaseReason = "expired" if event.reason == "expired" else "cancelled"
    coupon = released_in(view, event.order_id, reason=why, now=now)
    purchase = view.current(PURCHASE, event.order_id)
    if purchase is None and not event.was_confirmed:
        return Decision(coupon)
    order = view.current(ORDER, event.order_id)
    assert order is not None, "an order that was placed has no state"
    promised = holding.reserved_for(order)
    released = [*coupon, *release_all(event.order_id, promised, view, reason="cancelled", now=now)]
    if purchase is None:
        return Decision(tuple(released))
    unwound = purchasing.unwind(purchase, released=released_for(event.order_id, released), now=now)
    released.extend((*events_of(PURCHASE, event.order_id, unwound), *let_go(purchase, view, now=now)))
    return Decision(tuple(released))


def shipped_stock(event: OrderShipped) -> Streams:
    """The stock that left with the order, and its payment; those that pay instead follow from its purchase."""
    return [*((STOCK, shipped.sku) for shipped in event.skus), *_paid(event.order_id)]


@FULFILMENT.when(OrderShipped, reads=shipped_stock, then_reads=payments_instead)
def ship(event: OrderShipped, view: DecisionView, now: datetime) -> Decision:
    """Turn the order's reservations into shipped stock, and have its money taken, of whichever payments pay for it."""
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
    purchase = view.current(PURCHASE, event.order_id)
    if purchase is not None and not purchase.is_unwound:
        left.extend(collect(purchase, view, now=now))
    return Decision(tuple(left))


UNDECIDED: Final = Timer(FULFILMENT, "undecided", of=ORDER, after="undecided_after_s")


@UNDECIDED.set_by(OrderPlaced)
def from_the_order_on(_event: OrderPlaced, recorded_at: datetime) -> datetime:
    """The setting says how long a decision may take from then on."""
    return recorded_at


UNDECIDED.cleared_by(OrderConfirmed, OrderRejected, OrderCancelled)


@UNDECIDED.fires
def give_up(order: Order | None, view: DecisionView, now: datetime) -> Decision:
    """Reject the order, unless it was decided in the end."""
    assert order is not None, "an order that was placed has no state"
    decided = ordering.reject_undecided(order, order_id=order.order_id, now=now)
    if any(isinstance(event, OrderRejected) for event in decided):
        return Decision(_rejected(order, decided, view, now))
    return Decision(events_of(ORDER, order.order_id, decided))


def _paid(order_id: OrderId) -> Streams:
    return [(PURCHASE, order_id), (PAYMENT, payment_of(order_id))]


def _payable(order: Order) -> Payable:
    return Payable(
        order_id=order.order_id,
        customer_id=order.customer_id,
        currency=order.currency,
        total=order.total,
        covered=Minor(0),
    )
