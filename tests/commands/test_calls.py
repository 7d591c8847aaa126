"""Digests of keys and requests, and ids by time."""

import uuid
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from commands.calls import fingerprint, key_digest, uuid7
from commands.ordering import PlaceOrder
from commands.payloads import canonical, read

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def test_two_scopes_never_share_a_key():
    assert key_digest("anonymous", "k") != key_digest("policy", "k")
    assert key_digest("ab", "c") != key_digest("a", "bc")
    assert 16 == len(key_digest("anonymous", "k"))


@given(
    one=st.tuples(st.text(), st.text(), st.none() | st.text(min_size=1), st.binary()),
    other=st.tuples(st.text(), st.text(), st.none() | st.text(min_size=1), st.binary()),
)
def test_a_fingerprint_tells_key_command_target_and_input_apart(one, other):
    def digest(parts: tuple[str, str, str | None, bytes]) -> bytes:
        key, command, target, body = parts
        return fingerprint(key, command=command, target=target, canonical=body)

    assert (one == other) == (digest(one) == digest(other))


def test_members_at_their_default_do_not_change_what_was_asked():
    shorter = b'{"country":"x","currency":"GBP","lines":[{"sku":"A","quantity":1}]}'
    longer = (
        rb'{"lines": [{"quantity": 1, "unit_price": null, "sku": "A"}], "customer_id": null,'
        rb' "currency": "GBP", "country": "\u0078"}'
    )

    assert canonical(read(PlaceOrder, shorter)) == canonical(read(PlaceOrder, longer))
    assert shorter == canonical(read(PlaceOrder, shorter))


def test_ids_made_up_later_sort_behind():
    ids = [uuid7(NOW + timedelta(milliseconds=number)) for number in range(1_000)]

    assert ids == sorted(ids)
    assert {(7, uuid.RFC_4122)} == {(uuid.UUID(made).version, uuid.UUID(made).variant) for made in ids}
    assert 1_000 == len({uuid7(NOW) for _ in range(1_000)})
