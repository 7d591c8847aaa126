from counterfoil.testing.spec import folded
from projections.customers.views import (
    Address,
    CustomerEmail,
    GivenConsent,
    customer_details,
    customer_email,
    customer_summary,
)
from tests.customer_examples import (
    ADA,
    DIGEST,
    NOW,
    OTHER,
    address_added,
    address_removed,
    consent_granted,
    consent_withdrawn,
    customer_registered,
    customers_merged,
    erasure_requested,
    legal_hold_lifted,
    legal_hold_placed,
    personal_data_erased,
    preference_set,
    profile_changed,
    record_closed,
    sealed,
)


def details(*events):
    return folded(customer_details, customer_registered(), *events)[ADA,]


def summary(*events):
    return folded(customer_summary, customer_registered(), *events)[ADA,]


def test_a_row_carries_sealed_values_as_they_are():
    assert sealed("Ada Lovelace") == details().name
    assert (sealed("Ada King"), None, "Italy") == (
        details(profile_changed()).name,
        details(profile_changed()).email,
        details(profile_changed()).country,
    )


def test_a_row_has_addresses_preferences_consents_and_holds():
    home = Address(
        address_id="home",
        recipient=sealed("Ada Lovelace"),
        lines=sealed("12 St James's Square"),
        country="United Kingdom",
    )
    row = details(address_added(), preference_set(), consent_granted(), legal_hold_placed())

    assert ((home,), {"language": "en-GB"}) == (row.addresses, row.preferences)
    assert {"marketing": GivenConsent(policy_version="2026-01", granted_at=NOW)} == row.consents
    assert ["case-7"] == [hold.hold_id for hold in row.holds]
    gone = details(
        address_added(),
        address_removed(),
        consent_granted(),
        consent_withdrawn(),
        legal_hold_placed(),
        legal_hold_lifted(),
    )
    assert ((), {}, ()) == (gone.addresses, gone.consents, gone.holds)


def test_merged_records_name_each_other():
    assert (OTHER,) == details(customers_merged()).merged
    assert ("closed", OTHER) == (details(record_closed()).status, details(record_closed()).merged_into)


def test_an_erasure_leaves_the_row_and_its_ciphertext():
    row = details(erasure_requested(), personal_data_erased())

    assert ("erased", NOW, sealed("Ada Lovelace")) == (row.status, row.erased_at, row.name)
    assert "erasing" == details(erasure_requested()).status


def test_an_entry_says_what_is_agreed_to_and_nothing_after_an_erasure():
    assert summary(consent_granted()).marketing
    assert summary(consent_granted(purpose="analytics")).analytics
    assert not summary(consent_granted(), consent_withdrawn()).marketing
    for end in (erasure_requested(), record_closed()):
        assert not summary(consent_granted(), end).marketing
    assert "erased" == summary(erasure_requested(), personal_data_erased()).status


def test_who_is_closed_or_to_be_erased_is_not_found_by_an_address():
    found = {(ADA,): CustomerEmail(ADA, DIGEST)}

    assert found == folded(customer_email, customer_registered())
    for end in (profile_changed(), record_closed(), erasure_requested()):
        assert {} == folded(customer_email, customer_registered(), end)
