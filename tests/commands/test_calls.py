"""Digests of keys and requests, and ids by time."""

import hashlib
import hmac
import uuid
from datetime import UTC, datetime, timedelta
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, StringConstraints

from commands.calls import fingerprint, key_digest, uuid7
from commands.ordering import PlaceOrder
from commands.payloads import SECRET, Payload, canonical, read
from event_store.log.fingerprints import Fingerprints
from runtime.problems import ProblemError

FINGERPRINTS = Fingerprints(b"the secret of an installation..")

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
        return fingerprint(FINGERPRINTS, key, command=command, target=target, canonical=body)

    assert (one == other) == (digest(one) == digest(other))


def test_a_fingerprint_is_made_the_same_way_for_ever():
    """HMAC-SHA-256 over what is named, each behind its length; otherwise repetitions would be mistakes."""
    asked = b'7:command3:k-111:place_order0:13:{"country":1}'
    expected = hmac.new(b"the secret of an installation..", asked, hashlib.sha256).digest()

    made = fingerprint(FINGERPRINTS, "k-1", command="place_order", target=None, canonical=b'{"country":1}')

    assert expected == made


def test_fingerprints_of_two_installations_and_of_two_kinds_differ():
    other = Fingerprints(bytes(32))

    assert FINGERPRINTS.of("command", b"x") != other.of("command", b"x")
    assert FINGERPRINTS.of("command", b"x") != FINGERPRINTS.of("policy", b"x")


class Card(Payload):
    number: Annotated[str, SECRET]


class Register(Payload):
    name: str
    password: Annotated[str, StringConstraints(min_length=8), SECRET]
    cards: list[Card] = Field(default_factory=list)


def test_a_secret_is_demanded_and_checked_and_left_out_of_what_is_fingerprinted():
    body = b'{"name":"a","password":"correct horse","cards":[{"number":"4000"}]}'
    other = b'{"name":"a","password":"battery staple","cards":[{"number":"4111"}]}'

    payload = read(Register, body)

    assert "correct horse" == payload.password
    assert b'{"name":"a","cards":[{}]}' == canonical(payload) == canonical(read(Register, other))
    assert "horse" not in repr(payload)
    assert "4000" not in repr(payload)
    for refused in (b'{"name":"a"}', b'{"name":"a","password":"short"}'):
        with pytest.raises(ProblemError) as problem:
            read(Register, refused)
        assert b"short" not in problem.value.body("correlation")
    assert Register.model_json_schema()["properties"]["password"]["writeOnly"]


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
