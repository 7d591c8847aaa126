"""Whether other amounts make up for the voided payment of an order that was placed with a method."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from commands.decision import DecisionView
from domain.aggregate import Aggregate
from domain.ordering.order import Order
from domain.ordering.purchase import PurchaseSteps
from domain.payments import store_credit
from domain.payments.payment import PAYMENT, Payment, Status
from domain.payments.store_credit import STORE_CREDIT


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
