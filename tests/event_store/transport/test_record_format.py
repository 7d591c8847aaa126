"""Records on the wire: CloudEvents headers for others, everything back for us."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from event_store.transport.record_format import decode_record, encode_record, source_of
from event_store.transport.transport import MalformedRecord, Record

SOURCE = source_of("5f0c7d62-8f0f-4c0e-9c0a-0a4f3c9d2b11")

int64 = st.integers(1, 2**63 - 1)
records = st.builds(
    Record,
    partition=st.integers(0, 1023),
    prev=int64,
    position=int64,
    key=st.text(min_size=1),
    stream=st.text(min_size=1),
    version=int64,
    type=st.text(min_size=1, max_size=40),
    payload=st.binary(min_size=1),
    metadata=st.binary(),
    recorded_at=st.datetimes(timezones=st.just(UTC)),
    leaf=st.binary(min_size=32, max_size=32),
    epoch=int64,
)
RECORD = Record(
    3,
    17,
    21,
    "order-7",
    "order-7",
    4,
    "ordering.order_placed.v3",
    b'{"n": 1}',
    b'{"actor":"a"}',
    datetime(2026, 2, 3, 4, 5, 6, 789, tzinfo=UTC),
    bytes(range(32)),
    2,
)


def decoded(message, *, partition=3, headers=None):
    return decode_record(
        message.headers if headers is None else headers,
        key=message.key,
        value=message.value,
        partition=partition,
    )


@given(records)
def test_a_record_comes_back_as_it_went(record):
    assert record == decoded(encode_record(record, source=SOURCE), partition=record.partition)


def test_foreign_consumers_find_cloudevents_headers_and_the_payload_as_it_was_stored():
    message = encode_record(RECORD, source=SOURCE)
    headers = dict(message.headers)

    assert b'{"n": 1}' == message.value
    assert b"order-7" == message.key
    assert {
        "ce_specversion": b"1.0",
        "ce_id": b"2.21",
        "ce_source": b"/counterfoil/5f0c7d62-8f0f-4c0e-9c0a-0a4f3c9d2b11/log",
        "ce_type": b"ordering.order_placed.v3",
        "ce_subject": b"order-7",
        "ce_time": b"2026-02-03T04:05:06.000789+00:00",
        "content-type": b"application/json",
    } == {name: value for name, value in headers.items() if not name.startswith("cf_")}


def test_headers_that_a_mirror_reordered_and_added_to_are_understood():
    message = encode_record(RECORD, source=SOURCE)

    assert RECORD == decoded(message, headers=[("x-mirror", b"1"), *reversed(message.headers)])


@pytest.mark.parametrize("lost", [name for name, _ in encode_record(RECORD, source=SOURCE).headers])
def test_a_message_without_one_of_our_headers_is_malformed(lost):
    message = encode_record(RECORD, source=SOURCE)

    with pytest.raises(MalformedRecord):
        decoded(message, headers=[header for header in message.headers if header[0] != lost])


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("ce_id", b"21"),
        ("ce_id", b"a.b"),
        ("cf_link", b"short"),
        ("ce_time", b"noon"),
        ("ce_subject", b"\xff"),
    ],
)
def test_a_message_with_nonsense_in_a_header_is_malformed(header, value):
    message = encode_record(RECORD, source=SOURCE)
    changed = [(name, value if name == header else held) for name, held in message.headers]

    with pytest.raises(MalformedRecord):
        decoded(message, headers=changed)


def test_a_message_without_key_or_value_is_malformed():
    message = encode_record(RECORD, source=SOURCE)

    with pytest.raises(MalformedRecord):
        decode_record(message.headers, key=None, value=message.value, partition=3)
    with pytest.raises(MalformedRecord):
        decode_record(message.headers, key=message.key, value=None, partition=3)
