"""A customer: who buys here, what they agree to, and how they are forgotten.

active ─┬─▶ closed           part of another record
        └─▶ erasing ─▶ erased

Personal values are sealed before they come here; nothing in this module opens them. Asking again for what already holds
decides nothing. Refusals:

Conflict      CustomerIdTaken, RecordIsClosed, CustomerErased, AddressIdTaken, TooManyAddresses, TooManyMerged,
              HasAnAccount, HoldStands, OrdersOpen
Unknown       CustomerUnknown
Unacceptable  MergedWithItself
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from domain.aggregate import Aggregate
from domain.customers.events import (
    AddressAdded,
    AddressRemoved,
    Consent,
    ConsentGranted,
    ConsentWithdrawn,
    CustomerRegistered,
    CustomersMerged,
    ErasureRequested,
    LegalHoldLifted,
    LegalHoldPlaced,
    PersonalDataErased,
    Preference,
    PreferenceSet,
    ProfileChanged,
    RecordClosed,
)
from domain.event import Event
from domain.ids import AccountId, AddressId, CustomerId, HoldId, KeyedHash, OrderId
from domain.moment import in_utc
from domain.rejection import Conflict, Unacceptable, Unknown
from domain.sealed import KeyId, Sealed

ADDRESSES_MAX: Final = 50
"""Addresses of one customer."""

MERGED_MAX: Final = 100
"""Records that are part of one."""

NAMED_MAX: Final = 20
"""Orders that a refusal names."""


class Status(StrEnum):
    """Where a record stands."""

    ACTIVE = "active"
    CLOSED = "closed"
    ERASING = "erasing"
    ERASED = "erased"


class Profile(Struct, frozen=True, kw_only=True):
    """Who somebody is, sealed; `email_digest` is the keyed hash of the address."""

    name: Sealed | None = None
    email: Sealed | None = None
    email_digest: KeyedHash | None = None
    phone: Sealed | None = None
    country: str


class Customer(Struct, frozen=True, kw_only=True):
    """What decisions need. `key_ids` are those that anything of this record was sealed under, as far as it says."""

    customer_id: CustomerId
    account_id: AccountId | None
    status: Status = Status.ACTIVE
    addresses: frozenset[AddressId] = frozenset()
    preferences: Mapping[Preference, str] = {}
    consents: Mapping[Consent, str] = {}
    holds: frozenset[HoldId] = frozenset()
    merged: tuple[CustomerId, ...] = ()
    merged_into: CustomerId | None = None
    key_ids: frozenset[KeyId] = frozenset()


@dataclass(kw_only=True, eq=False)
class CustomerUnknown(Unknown):
    """No customer has this id."""

    title = "There is no such customer"
    meaning = "No customer with this id was registered."
    remedy = "Register the customer first, or check the id: case matters."

    customer_id: CustomerId

    def __str__(self) -> str:
        return f"There is no customer '{self.customer_id}'."


@dataclass(kw_only=True, eq=False)
class CustomerIdTaken(Conflict):
    """The id belongs to a customer already."""

    title = "The id belongs to a customer already"
    meaning = "A customer is registered once."
    remedy = "Change the profile of the customer who has the id, or choose another id."

    customer_id: CustomerId

    def __str__(self) -> str:
        return f"There is a customer '{self.customer_id}' already."


@dataclass(kw_only=True, eq=False)
class RecordIsClosed(Conflict):
    """The record is part of another one."""

    title = "The record is part of another customer's"
    meaning = "The record was merged into that of `facts.merged_into`, and does not change any more."
    remedy = "Send the command for that customer."

    customer_id: CustomerId
    merged_into: CustomerId | None

    def __str__(self) -> str:
        return f"Customer '{self.customer_id}' is part of customer '{self.merged_into}'."


@dataclass(kw_only=True, eq=False)
class CustomerErased(Conflict):
    """The customer's personal data was erased, or is being erased."""

    title = "The customer's personal data is erased"
    meaning = "An erasure was asked for. Nothing personal is recorded of this customer any more."
    remedy = "Who buys here again is another customer, with another id."

    customer_id: CustomerId

    def __str__(self) -> str:
        return f"The personal data of customer '{self.customer_id}' is erased."


@dataclass(kw_only=True, eq=False)
class AddressIdTaken(Conflict):
    """The customer has an address of this id."""

    title = "The customer has an address of this id"
    meaning = "An address does not change: it is removed, and another one is added."
    remedy = "Choose another id."

    customer_id: CustomerId
    address_id: AddressId

    def __str__(self) -> str:
        return f"Customer '{self.customer_id}' has an address '{self.address_id}' already."


@dataclass(kw_only=True, eq=False)
class TooManyAddresses(Conflict):
    """The customer has as many addresses as there may be."""

    title = "The customer has too many addresses"
    meaning = "A customer has as many addresses as `facts.limit` says, and not more."
    remedy = "Remove one that is not used any more."

    customer_id: CustomerId
    limit: int = ADDRESSES_MAX

    def __str__(self) -> str:
        return f"Customer '{self.customer_id}' has {self.limit} addresses."


@dataclass(kw_only=True, eq=False)
class TooManyMerged(Conflict):
    """As many records are part of the customer's as may be."""

    title = "Too many records are part of this one"
    meaning = "A record takes in as many others as `facts.limit` says, and not more."
    remedy = "Leave the other record as it is."

    customer_id: CustomerId
    limit: int = MERGED_MAX

    def __str__(self) -> str:
        return f"Customer '{self.customer_id}' takes in {self.limit} records at most."


@dataclass(kw_only=True, eq=False)
class HasAnAccount(Conflict):
    """A record with an account stays: its owner logs in to it."""

    title = "The customer has an account"
    meaning = "The record of somebody who has an account is not made part of another one."
    remedy = "Merge the other one into this one."

    customer_id: CustomerId

    def __str__(self) -> str:
        return f"Customer '{self.customer_id}' has an account."


@dataclass(kw_only=True, eq=False)
class MergedWithItself(Unacceptable):
    """A record is not merged with itself."""

    title = "A customer is not merged with themselves"
    meaning = "Both ids name the same customer."
    remedy = "Name two customers."

    customer_id: CustomerId

    def __str__(self) -> str:
        return f"Customer '{self.customer_id}' cannot be merged with themselves."


@dataclass(kw_only=True, eq=False)
class HoldStands(Conflict):
    """The law has the data kept."""

    title = "A legal hold stands"
    meaning = "The law has this customer's data kept, by the holds in `facts.hold_ids`."
    remedy = "Ask again once the holds are lifted."

    customer_id: CustomerId
    hold_ids: tuple[HoldId, ...]

    def __str__(self) -> str:
        return f"The data of customer '{self.customer_id}' is kept by law."


@dataclass(kw_only=True, eq=False)
class OrdersOpen(Conflict):
    """Orders of the customer are still to be shipped."""

    title = "Orders of the customer are open"
    meaning = "Name and address are needed until the orders in `facts.order_ids` are shipped, cancelled or rejected."
    remedy = "Cancel or ship them, then ask again."

    customer_id: CustomerId
    order_ids: tuple[OrderId, ...]

    def __str__(self) -> str:
        return f"Customer '{self.customer_id}' has open orders."


def evolve(customer: Customer | None, event: Event) -> Customer:
    """Return the customer as they are after `event`."""
    if isinstance(event, CustomerRegistered):
        registered = Customer(customer_id=event.customer_id, account_id=event.account_id)
        return _with_keys(registered, event.name, event.email, event.phone)
    assert customer is not None, "a change of a customer who was never registered"
    match event:
        case ProfileChanged():
            return _with_keys(customer, event.name, event.email, event.phone)
        case AddressAdded():
            added = replace(customer, addresses=customer.addresses | {event.address_id})
            return _with_keys(added, event.recipient, event.lines)
        case AddressRemoved():
            return replace(customer, addresses=customer.addresses - {event.address_id})
        case PreferenceSet():
            return replace(customer, preferences={**customer.preferences, event.preference: event.value})
        case ConsentGranted():
            return replace(customer, consents={**customer.consents, event.purpose: event.policy_version})
        case ConsentWithdrawn():
            kept = {purpose: text for purpose, text in customer.consents.items() if purpose != event.purpose}
            return replace(customer, consents=kept)
        case _:
            return _evolve_record(customer, event)


def _evolve_record(customer: Customer, event: Event) -> Customer:
    """The same for what happens to the record as a whole."""
    match event:
        case CustomersMerged():
            keys = customer.key_ids.union(event.key_ids)
            return replace(customer, merged=(*customer.merged, *event.merged_ids), key_ids=keys)
        case RecordClosed():
            return replace(customer, status=Status.CLOSED, merged_into=event.merged_into)
        case LegalHoldPlaced():
            return replace(customer, holds=customer.holds | {event.hold_id})
        case LegalHoldLifted():
            return replace(customer, holds=customer.holds - {event.hold_id})
        case ErasureRequested():
            keys = customer.key_ids.union(event.key_ids)
            return replace(customer, status=Status.ERASING, key_ids=keys)
        case PersonalDataErased():
            return replace(customer, status=Status.ERASED)
    raise AssertionError(f"{type(event).__name__} is no event of a customer")


def _with_keys(customer: Customer, *values: Sealed | None) -> Customer:
    return replace(customer, key_ids=customer.key_ids.union(value.key_id for value in values if value))


CUSTOMER: Final[Aggregate[Customer]] = Aggregate(
    "customer",
    evolve,
    (
        CustomerRegistered,
        ProfileChanged,
        AddressAdded,
        AddressRemoved,
        PreferenceSet,
        ConsentGranted,
        ConsentWithdrawn,
        CustomersMerged,
        RecordClosed,
        LegalHoldPlaced,
        LegalHoldLifted,
        ErasureRequested,
        PersonalDataErased,
    ),
)


def require_active(customer: Customer | None, *, customer_id: CustomerId) -> Customer:
    """The customer, about whom something new may be recorded.

    Raises:
        CustomerUnknown, RecordIsClosed, CustomerErased: nothing may.
    """
    if customer is None:
        raise CustomerUnknown(customer_id=customer_id)
    if customer.status is Status.CLOSED:
        raise RecordIsClosed(customer_id=customer_id, merged_into=customer.merged_into)
    if customer.status in {Status.ERASING, Status.ERASED}:
        raise CustomerErased(customer_id=customer_id)
    return customer


def register(
    customer: Customer | None,
    *,
    customer_id: CustomerId,
    account_id: AccountId | None,
    profile: Profile,
    now: datetime,
) -> list[Event]:
    """Register a customer.

    Raises:
        CustomerIdTaken: there is one of this id.
    """
    if customer is not None:
        raise CustomerIdTaken(customer_id=customer_id)
    return [
        CustomerRegistered(
            customer_id=customer_id,
            account_id=account_id,
            name=profile.name,
            email=profile.email,
            email_digest=profile.email_digest,
            phone=profile.phone,
            country=profile.country,
            registered_at=in_utc(now),
        )
    ]


def change_profile(
    customer: Customer | None, *, customer_id: CustomerId, profile: Profile, now: datetime
) -> list[Event]:
    """Put a profile in the place of the one before, as a whole.

    Raises:
        CustomerUnknown, RecordIsClosed, CustomerErased: there is none to be changed.
    """
    require_active(customer, customer_id=customer_id)
    return [
        ProfileChanged(
            customer_id=customer_id,
            name=profile.name,
            email=profile.email,
            email_digest=profile.email_digest,
            phone=profile.phone,
            country=profile.country,
            changed_at=in_utc(now),
        )
    ]


def add_address(
    customer: Customer | None,
    *,
    customer_id: CustomerId,
    address_id: AddressId,
    recipient: Sealed,
    lines: Sealed,
    country: str,
    now: datetime,
) -> list[Event]:
    """Add an address.

    Raises:
        CustomerUnknown, RecordIsClosed, CustomerErased: the customer has none.
        AddressIdTaken, TooManyAddresses: it is one too many.
    """
    customer = require_active(customer, customer_id=customer_id)
    if address_id in customer.addresses:
        raise AddressIdTaken(customer_id=customer_id, address_id=address_id)
    if len(customer.addresses) >= ADDRESSES_MAX:
        raise TooManyAddresses(customer_id=customer_id)
    return [
        AddressAdded(
            customer_id=customer_id,
            address_id=address_id,
            recipient=recipient,
            lines=lines,
            country=country,
            added_at=in_utc(now),
        )
    ]


def remove_address(
    customer: Customer | None, *, customer_id: CustomerId, address_id: AddressId, now: datetime
) -> list[Event]:
    """Remove an address; nothing if there is none of this id.

    Raises:
        CustomerUnknown, RecordIsClosed, CustomerErased: the customer has none.
    """
    customer = require_active(customer, customer_id=customer_id)
    if address_id not in customer.addresses:
        return []
    return [AddressRemoved(customer_id=customer_id, address_id=address_id, removed_at=in_utc(now))]


def set_preference(
    customer: Customer | None,
    *,
    customer_id: CustomerId,
    preference: Preference,
    value: str,
    now: datetime,
) -> list[Event]:
    """Note what the customer prefers.

    Raises:
        CustomerUnknown, RecordIsClosed, CustomerErased: there is nobody who could.
    """
    customer = require_active(customer, customer_id=customer_id)
    if customer.preferences.get(preference) == value:
        return []
    return [PreferenceSet(customer_id=customer_id, preference=preference, value=value, set_at=in_utc(now))]


def grant_consent(
    customer: Customer | None,
    *,
    customer_id: CustomerId,
    purpose: Consent,
    policy_version: str,
    now: datetime,
) -> list[Event]:
    """Note that the customer agrees to something, as a version of the policy describes it.

    Raises:
        CustomerUnknown, RecordIsClosed, CustomerErased: there is nobody who could.
    """
    customer = require_active(customer, customer_id=customer_id)
    if customer.consents.get(purpose) == policy_version:
        return []
    return [
        ConsentGranted(
            customer_id=customer_id, purpose=purpose, policy_version=policy_version, granted_at=in_utc(now)
        )
    ]


def withdraw_consent(
    customer: Customer | None, *, customer_id: CustomerId, purpose: Consent, now: datetime
) -> list[Event]:
    """Note that the customer does not agree any more.

    Raises:
        CustomerUnknown, RecordIsClosed, CustomerErased: there is nobody who could.
    """
    customer = require_active(customer, customer_id=customer_id)
    if purpose not in customer.consents:
        return []
    return [ConsentWithdrawn(customer_id=customer_id, purpose=purpose, withdrawn_at=in_utc(now))]
