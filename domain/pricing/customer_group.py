"""The group of a customer: price lists of a channel may be for one group alone.

Asking again for what already holds decides nothing.
"""

from datetime import datetime
from typing import Final

from msgspec import Struct

from domain.aggregate import Aggregate
from domain.event import Event
from domain.ids import CustomerGroupId, CustomerId
from domain.moment import in_utc
from domain.pricing.events import CustomerGrouped


class CustomerGroup(Struct, frozen=True):
    """The group that a customer is in; None: in none, or in none any more."""

    customer_id: CustomerId
    group: CustomerGroupId | None


def evolve(_group: CustomerGroup | None, event: Event) -> CustomerGroup:
    """Return the group as it is after `event`."""
    match event:
        case CustomerGrouped():
            return CustomerGroup(event.customer_id, event.group)
    raise AssertionError(f"{type(event).__name__} is no event of the group of a customer")


CUSTOMER_GROUP: Final[Aggregate[CustomerGroup]] = Aggregate("customer_group", evolve, (CustomerGrouped,))


def group(
    known: CustomerGroup | None, *, customer_id: CustomerId, group: CustomerGroupId | None, now: datetime
) -> list[Event]:
    """Have a customer be in a group, and in no other one; None: in none. Nothing if it is so."""
    if group == (None if known is None else known.group):
        return []
    return [CustomerGrouped(customer_id=customer_id, group=group, grouped_at=in_utc(now))]
