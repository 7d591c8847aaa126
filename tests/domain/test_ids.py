import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.ids import ID_LENGTH_MAX, ID_PATTERN, MalformedId, composite, validate_id

ENDS = string.ascii_letters + string.digits
INSIDE = ENDS + "_. -"


def ids() -> st.SearchStrategy[str]:
    single = st.sampled_from(ENDS)
    longer = st.tuples(single, st.text(INSIDE, max_size=ID_LENGTH_MAX - 2), single).map("".join)
    return single | longer


@given(ids())
def test_an_id_is_kept_exactly_as_given(text):
    assert text == validate_id(text)


@pytest.mark.parametrize(
    "text", ["", " a", "a ", "-a", "a-", "a~b", "a/b", "ä", "a\n", "a\x00", "٣", "_a", "a.", "a" * 65]
)
def test_text_beyond_the_alphabet_is_no_id(text):
    with pytest.raises(MalformedId) as refusal:
        validate_id(text)

    assert {"given": text} == refusal.value.facts()


@given(st.text(max_size=80))
def test_the_published_pattern_says_the_same_as_the_check(text):
    matches = re.search(ID_PATTERN.replace("$", r"\Z"), text) is not None
    try:
        accepted = validate_id(text) == text
    except MalformedId:
        accepted = False

    assert matches == accepted


def test_ids_that_differ_in_case_differ():
    assert validate_id("85123A") != validate_id("85123a")


@given(st.lists(ids(), min_size=1, max_size=4), st.lists(ids(), min_size=1, max_size=4))
def test_a_composite_id_names_one_sequence_of_parts(ours, theirs):
    assert (ours == theirs) == (composite(*ours) == composite(*theirs))
