"""What can be asked about customers: row types and their keys. Personal fields are sealed, and shown by role."""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Struct

from domain.customers.customer import CUSTOMER
from domain.customers.events import (
    EMAIL,
    LINES,
    NAME,
    PHONE,
    RECIPIENT,
    Consent,
    HoldReason,
    PolicyVersion,
    Preference,
    PreferenceValue,
)
from domain.ids import AccountId, AddressId, CustomerId, HoldId, KeyedHash
from domain.sealed import Sealed
from domain.text import Country
from projections.view import DEFERRED, KEYED, Row, View

Status = Literal["active", "closed", "erasing", "erased"]


class Address(Struct, frozen=True, kw_only=True):
    """Where parcels and bills may go."""

    address_id: AddressId
    recipient: Annotated[Sealed, RECIPIENT]
    lines: Annotated[Sealed, LINES]
    country: Country


class GivenConsent(Struct, frozen=True, kw_only=True):
    """What the customer agrees to, as which version of the policy describes it."""

    policy_version: PolicyVersion
    granted_at: datetime


class Hold(Struct, frozen=True, kw_only=True):
    """Why the law has the data kept."""

    hold_id: HoldId
    reason: HoldReason
    placed_at: datetime


class CustomerDetails(Row, frozen=True, kw_only=True):
    """One customer. `merged` are records that are part of this one; a `closed` one is part of `merged_into`."""

    customer_id: CustomerId
    status: Status
    account_id: AccountId | None
    name: Annotated[Sealed | None, NAME]
    email: Annotated[Sealed | None, EMAIL]
    phone: Annotated[Sealed | None, PHONE]
    country: Country
    registered_at: datetime
    preferences: dict[Preference, PreferenceValue]
    consents: dict[Consent, GivenConsent]
    addresses: tuple[Address, ...] = ()
    holds: tuple[Hold, ...] = ()
    merged: tuple[CustomerId, ...] = ()
    merged_into: CustomerId | None = None
    erasure_requested_at: datetime | None = None
    erased_at: datetime | None = None


class CustomerSummary(Row, frozen=True, kw_only=True):
    """One entry in a list of customers. `marketing` and `analytics` say whether they agree to it."""

    customer_id: CustomerId
    status: Status
    name: Annotated[Sealed | None, NAME]
    email: Annotated[Sealed | None, EMAIL]
    country: Country
    registered_at: datetime
    marketing: bool = False
    analytics: bool = False


class CustomerEmail(Row, frozen=True):
    """The keyed hash of an address by which a customer is found; none of who is closed or erased."""

    customer_id: CustomerId
    email_digest: KeyedHash


customer_details = View(
    name="customer_details",
    row=CustomerDetails,
    key=("customer_id",),
    shape=1,
    kind=KEYED,
    document="customers:customer",
    category=CUSTOMER.category,
)
customer_summary = View(
    name="customer_summary",
    row=CustomerSummary,
    key=("customer_id",),
    shape=1,
    kind=DEFERRED,
    category=CUSTOMER.category,
)
customer_email = View(
    name="customer_email",
    row=CustomerEmail,
    key=("customer_id",),
    shape=1,
    kind=KEYED,
    category=CUSTOMER.category,
)
