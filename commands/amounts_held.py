"""Whether the amount of an order that was placed with a method is held: by its own payment, or by others instead.

An order that was placed without a method is shipped whatever its payments are.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from commands.decision import DecisionView
from domain.aggregate import Aggregate
from domain.ordering import holding
from domain.ordering.order import Order
from domain.ordering.purchase import PURCHASE, PurchaseSteps, payment_of
from domain.payments import store_credit
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
    unheld_since = None if payment is None else payment.unheld(now=now)
    if payment is None or unheld_since is None:
        return
    purchase = view.current(PURCHASE, order.order_id)
    if purchase is None or not is_paid_otherwise(order, payment, purchase, view, now=now):
        holding.require_held(order, unheld_since=unheld_since)


def payers_of(order: Order, purchase: PurchaseSteps) -> Sequence[tuple[Aggregate[Any], str]]:
    """What may pay for an order whose own payment was voided: its customer's store credit, and other payments."""
    credit = [] if order.customer_id is None else [(STORE_CREDIT, order.customer_id)]
    return [*credit, *((PAYMENT, payment_id) for payment_id in purchase.others)]


def is_paid_otherwise(
    order: Order, payment: Payment, purchase: PurchaseSteps, view: DecisionView, *, now: datetime
) -> bool:
    """Whether all that pays instead of its voided payment is together no less than what that had to collect still."""
    if payment.status is not Status.VOIDED:
        return False
    for aggregate, identifier in payers_of(order, purchase):
        view.prefetch(aggregate, (identifier,))
    credit = None if order.customer_id is None else view.current(STORE_CREDIT, order.customer_id)
    others = [view.current(PAYMENT, payment_id) for payment_id in purchase.others]
    by_credit = store_credit.kept_for(credit, order_id=order.order_id)
    by_others = sum(each.secured(now=now) for each in others if each is not None)
    return by_credit + by_others >= payment.amount - payment.captured
