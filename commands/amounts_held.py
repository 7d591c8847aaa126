"""The amount of an order that was placed with a method: held by its own payment, or by others, taken, or let go of.

An order that was placed without a method is shipped whatever its payments are.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from commands.decision import Appended, DecisionView, events_of
from domain.aggregate import Aggregate
from domain.ordering import holding
from domain.ordering import purchase as purchasing
from domain.ordering.order import Order, OrderIsHeld
from domain.ordering.purchase import PURCHASE, PurchaseSteps, payment_of
from domain.payments import ending, store_credit
from domain.payments.payment import PAYMENT, Payment, Status
from domain.payments.store_credit import STORE_CREDIT


def require_held(order: Order, view: DecisionView, *, now: datetime) -> None:
    """Refuse to ship an order whose amount is not held.

    The hold of such an order is the order process's, and comes later: so the payment is read, and the append names it.

    Raises:
        OrderIsHeld: nothing pays for it, and nobody has lifted its hold for that.
    """
    if order.payment is None:
        return
    payment = view.current(PAYMENT, payment_of(order.order_id))
    if payment is None or payment.unheld(now=now) is None:
        return
    purchase = view.current(PURCHASE, order.order_id)
    since = unheld_since(order, payment, purchase, view, now=now)
    if since is not None and not holding.is_on_credit(order, unheld_since=since):
        raise OrderIsHeld(order_id=order.order_id, reasons=("payment",))


def payers_of(order: Order, purchase: PurchaseSteps) -> Sequence[tuple[Aggregate[Any], str]]:
    """What may pay for an order whose own payment was voided: its customer's store credit, and other payments."""
    credit = [] if order.customer_id is None else [(STORE_CREDIT, order.customer_id)]
    return [*credit, *((PAYMENT, payment_id) for payment_id in purchase.others)]


def unheld_since(
    order: Order, payment: Payment, purchase: PurchaseSteps | None, view: DecisionView, *, now: datetime
) -> datetime | None:
    """Since when the amount of an order is not held; None: its own payment holds it, or it is paid otherwise.

    A voided payment is made up for by all that pays instead, which is together no less than what it had to collect
    still. Where some of that went away afterwards, the amount is not held since the last of it did.
    """
    since = payment.unheld(now=now)
    if since is None or purchase is None or payment.status is not Status.VOIDED:
        return since
    for aggregate, identifier in payers_of(order, purchase):
        view.prefetch(aggregate, (identifier,))
    credit = None if order.customer_id is None else view.current(STORE_CREDIT, order.customer_id)
    others = [each for other in purchase.others if (each := view.current(PAYMENT, other)) is not None]
    paid = store_credit.kept_for(credit, order_id=order.order_id)
    if paid + sum(each.secured(now=now) for each in others) >= payment.amount - payment.captured:
        return None
    went = [each.unheld(now=now) for each in others]
    went.append(store_credit.released_at(credit, order_id=order.order_id))
    return max([since, *(each for each in went if each is not None)])


def expires_first(purchase: PurchaseSteps, view: DecisionView, *, now: datetime) -> datetime | None:
    """When the first of what pays instead of a voided payment expires; None: nothing is held that does."""
    others = (view.current(PAYMENT, payment_id) for payment_id in purchase.others)
    held_until = (each.held_until(now=now) for each in others if each is not None)
    return min((each for each in held_until if each is not None), default=None)


def collect(purchase: PurchaseSteps, view: DecisionView, *, now: datetime) -> tuple[Appended, ...]:
    """Have the rest of all payments of an order that has left taken: together they are no more than its total.

    An order may leave on credit, after a method was declined for good: then somebody has to see to that payment.
    """
    decided: list[Appended] = []
    for payment in _payments(purchase, view):
        decided.extend(events_of(PAYMENT, payment.payment_id, ending.collect(payment, now=now)))
        if ending.is_declined(payment) and payment.payment_id not in purchase.uncollected:
            missed = purchasing.miss_money(purchase, payment_id=payment.payment_id, now=now)
            decided.extend(events_of(PURCHASE, purchase.order_id, missed))
    return tuple(decided)


def let_go(purchase: PurchaseSteps, view: DecisionView, *, now: datetime) -> tuple[Appended, ...]:
    """Have all payments of an order that is off, or refunded, give back what their providers hold or took."""
    decided: list[Appended] = []
    for payment in _payments(purchase, view):
        decided.extend(events_of(PAYMENT, payment.payment_id, ending.let_go(payment, now=now)))
    return tuple(decided)


def _payments(purchase: PurchaseSteps, view: DecisionView) -> list[Payment]:
    """Its own payment, then those that pay instead."""
    payments = (payment_of(purchase.order_id), *purchase.others)
    view.prefetch(PAYMENT, payments)
    found = [each for payment_id in payments if (each := view.current(PAYMENT, payment_id)) is not None]
    assert len(found) == len(payments), "a payment of a purchase that began has no state"
    return found
