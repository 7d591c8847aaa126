"""Store credit that is held for an order is its customer's again once the order is cancelled."""

from datetime import datetime
from typing import Final

from commands.decision import Decision, DecisionView, events_of
from commands.processes.process import Process, Streams
from domain.ordering.events import OrderCancelled
from domain.payments import store_credit
from domain.payments.store_credit import STORE_CREDIT
from event_store.consumers.starting import HEAD

CREDIT_HOLDS: Final = Process("credit-holds", writes=(STORE_CREDIT,), start=HEAD)


def credit_of_customer(event: OrderCancelled) -> Streams:
    """The store credit of the order's customer, if it has one."""
    return [] if event.customer_id is None else [(STORE_CREDIT, event.customer_id)]


@CREDIT_HOLDS.when(OrderCancelled, reads=credit_of_customer)
def release(event: OrderCancelled, view: DecisionView, now: datetime) -> Decision:
    """Release all that is held for the order."""
    if event.customer_id is None:
        return Decision()
    released = store_credit.release_for(
        view.current(STORE_CREDIT, event.customer_id), order_id=event.order_id, now=now
    )
    return Decision(events_of(STORE_CREDIT, event.customer_id, released))
