"""A batch as the arguments of `log.append_batch`, and its rows as verdicts.

The arrays are packed here, in Postgres' binary array format (`array_send` in its source), because a generic adapter
costs more per element than the whole rest of an append's client side.
"""

import struct
from collections.abc import Iterable, Sequence
from typing import Any, Final

import psycopg
from psycopg.abc import AdaptContext
from psycopg.adapt import Dumper
from psycopg.pq import Format

from event_store.envelope import (
    Accepted,
    AppendRequest,
    ChainBroken,
    ConditionFailed,
    FingerprintMismatch,
    Replayed,
    TrackedAlready,
    Verdict,
    WrongVersion,
)

WRONG_EPOCH: Final = "CF001"
"""SQLSTATE of a batch whose epoch is not the log's."""

CALL: Final = (
    "select verdict, first_position, last_position, versions, place, found from log.append_batch("
    "%b, %b, %b, %b, %b, %b, %b, %b, %b, %b, %b, %b, %b, %b, %b, %b, %b, %b, %b, %b, %b, %b)"
)

_INT4, _INT8, _TEXT, _BYTEA = 23, 20, 25, 17
_NULL: Final = (-1).to_bytes(4, "big", signed=True)


class _Int4Array(bytes):
    """Packed `int[]`."""


class _Int8Array(bytes):
    """Packed `bigint[]`."""


class _TextArray(bytes):
    """Packed `text[]`."""


class _ByteaArray(bytes):
    """Packed `bytea[]`."""


class _PackedDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: bytes) -> bytes:
        return obj


class _Int4ArrayDumper(_PackedDumper):
    oid = 1007


class _Int8ArrayDumper(_PackedDumper):
    oid = 1016


class _TextArrayDumper(_PackedDumper):
    oid = 1009


class _ByteaArrayDumper(_PackedDumper):
    oid = 1001


class _Epoch(bytes):
    """Packed `bigint`."""


class _EpochDumper(_PackedDumper):
    oid = _INT8


def register(context: AdaptContext) -> None:
    """Teach a connection the packed arguments."""
    for packed, dumper in (
        (_Int4Array, _Int4ArrayDumper),
        (_Int8Array, _Int8ArrayDumper),
        (_TextArray, _TextArrayDumper),
        (_ByteaArray, _ByteaArrayDumper),
        (_Epoch, _EpochDumper),
    ):
        context.adapters.register_dumper(packed, dumper)


def arguments(requests: Sequence[AppendRequest], *, epoch: int) -> list[bytes]:
    """The arguments of `CALL` for a batch."""
    expected_request: list[int] = []
    expected_stream: list[str] = []
    expected_version: list[int] = []
    event_expected: list[int] = []
    tag_event: list[int] = []
    condition_request: list[int] = []
    for number, request in enumerate(requests, start=1):
        places: dict[str, int] = {}
        for expectation in request.expectations:
            expected_request.append(number)
            expected_stream.append(expectation.stream)
            expected_version.append(expectation.version)
            places[expectation.stream] = len(expected_request)
        for event in request.events:
            event_expected.append(places[event.stream])
            tag_event.extend([len(event_expected)] * len(event.tags))
        condition_request.extend([number] * len(request.conditions))
    events = [event for request in requests for event in request.events]
    conditions = [condition for request in requests for condition in request.conditions]
    tracked = [(number, request.tracking) for number, request in enumerate(requests, 1) if request.tracking]
    return [
        _Epoch(epoch.to_bytes(8, "big", signed=True)),
        _ByteaArray(_packed(_BYTEA, [request.key for request in requests])),
        _ByteaArray(_packed(_BYTEA, [request.fingerprint for request in requests])),
        _Int8Array(_packed(_INT8, [_int8(request.chain) for request in requests])),
        _Int4Array(_packed_int4(expected_request)),
        _TextArray(_packed(_TEXT, [stream.encode() for stream in expected_stream])),
        _Int8Array(_packed_int8(expected_version)),
        _Int4Array(_packed_int4(event_expected)),
        _TextArray(_packed(_TEXT, [event.type.encode() for event in events])),
        _TextArray(_packed(_TEXT, [_text(event.partition_key) for event in events])),
        _TextArray(_packed(_TEXT, [event.metadata for event in events])),
        _TextArray(_packed(_TEXT, [event.payload for event in events])),
        _Int4Array(_packed_int4(tag_event)),
        _TextArray(_packed(_TEXT, [tag.encode() for event in events for tag in event.tags])),
        _Int4Array(_packed_int4(condition_request)),
        _TextArray(_packed(_TEXT, [condition.tag.encode() for condition in conditions])),
        _TextArray(_packed(_TEXT, [" ".join(condition.types).encode() for condition in conditions])),
        _Int8Array(_packed_int8([condition.after for condition in conditions])),
        _Int4Array(_packed_int4([number for number, _ in tracked])),
        _TextArray(_packed(_TEXT, [tracking.consumer.encode() for _, tracking in tracked])),
        _TextArray(_packed(_TEXT, [tracking.application.encode() for _, tracking in tracked])),
        _Int8Array(_packed_int8([tracking.position for _, tracking in tracked])),
    ]


def verdicts(requests: Sequence[AppendRequest], rows: Iterable[tuple[Any, ...]]) -> list[Verdict]:
    """The rows that the call answered, one verdict for each request in order."""
    return [_verdict(request, *row) for request, row in zip(requests, rows, strict=True)]


def _verdict(
    request: AppendRequest,
    code: int,
    first: int,
    last: int,
    versions: list[int] | None,
    place: int,
    found: int,
) -> Verdict:
    match code:
        case 0:
            return Accepted(first, last, tuple(versions or ()))
        case 1:
            return Replayed(first, last, tuple(versions or ()))
        case 2:
            return FingerprintMismatch()
        case 3:
            expectation = request.expectations[place - 1]
            return WrongVersion(expectation.stream, expectation.version, found)
        case 4:
            return ConditionFailed(request.conditions[place - 1].tag, found)
        case 5:
            return ChainBroken()
        case 6:
            return TrackedAlready(found)
        case _:
            raise psycopg.DataError(f"append_batch answered verdict {code}, which this version does not know")


def _int8(number: int | None) -> bytes | None:
    return None if number is None else number.to_bytes(8, "big", signed=True)


def _text(text: str | None) -> bytes | None:
    return None if text is None else text.encode()


def _packed(oid: int, values: Sequence[bytes | None]) -> bytes:
    if not values:
        return struct.pack(">iiI", 0, 0, oid)
    parts = [struct.pack(">iiIii", 1, 1, oid, len(values), 1)]
    for value in values:
        if value is None:
            parts.append(_NULL)
        else:
            parts.append(len(value).to_bytes(4, "big"))
            parts.append(value)
    return b"".join(parts)


def _packed_int4(values: Sequence[int]) -> bytes:
    if not values:
        return struct.pack(">iiI", 0, 0, _INT4)
    body = [0x4] * (2 * len(values))
    body[1::2] = values
    return struct.pack(f">iiIii{len(body)}i", 1, 0, _INT4, len(values), 1, *body)


def _packed_int8(values: Sequence[int]) -> bytes:
    if not values:
        return struct.pack(">iiI", 0, 0, _INT8)
    body = [0x8] * (2 * len(values))
    body[1::2] = values
    return struct.pack(">iiIii" + "iq" * len(values), 1, 0, _INT8, len(values), 1, *body)
