"""How the events of customers change their rows. Sealed values are carried as they are."""

from typing import Final

from msgspec.structs import replace

from domain.customers.events import (
    AddressAdded,
    AddressRemoved,
    ConsentGranted,
    ConsentWithdrawn,
    CustomerRegistered,
    CustomersMerged,
    ErasureRequested,
    LegalHoldLifted,
    LegalHoldPlaced,
    PersonalDataErased,
    PreferenceSet,
    ProfileChanged,
    RecordClosed,
)
from projections.customers.views import (
    Address,
    CustomerDetails,
    CustomerEmail,
    CustomerSummary,
    GivenConsent,
    Hold,
    customer_details,
    customer_email,
    customer_summary,
)


@customer_details.on(CustomerRegistered)
def registered(_customer: None, event: CustomerRegistered) -> CustomerDetails:
    """A customer begins with a profile."""
    return CustomerDetails(
        customer_id=event.customer_id,
        status="active",
        account_id=event.account_id,
        name=event.name,
        email=event.email,
        phone=event.phone,
        country=event.country,
        registered_at=event.registered_at,
        preferences={},
        consents={},
    )


@customer_details.on(ProfileChanged)
def changed(customer: CustomerDetails, event: ProfileChanged) -> CustomerDetails:
    """The profile is another one, as a whole."""
    return replace(customer, name=event.name, email=event.email, phone=event.phone, country=event.country)


@customer_details.on(AddressAdded)
def address_added(customer: CustomerDetails, event: AddressAdded) -> CustomerDetails:
    """Addresses stand in the order in which they were added."""
    added = Address(
        address_id=event.address_id, recipient=event.recipient, lines=event.lines, country=event.country
    )
    return replace(customer, addresses=(*customer.addresses, added))


@customer_details.on(AddressRemoved)
def address_removed(customer: CustomerDetails, event: AddressRemoved) -> CustomerDetails:
    """It is not shown any more."""
    kept = tuple(each for each in customer.addresses if each.address_id != event.address_id)
    return replace(customer, addresses=kept)


@customer_details.on(PreferenceSet)
def preferred(customer: CustomerDetails, event: PreferenceSet) -> CustomerDetails:
    """The newest one counts."""
    return replace(customer, preferences={**customer.preferences, event.preference: event.value})


@customer_details.on(ConsentGranted)
def granted(customer: CustomerDetails, event: ConsentGranted) -> CustomerDetails:
    """The newest version of the policy counts."""
    consent = GivenConsent(policy_version=event.policy_version, granted_at=event.granted_at)
    return replace(customer, consents={**customer.consents, event.purpose: consent})


@customer_details.on(ConsentWithdrawn)
def withdrawn(customer: CustomerDetails, event: ConsentWithdrawn) -> CustomerDetails:
    """What is not agreed to is not there."""
    kept = {purpose: each for purpose, each in customer.consents.items() if purpose != event.purpose}
    return replace(customer, consents=kept)


@customer_details.on(CustomersMerged)
def merged(customer: CustomerDetails, event: CustomersMerged) -> CustomerDetails:
    """Which records are part of this one."""
    return replace(customer, merged=(*customer.merged, *event.merged_ids))


@customer_details.on(RecordClosed)
def closed(customer: CustomerDetails, event: RecordClosed) -> CustomerDetails:
    """It stays readable, and says whose it is."""
    return replace(customer, status="closed", merged_into=event.merged_into)


@customer_details.on(LegalHoldPlaced)
def held(customer: CustomerDetails, event: LegalHoldPlaced) -> CustomerDetails:
    """Nothing is erased meanwhile."""
    hold = Hold(hold_id=event.hold_id, reason=event.reason, placed_at=event.placed_at)
    return replace(customer, holds=(*customer.holds, hold))


@customer_details.on(LegalHoldLifted)
def lifted(customer: CustomerDetails, event: LegalHoldLifted) -> CustomerDetails:
    """The hold is over."""
    return replace(customer, holds=tuple(each for each in customer.holds if each.hold_id != event.hold_id))


@customer_details.on(ErasureRequested)
def erasing(customer: CustomerDetails, event: ErasureRequested) -> CustomerDetails:
    """From now on the fields that are left are shown as erased."""
    return replace(customer, status="erasing", erasure_requested_at=event.requested_at)


@customer_details.on(PersonalDataErased)
def erased(customer: CustomerDetails, event: PersonalDataErased) -> CustomerDetails:
    """Their keys are gone."""
    return replace(customer, status="erased", erased_at=event.erased_at)


@customer_summary.on(CustomerRegistered)
def listed(_customer: None, event: CustomerRegistered) -> CustomerSummary:
    """A customer begins an entry."""
    return CustomerSummary(
        customer_id=event.customer_id,
        status="active",
        name=event.name,
        email=event.email,
        country=event.country,
        registered_at=event.registered_at,
    )


@customer_summary.on(ProfileChanged)
def listed_anew(customer: CustomerSummary, event: ProfileChanged) -> CustomerSummary:
    """The entry shows the profile of now."""
    return replace(customer, name=event.name, email=event.email, country=event.country)


@customer_summary.on(ConsentGranted)
def agreeing(customer: CustomerSummary, event: ConsentGranted) -> CustomerSummary:
    """Lists are narrowed by it."""
    return _agreeing(customer, event.purpose, agrees=True)


@customer_summary.on(ConsentWithdrawn)
def not_agreeing(customer: CustomerSummary, event: ConsentWithdrawn) -> CustomerSummary:
    """As above."""
    return _agreeing(customer, event.purpose, agrees=False)


@customer_summary.on(RecordClosed)
def listed_as_closed(customer: CustomerSummary, _event: RecordClosed) -> CustomerSummary:
    """Nobody is written to by it any more."""
    return replace(customer, status="closed", marketing=False, analytics=False)


@customer_summary.on(ErasureRequested)
def listed_as_erasing(customer: CustomerSummary, _event: ErasureRequested) -> CustomerSummary:
    """As above."""
    return replace(customer, status="erasing", marketing=False, analytics=False)


@customer_summary.on(PersonalDataErased)
def listed_as_erased(customer: CustomerSummary, _event: PersonalDataErased) -> CustomerSummary:
    """The entry stays: how many there were does not change."""
    return replace(customer, status="erased")


@customer_email.on(CustomerRegistered)
def found_by(_customer: None, event: CustomerRegistered) -> CustomerEmail | None:
    """A customer is found by their address."""
    return _found_by(event)


@customer_email.on(ProfileChanged)
def found_by_another(_customer: CustomerEmail | None, event: ProfileChanged) -> CustomerEmail | None:
    """By the newest one alone."""
    return _found_by(event)


@customer_email.on(RecordClosed)
def found_by_none(_customer: CustomerEmail | None, _event: RecordClosed) -> CustomerEmail | None:
    """Who it is part of is found."""
    return None


@customer_email.on(ErasureRequested)
def found_by_nobody(_customer: CustomerEmail | None, _event: ErasureRequested) -> CustomerEmail | None:
    """Nobody is found who is to be forgotten."""
    return None


def _agreeing(customer: CustomerSummary, purpose: str, *, agrees: bool) -> CustomerSummary:
    if purpose == "marketing":
        return replace(customer, marketing=agrees)
    return replace(customer, analytics=agrees)


def _found_by(event: CustomerRegistered | ProfileChanged) -> CustomerEmail | None:
    return None if event.email_digest is None else CustomerEmail(event.customer_id, event.email_digest)


VIEWS: Final = (customer_details, customer_summary, customer_email)
"""What can be asked about customers."""
