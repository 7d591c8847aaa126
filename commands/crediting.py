"""What is decided about store credit, in one append with what it changes for orders."""

from collections.abc import Sequence
from datetime import datetime

from commands.decision import Appended, DecisionView, events_of
from domain.event import Event
from domain.ids import CustomerId, OrderId
from domain.payments import order_credit, store_credit
from domain.payments.order_credit import ORDER_CREDIT
from domain.payments.store_credit import STORE_CREDIT


def with_orders(customer_id: CustomerId, decided: Sequence[Event]) -> tuple[Appended, ...]:
    """The events of a customer's store credit, and of the orders that it is held for."""
    changed = [(ORDER_CREDIT, each.order_id, each) for each in order_credit.changes(decided)]
    return (*events_of(STORE_CREDIT, customer_id, decided), *changed)


def given_back(
    order_id: OrderId, customer_id: CustomerId | None, view: DecisionView, *, now: datetime
) -> tuple[Appended, ...]:
    """Have the customer of an order keep the store credit that was to pay it; nothing where there is no customer."""
    if customer_id is None:
        return ()
    view.prefetch(ORDER_CREDIT, (order_id,))
    back = store_credit.give_back(view.current(STORE_CREDIT, customer_id), order_id=order_id, now=now)
    return with_orders(customer_id, back)
