"""Store credit that was to pay an order is its customer's again once the order is cancelled or rejected."""

from datetime import datetime
from typing import Final

from commands.crediting import given_back
from commands.decision import Decision, DecisionView
from commands.processes.process import Process, Streams
from domain.ids import CustomerId, OrderId
from domain.ordering.events import OrderCancelled, OrderRejected
from domain.ordering.order import ORDER
from domain.payments.order_credit import ORDER_CREDIT
from domain.payments.store_credit import STORE_CREDIT
from event_store.consumers.starting import HEAD

CREDIT_HOLDS: Final = Process("credit-holds", writes=(STORE_CREDIT, ORDER_CREDIT), start=HEAD)


def credit_of_customer(event: OrderCancelled) -> Streams:
    """The store credit of the order's customer, if it has one."""
    return _credit_of(event.order_id, event.customer_id)


@CREDIT_HOLDS.when(OrderCancelled, reads=credit_of_customer)
def give_back(event: OrderCancelled, view: DecisionView, now: datetime) -> Decision:
    """Release all that is held for the order, and return what was spent."""
    return Decision(given_back(event.order_id, event.customer_id, view, now=now))


def rejected_order(event: OrderRejected) -> Streams:
    """The order: the event does not say whose it is."""
    return [(ORDER, event.order_id)]


def credit_of_its_customer(event: OrderRejected, view: DecisionView) -> Streams:
    """The store credit of the customer that the order has, if it has one."""
    return _credit_of(event.order_id, _customer_of(event.order_id, view))


@CREDIT_HOLDS.when(OrderRejected, reads=rejected_order, then_reads=credit_of_its_customer)
def give_back_of_rejected(event: OrderRejected, view: DecisionView, now: datetime) -> Decision:
    """The same, of what came before its stock was found to be short, or nobody had decided."""
    return Decision(given_back(event.order_id, _customer_of(event.order_id, view), view, now=now))


def _credit_of(order_id: OrderId, customer_id: CustomerId | None) -> Streams:
    return [] if customer_id is None else [(STORE_CREDIT, customer_id), (ORDER_CREDIT, order_id)]


def _customer_of(order_id: OrderId, view: DecisionView) -> CustomerId | None:
    order = view.known(ORDER, order_id)  # its customer never changes
    return None if order is None else order.customer_id
