"""Store credit of an order: what is held for it, spent, released or returned, in the partition of the order.

Decided is all of that on the stream of the customer, whose events belong to the partition of the customer: what a view
of orders folds has to be said once more, in the same append.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from msgspec import Struct

from domain.aggregate import Aggregate
from domain.event import Event
from domain.ids import CreditHoldId, OrderId
from domain.payments.events import (
    CreditHeld,
    CreditHoldStatus,
    CreditReleased,
    CreditReturned,
    CreditSpent,
    OrderCreditChanged,
)


class OrderCredit(Struct, frozen=True, kw_only=True):
    """Where each hold for the order stands."""

    order_id: OrderId
    holds: dict[CreditHoldId, CreditHoldStatus]


def evolve(credit: OrderCredit | None, event: Event) -> OrderCredit:
    """Return what the order has as it is after `event`."""
    assert isinstance(event, OrderCreditChanged), f"{type(event).__name__} is no event of an order's credit"
    holds = {} if credit is None else credit.holds
    return OrderCredit(order_id=event.order_id, holds={**holds, event.hold_id: event.status})


ORDER_CREDIT: Final[Aggregate[OrderCredit]] = Aggregate(
    "order_credit", evolve, (OrderCreditChanged,), cached=False
)
"""Not cached: nobody decides on it."""


def changes(decided: Iterable[Event]) -> list[OrderCreditChanged]:
    """What was decided about store credit, as far as orders have a part in it."""
    found: list[OrderCreditChanged] = []
    for event in decided:
        match event:
            case CreditHeld():
                found.append(_changed(event, "held", event.held_at))
            case CreditSpent():
                found.append(_changed(event, "spent", event.spent_at))
            case CreditReleased():
                found.append(_changed(event, "released", event.released_at))
            case CreditReturned():
                found.append(_changed(event, "returned", event.returned_at))
    return found


def _changed(
    event: CreditHeld | CreditSpent | CreditReleased | CreditReturned, status: CreditHoldStatus, at: datetime
) -> OrderCreditChanged:
    return OrderCreditChanged(
        order_id=event.order_id,
        hold_id=event.hold_id,
        currency=event.currency,
        amount=event.amount,
        status=status,
        changed_at=at,
    )
