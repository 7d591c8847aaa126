"""One ordinary case of each event of a customer, in the order in which they could be recorded."""

from datetime import UTC, datetime
from typing import Any, Final

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
from domain.event import Event
from domain.ids import AddressId, CustomerId, HoldId, KeyedHash
from domain.sealed import KeyId, Sealed

NOW: Final = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ADA: Final = CustomerId("17850")
OTHER: Final = CustomerId("17851")
DIGEST: Final = KeyedHash("9f86d081884c7d659a2feaa0c55ad015")
KEY: Final = KeyId("0198b2f46d0e7c3a9f1b2a4c6e8f0a1b")


def sealed(text: str, *, key_id: str = KEY) -> Sealed:
    """Something that looks sealed: the text is its own ciphertext, which only a test can read."""
    return Sealed(KeyId(key_id), b"twelve bytes", text.encode().ljust(16))


def customer_registered(**changes: Any) -> CustomerRegistered:
    example = CustomerRegistered(
        customer_id=ADA,
        account_id=None,
        name=sealed("Ada Lovelace"),
        email=sealed("ada@example.org"),
        email_digest=DIGEST,
        phone=None,
        country="United Kingdom",
        registered_at=NOW,
    )
    return replace(example, **changes)


def profile_changed(**changes: Any) -> ProfileChanged:
    example = ProfileChanged(
        customer_id=ADA,
        name=sealed("Ada King"),
        email=None,
        email_digest=None,
        phone=sealed("+44 20 7946 0958"),
        country="Italy",
        changed_at=NOW,
    )
    return replace(example, **changes)


def address_added(**changes: Any) -> AddressAdded:
    example = AddressAdded(
        customer_id=ADA,
        address_id=AddressId("home"),
        recipient=sealed("Ada Lovelace"),
        lines=sealed("12 St James's Square"),
        country="United Kingdom",
        added_at=NOW,
    )
    return replace(example, **changes)


def address_removed(**changes: Any) -> AddressRemoved:
    return replace(AddressRemoved(customer_id=ADA, address_id=AddressId("home"), removed_at=NOW), **changes)


def preference_set(**changes: Any) -> PreferenceSet:
    example = PreferenceSet(customer_id=ADA, preference="language", value="en-GB", set_at=NOW)
    return replace(example, **changes)


def consent_granted(**changes: Any) -> ConsentGranted:
    example = ConsentGranted(customer_id=ADA, purpose="marketing", policy_version="2026-01", granted_at=NOW)
    return replace(example, **changes)


def consent_withdrawn(**changes: Any) -> ConsentWithdrawn:
    return replace(ConsentWithdrawn(customer_id=ADA, purpose="marketing", withdrawn_at=NOW), **changes)


def customers_merged(**changes: Any) -> CustomersMerged:
    example = CustomersMerged(
        customer_id=ADA, merged_ids=(OTHER,), key_ids=(KeyId("0198b2f46d0e7c3a"),), merged_at=NOW
    )
    return replace(example, **changes)


def record_closed(**changes: Any) -> RecordClosed:
    return replace(RecordClosed(customer_id=ADA, merged_into=OTHER, closed_at=NOW), **changes)


def legal_hold_placed(**changes: Any) -> LegalHoldPlaced:
    example = LegalHoldPlaced(customer_id=ADA, hold_id=HoldId("case-7"), reason="litigation", placed_at=NOW)
    return replace(example, **changes)


def legal_hold_lifted(**changes: Any) -> LegalHoldLifted:
    return replace(LegalHoldLifted(customer_id=ADA, hold_id=HoldId("case-7"), lifted_at=NOW), **changes)


def erasure_requested(**changes: Any) -> ErasureRequested:
    example = ErasureRequested(customer_id=ADA, account_id=None, key_ids=(KEY,), requested_at=NOW)
    return replace(example, **changes)


def personal_data_erased(**changes: Any) -> PersonalDataErased:
    example = PersonalDataErased(customer_id=ADA, account_id=None, key_ids=(KEY,), erased_at=NOW)
    return replace(example, **changes)


ONE_OF_EACH: Final[tuple[Event, ...]] = (
    customer_registered(),
    profile_changed(),
    address_added(),
    address_removed(),
    preference_set(),
    consent_granted(),
    consent_withdrawn(),
    customers_merged(),
    legal_hold_placed(),
    legal_hold_lifted(),
    erasure_requested(),
    personal_data_erased(),
    record_closed(),
)
