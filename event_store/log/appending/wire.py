"""A batch as the arguments of `log.append_batch`, and its rows as verdicts.

The arrays are packed here, in Postgres' binary array format (`array_send` in its source), because a generic adapter
costs more per element than the whole rest of an append's client side.
"""

import struct
from collections.abc import Iterable, Sequence
from typing import Any, Final

import psycopg
from msgspec import Struct
from psycopg.abc import AdaptContext
from psycopg.adapt import Dumper
from psycopg.pq import Format

from event_store.log.envelope import (
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

_ASKED: Final = "select verdict, first_position, last_position, versions, place, found from log.append_batch("
CALL: Final = (
    _ASKED + "%b, %b, %b, %b, %b, %b, %b, %b, %b, %b, %b, %b, %b, %b, %b, %b, %b, %b, %b, %b, %b, %b)"
)

ARGUMENTS: Final = CALL.count("%b")

PREPARE: Final = (
    "prepare append_batch (bigint, bytea[], bytea[], bigint[], int[], text[], bigint[], int[], text[], text[], text[],"
    " text[], int[], text[], int[], text[], text[], bigint[], int[], text[], text[], bigint[]) as "
    + _ASKED
    + "$1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22)"
)
"""The same call as a statement of the session."""

_INT4, _INT8, _TEXT, _BYTEA = 23, 20, 25, 17
_NULL: Final = (-1).to_bytes(4, "big", signed=True)
_EMPTY: Final = struct.Struct(">iiI").pack
"""Dimensions, whether there are nulls, element type."""
_HEAD: Final = struct.Struct(">iiIii").pack
"""The same for one dimension, then its length and lower bound."""


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
    """Register the packed argument types with a connection."""
    for packed, dumper in (
        (_Int4Array, _Int4ArrayDumper),
        (_Int8Array, _Int8ArrayDumper),
        (_TextArray, _TextArrayDumper),
        (_ByteaArray, _ByteaArrayDumper),
        (_Epoch, _EpochDumper),
    ):
        context.adapters.register_dumper(packed, dumper)


class Packed(Struct, frozen=True, gc=False):
    """A request's part of the arrays: elements as they are sent, length first, and what the numbers are made of."""

    request: AppendRequest
    key: bytes
    fingerprint: bytes
    chain: bytes
    streams: bytes
    versions: tuple[int, ...]
    event_expected: tuple[int, ...]
    """For each event the place, from 1, of its stream among the request's expectations."""
    types: bytes
    partition_keys: bytes
    metadata: bytes
    payloads: bytes


def pack(request: AppendRequest) -> Packed:
    """Pack a request's part of any batch, while the batch before is at the server."""
    places = {expectation.stream: place for place, expectation in enumerate(request.expectations, start=1)}
    events = request.events
    return Packed(
        request,
        _element(request.key),
        _element(request.fingerprint),
        _NULL if request.chain is None else _element(request.chain.to_bytes(8, "big", signed=True)),
        _texts([expectation.stream for expectation in request.expectations]),
        tuple([expectation.version for expectation in request.expectations]),
        tuple([places[event.stream] for event in events]),
        _texts([event.type for event in events]),
        b"".join([_NULL if event.partition_key is None else _text(event.partition_key) for event in events]),
        b"".join([_element(event.metadata) for event in events]),
        b"".join([_element(event.payload) for event in events]),
    )


def arguments(requests: Sequence[AppendRequest], *, epoch: int) -> list[bytes]:
    """The arguments of `CALL` for a batch."""
    return joined([pack(request) for request in requests], epoch=epoch)


def joined(batch: Sequence[Packed], *, epoch: int) -> list[bytes]:
    """The arguments of `CALL` for a batch of packed requests."""
    expected_request: list[int] = []
    expected_version: list[int] = []
    event_expected: list[int] = []
    for number, packed in enumerate(batch, start=1):
        before = len(expected_request)
        event_expected += [before + place for place in packed.event_expected]
        expected_request += [number] * len(packed.versions)
        expected_version += packed.versions
    requests, expected, events = len(batch), len(expected_request), len(event_expected)
    return [
        _Epoch(epoch.to_bytes(8, "big", signed=True)),
        _ByteaArray(_array(_BYTEA, requests, [packed.key for packed in batch])),
        _ByteaArray(_array(_BYTEA, requests, [packed.fingerprint for packed in batch])),
        _Int8Array(_array(_INT8, requests, [packed.chain for packed in batch])),
        _Int4Array(_int4s(expected_request)),
        _TextArray(_array(_TEXT, expected, [packed.streams for packed in batch])),
        _Int8Array(_int8s(expected_version)),
        _Int4Array(_int4s(event_expected)),
        _TextArray(_array(_TEXT, events, [packed.types for packed in batch])),
        _TextArray(_array(_TEXT, events, [packed.partition_keys for packed in batch])),
        _TextArray(_array(_TEXT, events, [packed.metadata for packed in batch])),
        _TextArray(_array(_TEXT, events, [packed.payloads for packed in batch])),
        *_seldom([packed.request for packed in batch]),
    ]


def _seldom(requests: Sequence[AppendRequest]) -> list[bytes]:
    """Arguments that are empty in most batches: tags, conditions, tracking."""
    tags: list[tuple[int, str]] = []
    events = 0
    for request in requests:
        for event in request.events:
            events += 1
            tags += [(events, tag) for tag in event.tags]
    numbered = list(enumerate(requests, start=1))
    conditions = [(number, condition) for number, request in numbered for condition in request.conditions]
    tracked = [(number, request.tracking) for number, request in numbered if request.tracking]
    return [
        _Int4Array(_int4s([event for event, _ in tags])),
        _TextArray(_text_array([tag for _, tag in tags])),
        _Int4Array(_int4s([number for number, _ in conditions])),
        _TextArray(_text_array(["\n".join(condition.tags) for _, condition in conditions])),
        _TextArray(_text_array([" ".join(condition.types) for _, condition in conditions])),
        _Int8Array(_int8s([condition.after for _, condition in conditions])),
        _Int4Array(_int4s([number for number, _ in tracked])),
        _TextArray(_text_array([tracking.consumer for _, tracking in tracked])),
        _TextArray(_text_array([tracking.application for _, tracking in tracked])),
        _Int8Array(_int8s([tracking.position for _, tracking in tracked])),
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
            return ConditionFailed(request.conditions[place - 1], found)
        case 5:
            return ChainBroken()
        case 6:
            return TrackedAlready(found)
        case _:
            raise psycopg.DataError(f"append_batch answered verdict {code}, which this version does not know")


def _element(value: bytes) -> bytes:
    return len(value).to_bytes(4, "big") + value


def _text(text: str) -> bytes:
    return _element(text.encode())


def _texts(texts: Iterable[str]) -> bytes:
    return b"".join([_text(text) for text in texts])


def _text_array(texts: Sequence[str]) -> bytes:
    return _array(_TEXT, len(texts), [_texts(texts)])


def _array(oid: int, count: int, elements: Iterable[bytes]) -> bytes:
    if not count:
        return _EMPTY(0, 0, oid)
    return b"".join((_HEAD(1, 1, oid, count, 1), *elements))


def _int4s(values: Sequence[int]) -> bytes:
    if not values:
        return _EMPTY(0, 0, _INT4)
    body = [0x4] * (2 * len(values))
    body[1::2] = values
    return struct.pack(f">iiIii{len(body)}i", 1, 0, _INT4, len(values), 1, *body)


def _int8s(values: Sequence[int]) -> bytes:
    if not values:
        return _EMPTY(0, 0, _INT8)
    body = [0x8] * (2 * len(values))
    body[1::2] = values
    return struct.pack(">iiIii" + "iq" * len(values), 1, 0, _INT8, len(values), 1, *body)
