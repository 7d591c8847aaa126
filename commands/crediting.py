"""What is decided about store credit, in one append with what it changes for orders."""

from collections.abc import Sequence

from commands.decision import Appended, events_of
from domain.event import Event
from domain.ids import CustomerId
from domain.payments import order_credit
from domain.payments.order_credit import ORDER_CREDIT
from domain.payments.store_credit import STORE_CREDIT


def with_orders(customer_id: CustomerId, decided: Sequence[Event]) -> tuple[Appended, ...]:
    """The events of a customer's store credit, and of the orders that it is held for."""
    changed = [(ORDER_CREDIT, each.order_id, each) for each in order_credit.changes(decided)]
    return (*events_of(STORE_CREDIT, customer_id, decided), *changed)
