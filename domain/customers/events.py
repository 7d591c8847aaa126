"""The events of customers: the only part of them that other packages may rely on.

What says who somebody is, is sealed under a key of the customer's own. An erasure destroys the key and changes no
event: `ErasureRequested` and `PersonalDataErased` name the keys, and with them are the list of erasures.
"""

from typing import Annotated, Final, Literal

from domain.event import Event, event_type
from domain.ids import AccountId, AddressId, CustomerId, HoldId, KeyedHash
from domain.moment import Moment
from domain.sealed import ERASURE_TAG, KeyId, Sealed
from domain.text import Country, Personal, PublicText

_UNTIL_ERASED: Final = "until the customer is erased"

NAME: Final = Personal("name", purpose="to address the customer", kept=_UNTIL_ERASED)
EMAIL: Final = Personal("email", purpose="to write to the customer, and to find them", kept=_UNTIL_ERASED)
PHONE: Final = Personal("phone", purpose="to call the customer about an order", kept=_UNTIL_ERASED)
RECIPIENT: Final = Personal("name", purpose="who takes a parcel", kept=_UNTIL_ERASED)
LINES: Final = Personal("address", purpose="where parcels and bills go", kept=_UNTIL_ERASED)

Consent = Literal["marketing", "analytics"]
"""What somebody may agree to."""

Preference = Literal["language", "contact"]
"""What somebody may prefer: a language of the shop, a way of being contacted."""

HoldReason = Literal["litigation", "dispute", "tax", "investigation"]
"""Why the law has data kept."""

PreferenceValue = Annotated[str, PublicText("a language tag, or a way of being contacted")]
PolicyVersion = Annotated[str, PublicText("the shop's own name of a text that it published")]


def _erasure(_event: Event) -> tuple[str, ...]:
    return (ERASURE_TAG,)


@event_type("customers.customer_registered.v1")
class CustomerRegistered(Event, frozen=True, kw_only=True):
    """Somebody buys here: with an account, which has the same id, or as a guest.

    `email_digest` is a keyed hash of the address, by which it is found.
    """

    customer_id: CustomerId
    account_id: AccountId | None
    name: Annotated[Sealed | None, NAME]
    email: Annotated[Sealed | None, EMAIL]
    email_digest: KeyedHash | None
    phone: Annotated[Sealed | None, PHONE]
    country: Country
    registered_at: Moment


@event_type("customers.profile_changed.v1")
class ProfileChanged(Event, frozen=True, kw_only=True):
    """This is the whole profile from now on; what is not given is not known any more."""

    customer_id: CustomerId
    name: Annotated[Sealed | None, NAME]
    email: Annotated[Sealed | None, EMAIL]
    email_digest: KeyedHash | None
    phone: Annotated[Sealed | None, PHONE]
    country: Country
    changed_at: Moment


@event_type("customers.address_added.v1")
class AddressAdded(Event, frozen=True, kw_only=True):
    """Parcels and bills may go there. `lines` is what stands below the recipient, up to the country."""

    customer_id: CustomerId
    address_id: AddressId
    recipient: Annotated[Sealed, RECIPIENT]
    lines: Annotated[Sealed, LINES]
    country: Country
    added_at: Moment


@event_type("customers.address_removed.v1")
class AddressRemoved(Event, frozen=True, kw_only=True):
    """Nothing more goes there."""

    customer_id: CustomerId
    address_id: AddressId
    removed_at: Moment


@event_type("customers.preference_set.v1")
class PreferenceSet(Event, frozen=True, kw_only=True):
    """What the customer prefers from now on."""

    customer_id: CustomerId
    preference: Preference
    value: PreferenceValue
    set_at: Moment


@event_type("customers.consent_granted.v1")
class ConsentGranted(Event, frozen=True, kw_only=True):
    """The customer agrees to this, as that version of the policy describes it."""

    customer_id: CustomerId
    purpose: Consent
    policy_version: PolicyVersion
    granted_at: Moment


@event_type("customers.consent_withdrawn.v1")
class ConsentWithdrawn(Event, frozen=True, kw_only=True):
    """The customer does not agree to this any more."""

    customer_id: CustomerId
    purpose: Consent
    withdrawn_at: Moment


@event_type("customers.customers_merged.v1")
class CustomersMerged(Event, frozen=True, kw_only=True):
    """Another record is of the same person, and is part of this one from now on; an erasure destroys its keys too."""

    customer_id: CustomerId
    merged_ids: tuple[CustomerId, ...]
    key_ids: tuple[KeyId, ...]
    merged_at: Moment


@event_type("customers.record_closed.v1")
class RecordClosed(Event, frozen=True, kw_only=True):
    """The record is part of another one, and does not change any more."""

    customer_id: CustomerId
    merged_into: CustomerId
    closed_at: Moment


@event_type("customers.legal_hold_placed.v1")
class LegalHoldPlaced(Event, frozen=True, kw_only=True):
    """The law has this customer's data kept: nothing is erased until the hold is lifted."""

    customer_id: CustomerId
    hold_id: HoldId
    reason: HoldReason
    placed_at: Moment


@event_type("customers.legal_hold_lifted.v1")
class LegalHoldLifted(Event, frozen=True, kw_only=True):
    """The hold is over."""

    customer_id: CustomerId
    hold_id: HoldId
    lifted_at: Moment


@event_type("customers.erasure_requested.v1", tags=_erasure)
class ErasureRequested(Event, frozen=True, kw_only=True):
    """The customer's personal data is to be erased: from this event on nothing under these keys is opened."""

    customer_id: CustomerId
    account_id: AccountId | None
    key_ids: tuple[KeyId, ...]
    requested_at: Moment


@event_type("customers.personal_data_erased.v1", tags=_erasure)
class PersonalDataErased(Event, frozen=True, kw_only=True):
    """The keys were destroyed, and what let the customer log in: nobody can read the personal data ever again."""

    customer_id: CustomerId
    account_id: AccountId | None
    key_ids: tuple[KeyId, ...]
    erased_at: Moment
