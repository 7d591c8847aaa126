import json
from collections.abc import Callable
from uuid import uuid4

import pytest
from eventsourcing.cipher import AESCipher
from eventsourcing.persistence import ApplicationRecorder, DataError, StoredEvent
from eventsourcing.utils import Environment
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from event_store.eventsourcing import state_encoding
from event_store.eventsourcing_module import Factory
from event_store.log import envelope, reading
from runtime import database

JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
NEARLY_JSON = st.text('{}[]",:\\u0123456789aAdDeE+-. \n\ttruefalsn', max_size=30).map(str.encode)
STATES = st.binary() | NEARLY_JSON | st.builds(lambda value: json.dumps(value).encode(), JSON)


@pytest.fixture
def recorder(new_factory: Callable[..., Factory]) -> ApplicationRecorder:
    return new_factory("Bank").application_recorder()


@pytest.mark.parametrize(
    "state",
    [
        b'{"a": 1}',
        b' {"a":1,  "a":2}\n',
        b"[1.10, 1e400, -0]",
        b"null",
        '{"name": "Zoë 😀"}'.encode(),
        rb'{"name": "\u0000"}',
    ],
)
def test_json_stays_as_it_is(state: bytes):
    assert (state, None) == state_encoding.payload_of(state)


@pytest.mark.parametrize(
    "state",
    [
        b"",
        b"state",
        b"\x00",
        b"\xff\xfe",
        b'{"a": NaN}',
        b'{"a": 1} x',
        b'\xef\xbb\xbf{"a": 1}',
        rb'{"a": "\ud800"}',
        b'{"a": "\xff"}',
        b'"a text"',
        b"[" * 100_000,
    ],
)
def test_anything_else_becomes_a_text_in_base64_and_comes_back(state: bytes):
    payload, encoding = state_encoding.payload_of(state)

    assert state_encoding.BASE64 == encoding
    assert isinstance(json.loads(payload), str)
    assert state == state_encoding.state_of(payload)


def test_a_text_that_is_not_in_base64_is_not_taken_for_a_state():
    with pytest.raises(DataError):
        state_encoding.state_of(b'"no base64!"')


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(STATES, min_size=1, max_size=20))
@example([b"[" * 900 + b"]" * 900, rb'{"a":"\u0000"}', b'"a text"', b'{"a":1e99999}'])
def test_the_log_gives_every_state_back_byte_for_byte(recorder: ApplicationRecorder, written: list[bytes]):
    account = uuid4()
    stored = [StoredEvent(account, version, "bank:Event", state) for version, state in enumerate(written, 1)]

    ids = recorder.insert_events(stored)
    assert ids is not None

    assert stored == recorder.select_events(account)
    assert written == [each.state for each in recorder.select_notifications(ids[0], len(written))]


def test_metadata_say_who_recorded_an_event_and_how_its_payload_is_encoded(
    recorder: ApplicationRecorder, database_url: str
):
    secret = AESCipher(Environment(env={"CIPHER_KEY": AESCipher.create_key(16)})).encrypt(b"secret")
    recorder.insert_events(
        [
            StoredEvent(uuid4(), 1, "bank:Event", b'{"a": 1}'),
            StoredEvent(uuid4(), 1, "bank:Event", secret),
        ]
    )
    with database.connect(database_url, role="counterfoil_reader", name="test") as connection:
        plain, encrypted = map(
            envelope.decode_metadata, (each.metadata for each in reading.copy_log(connection))
        )

    assert {"application:Bank"} == {plain.actor, encrypted.actor}
    assert plain.payload_encoding is None
    assert state_encoding.BASE64 == encrypted.payload_encoding
    assert plain.idempotency == encrypted.idempotency == plain.correlation_id
    assert plain.nonce != encrypted.nonce
