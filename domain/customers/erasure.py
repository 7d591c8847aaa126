"""Erasure: asked for, held up by law or by orders that are open, and recorded once the keys are destroyed."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from domain.customers.customer import (
    NAMED_MAX,
    Customer,
    CustomerUnknown,
    HoldStands,
    OrdersOpen,
    RecordIsClosed,
    Status,
    require_active,
)
from domain.customers.events import (
    ErasureRequested,
    HoldReason,
    LegalHoldLifted,
    LegalHoldPlaced,
    PersonalDataErased,
)
from domain.event import Event
from domain.ids import CustomerId, HoldId, OrderId
from domain.moment import in_utc
from domain.sealed import KeyId


def place_hold(
    customer: Customer | None,
    *,
    customer_id: CustomerId,
    hold_id: HoldId,
    reason: HoldReason,
    now: datetime,
) -> list[Event]:
    """Have a customer's data kept; nothing if the hold stands.

    Raises:
        CustomerUnknown, RecordIsClosed, CustomerErased: there is nothing left to be kept.
    """
    customer = require_active(customer, customer_id=customer_id)
    if hold_id in customer.holds:
        return []
    return [LegalHoldPlaced(customer_id=customer_id, hold_id=hold_id, reason=reason, placed_at=in_utc(now))]


def lift_hold(
    customer: Customer | None, *, customer_id: CustomerId, hold_id: HoldId, now: datetime
) -> list[Event]:
    """End a hold; nothing if there is none of this id.

    Raises:
        CustomerUnknown: there is no such customer.
    """
    if customer is None:
        raise CustomerUnknown(customer_id=customer_id)
    if hold_id not in customer.holds:
        return []
    return [LegalHoldLifted(customer_id=customer_id, hold_id=hold_id, lifted_at=in_utc(now))]


def request_erasure(
    customer: Customer | None,
    *,
    customer_id: CustomerId,
    open_orders: Sequence[OrderId],
    key_ids: Iterable[KeyId],
    now: datetime,
) -> list[Event]:
    """Have a customer's personal data erased; nothing if that was asked for.

    Args:
        customer: the one of this id.
        customer_id: their id.
        open_orders: their orders, and those of records that are part of theirs, that are still to be shipped.
        key_ids: what the key database has of them, besides what their own events name.
        now: the time.

    Raises:
        CustomerUnknown, RecordIsClosed: there is nobody to be erased.
        HoldStands: the law has the data kept.
        OrdersOpen: it is still needed.
    """
    if customer is None:
        raise CustomerUnknown(customer_id=customer_id)
    if customer.status is Status.CLOSED:
        raise RecordIsClosed(customer_id=customer_id, merged_into=customer.merged_into)
    if customer.status is not Status.ACTIVE:
        return []
    if customer.holds:
        raise HoldStands(customer_id=customer_id, hold_ids=tuple(sorted(customer.holds)))
    if open_orders:
        raise OrdersOpen(customer_id=customer_id, order_ids=tuple(open_orders[:NAMED_MAX]))
    return [
        ErasureRequested(
            customer_id=customer_id,
            account_id=customer.account_id,
            key_ids=tuple(sorted(customer.key_ids.union(key_ids))),
            requested_at=in_utc(now),
        )
    ]


def record_erasure(customer: Customer | None, request: ErasureRequested, *, now: datetime) -> list[Event]:
    """Record that the keys were destroyed; nothing if that is recorded."""
    if customer is None or customer.status is not Status.ERASING:
        return []
    return [
        PersonalDataErased(
            customer_id=request.customer_id,
            account_id=request.account_id,
            key_ids=request.key_ids,
            erased_at=in_utc(now),
        )
    ]
