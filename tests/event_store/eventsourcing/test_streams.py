from uuid import UUID

import pytest
from eventsourcing.persistence import DataError
from hypothesis import example, given
from hypothesis import strategies as st

from counterfoil.contexts import CONTEXTS
from event_store.eventsourcing import streams
from event_store.eventsourcing.streams import Namespace
from event_store.log.appending import limits

NAMES = st.text(st.characters(codec="utf-8"), max_size=150)
ID = UUID("a3e2c2f0-4c5e-4f0e-9d6b-3c1f0a8b7d11")


@pytest.mark.parametrize(
    ("name", "category"),
    [
        ("BankAccounts", "BankAccounts"),
        ("wiki", "_wiki"),
        ("_wiki", "__wiki"),
        ("Dog-School", "Dog%2DSchool"),
        ("Dog School~1", "Dog%20School%7E1"),
        ("", "_"),
    ],
)
def test_a_category_is_the_applications_name_made_safe(name: str, category: str):
    assert category == streams.category_of(name)


@given(NAMES)
@example("x" * 101)
@example("é" * 60)
def test_a_category_fits_and_is_no_category_of_the_shop(name: str):
    category = streams.category_of(name)

    assert len(category) <= streams.CATEGORY_CHARACTERS_MAX
    assert category.isascii()
    assert "-" not in category
    assert category < "a"


@given(NAMES, NAMES)
@example("wiki", "_wiki")
@example("a-b", "a%2Db")
@example("x" * 101, "x" * 102)
@example("", "stored")
@example("", "_")
def test_two_applications_never_have_one_category(one: str, other: str):
    assert (one == other) == (streams.category_of(one) == streams.category_of(other))


def test_the_shops_categories_begin_with_a_lower_case_letter():
    assert [] == [each.category for each in CONTEXTS.aggregates if each.category < "a"]


def test_an_id_is_written_one_way_and_comes_back_in_the_type_the_application_uses():
    uuids, texts = Namespace("Bank", "uuid"), Namespace("Bank", "text")

    assert f"Bank-{ID}" == uuids.stream_of(ID) == uuids.stream_of(ID.hex.upper())
    assert uuids.originator_id_of(f"Bank-{ID}") == ID
    assert "Bank-account-7" == texts.stream_of("account-7")
    assert texts.originator_id_of("Bank-account-7") == "account-7"
    assert texts.originator_id_of(f"Bank-{ID}") == str(ID)


def test_a_text_is_no_uuid():
    with pytest.raises(DataError, match="ORIGINATOR_ID_TYPE=text"):
        Namespace("Bank", "uuid").stream_of("account-7")


def test_the_longest_category_leaves_room_for_ids():
    longest = streams.category_of("x" * 1000)

    assert len(Namespace(longest, "uuid").stream_of(ID)) < limits.STREAM_CHARACTERS_MAX
