"""Merging: another record of the same person becomes part of a customer's, and changes no more."""

from datetime import datetime

from domain.customers.customer import (
    MERGED_MAX,
    Customer,
    HasAnAccount,
    HoldStands,
    MergedWithItself,
    TooManyMerged,
    require_active,
)
from domain.customers.events import CustomersMerged, RecordClosed
from domain.event import Event
from domain.ids import CustomerId
from domain.moment import in_utc
from domain.sealed import KeyId


def merge(
    customer: Customer | None,
    other: Customer | None,
    *,
    customer_id: CustomerId,
    other_id: CustomerId,
    key_id: KeyId,
    now: datetime,
) -> tuple[list[Event], list[Event]]:
    """Make another record part of a customer's: events of the customer, and events of the other; none if it is.

    `key_id` is the key of the other one's subject, which their own events need not name.

    Raises:
        MergedWithItself, TooManyMerged: they cannot be merged.
        CustomerUnknown, RecordIsClosed, CustomerErased: one of them does not change any more.
        HasAnAccount, HoldStands: the other one has to stay.
    """
    if customer_id == other_id:
        raise MergedWithItself(customer_id=customer_id)
    customer = require_active(customer, customer_id=customer_id)
    if other_id in customer.merged:
        return [], []
    other = require_active(other, customer_id=other_id)
    if other.account_id is not None:
        raise HasAnAccount(customer_id=other_id)
    if other.holds:
        raise HoldStands(customer_id=other_id, hold_ids=tuple(sorted(other.holds)))
    merged_ids = (other_id, *other.merged)
    if len(customer.merged) + len(merged_ids) > MERGED_MAX:
        raise TooManyMerged(customer_id=customer_id)
    merged = CustomersMerged(
        customer_id=customer_id,
        merged_ids=merged_ids,
        key_ids=tuple(sorted(other.key_ids | {key_id})),
        merged_at=in_utc(now),
    )
    closed = RecordClosed(customer_id=other_id, merged_into=customer_id, closed_at=in_utc(now))
    return [merged], [closed]
