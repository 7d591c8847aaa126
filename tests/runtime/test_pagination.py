from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.pagination import CURSOR_CHARACTERS_MAX, MalformedCursor, decode_cursor, encode_cursor, next_link

PLACE = tuple[datetime, str]
placed_at = st.datetimes(timezones=st.just(UTC))


@given(placed_at=placed_at, order_id=st.text(max_size=64))
def test_a_cursor_gives_back_the_place_it_was_made_for(placed_at, order_id):
    cursor = encode_cursor((placed_at, order_id), scope="orders")

    assert decode_cursor(cursor, scope="orders", place=PLACE) == (placed_at, order_id)


@given(data=st.data())
def test_a_cursor_with_one_changed_character_is_refused(data):
    cursor = encode_cursor((datetime(2011, 1, 4, 10, tzinfo=UTC), "536365"), scope="orders")
    index = data.draw(st.integers(0, len(cursor) - 1))
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    changed = data.draw(st.sampled_from(sorted(set(alphabet) - {cursor[index]})))
    tampered = cursor[:index] + changed + cursor[index + 1 :]

    with pytest.raises(MalformedCursor):
        decode_cursor(tampered, scope="orders", place=PLACE)


def test_a_cursor_of_another_list_is_refused():
    cursor = encode_cursor(("A",), scope="orders status=placed")

    with pytest.raises(MalformedCursor):
        decode_cursor(cursor, scope="orders status=shipped", place=tuple[str])


def test_a_cursor_of_another_shape_is_refused():
    cursor = encode_cursor((1, 2), scope="orders")

    with pytest.raises(MalformedCursor):
        decode_cursor(cursor, scope="orders", place=PLACE)


@given(text=st.text(max_size=200))
def test_any_made_up_text_is_refused_as_a_cursor(text):
    with pytest.raises(MalformedCursor):
        decode_cursor(text, scope="orders", place=PLACE)


def test_an_endless_cursor_is_refused_before_it_is_decoded():
    with pytest.raises(MalformedCursor):
        decode_cursor("A" * (CURSOR_CHARACTERS_MAX + 1), scope="orders", place=PLACE)


def test_the_next_link_keeps_the_filters_and_replaces_the_cursor():
    link = next_link("/orders", [("customer", "A B"), ("cursor", "old")], cursor="new")

    assert link == '</orders?customer=A+B&cursor=new>; rel="next"'
