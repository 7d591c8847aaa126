import pytest

from counterfoil.testing.spec import given, state_of
from domain.customers import customer as customers
from domain.customers import erasure
from domain.customers.customer import (
    CUSTOMER,
    AddressIdTaken,
    CustomerErased,
    CustomerIdTaken,
    CustomerUnknown,
    HasAnAccount,
    HoldStands,
    MergedWithItself,
    OrdersOpen,
    Profile,
    RecordIsClosed,
)
from domain.customers.merging import merge
from domain.ids import AccountId
from tests.customer_examples import (
    ADA,
    DIGEST,
    KEY,
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

HER = {"customer_id": ADA, "now": NOW}
PROFILE = Profile(
    name=sealed("Ada Lovelace"),
    email=sealed("ada@example.org"),
    email_digest=DIGEST,
    country="United Kingdom",
)
registered = given(customer_registered())
ERASE = {**HER, "open_orders": (), "key_ids": (KEY,)}


def test_a_customer_is_registered_once():
    given().when(customers.register, account_id=None, profile=PROFILE, **HER).then(customer_registered())
    registered.when(customers.register, account_id=None, profile=PROFILE, **HER).then_refused(
        CustomerIdTaken, customer_id=ADA
    )


def test_a_profile_takes_the_place_of_the_one_before():
    changed = profile_changed()
    profile = Profile(name=changed.name, phone=changed.phone, country=changed.country)

    registered.when(customers.change_profile, profile=profile, **HER).then(changed)


def test_an_address_is_added_under_an_id_that_is_free_and_removed_once():
    added, home = address_added(), given(customer_registered(), address_added())
    address = {
        "address_id": added.address_id,
        "recipient": added.recipient,
        "lines": added.lines,
        "country": added.country,
    }

    registered.when(customers.add_address, **address, **HER).then(added)
    home.when(customers.add_address, **address, **HER).then_refused(AddressIdTaken, address_id="home")
    home.when(customers.remove_address, address_id="home", **HER).then(address_removed())
    registered.when(customers.remove_address, address_id="home", **HER).then()


def test_what_is_so_already_is_not_recorded_again():
    language = {"preference": "language", "value": "en-GB", **HER}
    agreed = {"purpose": "marketing", "policy_version": "2026-01", **HER}

    registered.when(customers.set_preference, **language).then(preference_set())
    given(customer_registered(), preference_set()).when(customers.set_preference, **language).then()
    registered.when(customers.grant_consent, **agreed).then(consent_granted())
    given(customer_registered(), consent_granted()).when(customers.grant_consent, **agreed).then()
    registered.when(customers.withdraw_consent, purpose="marketing", **HER).then()
    given(customer_registered(), consent_granted()).when(
        customers.withdraw_consent, purpose="marketing", **HER
    ).then(consent_withdrawn())


@pytest.mark.parametrize(
    ("end", "refusal"),
    [(record_closed(), RecordIsClosed), (erasure_requested(), CustomerErased)],
    ids=["closed", "erasing"],
)
def test_a_record_that_is_closed_or_erased_takes_nothing_personal(end, refusal):
    given(customer_registered(), end).when(customers.change_profile, profile=PROFILE, **HER).then_refused(
        refusal, customer_id=ADA
    )


def test_who_was_never_registered_has_nothing_to_be_changed():
    given().when(customers.change_profile, profile=PROFILE, **HER).then_refused(CustomerUnknown)


def state(*events):
    return state_of(CUSTOMER, *events) if events else None


def test_another_record_becomes_part_with_its_keys():
    one = state(customer_registered())
    other = state(customer_registered(customer_id=OTHER, name=sealed("A. L.", key_id="theirs"), email=None))

    merged, closed = merge(one, other, customer_id=ADA, other_id=OTHER, key_id="row", now=NOW)

    assert [customers_merged(key_ids=("row", "theirs"))] == merged
    assert [record_closed(customer_id=OTHER, merged_into=ADA)] == closed
    assert ([], []) == merge(
        state(customer_registered(), *merged), other, customer_id=ADA, other_id=OTHER, key_id="row", now=NOW
    )


@pytest.mark.parametrize(
    ("other", "other_id", "refusal"),
    [
        (None, OTHER, CustomerUnknown),
        (None, ADA, MergedWithItself),
        (state(customer_registered(account_id=AccountId("a"))), OTHER, HasAnAccount),
        (state(customer_registered(), legal_hold_placed()), OTHER, HoldStands),
    ],
    ids=["nobody", "themselves", "with an account", "held"],
)
def test_a_record_that_has_to_stay_is_not_merged(other, other_id, refusal):
    with pytest.raises(refusal):
        merge(state(customer_registered()), other, customer_id=ADA, other_id=other_id, key_id="k", now=NOW)


def test_an_erasure_names_every_key():
    merged = state(customer_registered(), customers_merged(key_ids=("theirs",)))

    assert [erasure_requested(key_ids=(KEY, "row", "theirs"))] == erasure.request_erasure(
        merged, **{**ERASE, "key_ids": ("row",)}
    )


def test_an_erasure_waits_for_holds_and_open_orders():
    held = (customer_registered(), legal_hold_placed())

    with pytest.raises(HoldStands):
        erasure.request_erasure(state(*held), **ERASE)
    with pytest.raises(OrdersOpen):
        erasure.request_erasure(state(customer_registered()), **{**ERASE, "open_orders": ("1001",)})
    assert [erasure_requested()] == erasure.request_erasure(state(*held, legal_hold_lifted()), **ERASE)


def test_an_erasure_is_requested_and_recorded_once():
    asked = (customer_registered(), erasure_requested())
    done = (*asked, personal_data_erased())

    assert [] == erasure.request_erasure(state(*asked), **ERASE)
    assert [personal_data_erased()] == erasure.record_erasure(state(*asked), erasure_requested(), now=NOW)
    assert [] == erasure.record_erasure(state(*done), erasure_requested(), now=NOW)


def test_a_record_that_is_part_of_another_is_not_erased_alone():
    with pytest.raises(RecordIsClosed):
        erasure.request_erasure(state(customer_registered(), record_closed()), **ERASE)


def test_a_hold_is_placed_and_lifted_once():
    one, held = state(customer_registered()), state(customer_registered(), legal_hold_placed())
    hold = {"hold_id": "case-7", "reason": "litigation", **HER}

    assert [legal_hold_placed()] == erasure.place_hold(one, **hold)
    assert [] == erasure.place_hold(held, **hold)
    assert [legal_hold_lifted()] == erasure.lift_hold(held, hold_id="case-7", **HER)
    assert [] == erasure.lift_hold(one, hold_id="case-7", **HER)
