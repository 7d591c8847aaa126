"""How the events of ordering change the page and the list entry of one order.

What they change in sums over many orders stands in `sales`.
"""

from collections.abc import Iterator
from typing import Final

from msgspec.structs import replace

from domain.ordering.events import (
    OrderCancelled,
    OrderConfirmed,
    OrderPlaced,
    OrderRejected,
    OrderShipped,
)
from projections.ordering.views import (
    OrderContact,
    OrderDetails,
    OrderSummary,
    order_contact,
    order_details,
    order_summary,
)
from projections.view import Key


@order_details.on(OrderPlaced)
def placed(_order: None, event: OrderPlaced) -> OrderDetails:
    """An order begins its page, with every line."""
    return OrderDetails(
        order_id=event.order_id,
        status="placed",
        customer_id=event.customer_id,
        country=event.country,
        currency=event.currency,
        placed_at=event.placed_at,
        total=event.total,
        units=sum(line.quantity for line in event.lines),
        lines=event.lines,
    )


@order_details.on(OrderConfirmed)
def confirmed(order: OrderDetails, event: OrderConfirmed) -> OrderDetails:
    """Stock is reserved."""
    return replace(order, status="confirmed", confirmed_at=event.confirmed_at)


@order_details.on(OrderRejected)
def rejected(order: OrderDetails, event: OrderRejected) -> OrderDetails:
    """The page says why, and of what stock did not suffice."""
    return replace(
        order,
        status="rejected",
        rejected_at=event.rejected_at,
        rejection_reason=event.reason,
        missing=event.missing,
    )


@order_details.on(OrderCancelled)
def cancelled(order: OrderDetails, event: OrderCancelled) -> OrderDetails:
    """The page stays, with the reason."""
    return replace(
        order, status="cancelled", cancelled_at=event.cancelled_at, cancellation_reason=event.reason
    )


@order_details.on(OrderShipped)
def shipped(order: OrderDetails, event: OrderShipped) -> OrderDetails:
    """The parcel has left."""
    return replace(order, status="shipped", shipped_at=event.shipped_at)


def with_contact(event: OrderPlaced) -> Iterator[Key]:
    """The key of an order that has contact data."""
    if event.contact is not None:
        yield (event.order_id,)


@order_contact.on(OrderPlaced, keys=with_contact)
def contact_given(_contact: None, event: OrderPlaced) -> OrderContact:
    """Contact data is that of the day on which the order was placed, whatever the customer's profile says later."""
    assert event.contact is not None, "folded for such orders only"
    return OrderContact(
        order_id=event.order_id,
        customer_id=event.customer_id,
        name=event.contact.name,
        email=event.contact.email,
        address=event.contact.address,
    )


@order_summary.on(OrderPlaced)
def listed(_entry: None, event: OrderPlaced) -> OrderSummary:
    """An order enters the lists."""
    return OrderSummary(
        order_id=event.order_id,
        customer_id=event.customer_id,
        status="placed",
        placed_at=event.placed_at,
        country=event.country,
        currency=event.currency,
        total=event.total,
        lines=len(event.lines),
    )


@order_summary.on(OrderConfirmed)
def listed_as_confirmed(entry: OrderSummary, _event: OrderConfirmed) -> OrderSummary:
    """It moves from the placed to the confirmed."""
    return replace(entry, status="confirmed")


@order_summary.on(OrderRejected)
def listed_as_rejected(entry: OrderSummary, _event: OrderRejected) -> OrderSummary:
    """It moves to the rejected."""
    return replace(entry, status="rejected")


@order_summary.on(OrderCancelled)
def listed_as_cancelled(entry: OrderSummary, _event: OrderCancelled) -> OrderSummary:
    """It moves to the cancelled."""
    return replace(entry, status="cancelled")


@order_summary.on(OrderShipped)
def listed_as_shipped(entry: OrderSummary, _event: OrderShipped) -> OrderSummary:
    """It moves to the shipped."""
    return replace(entry, status="shipped")


VIEWS: Final = (order_details, order_summary, order_contact)
