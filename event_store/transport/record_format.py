"""How a record looks on Kafka: CloudEvents in binary mode, readable without our code.

The value is the stored payload, byte for byte; the message key is the partition key. Two headers are ours:
`cf_link` (stream version and prev as big-endian int64, then the 32-byte leaf) and `cf_metadata` (the stored
metadata bytes).
"""

import functools
import struct
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from event_store.transport.transport import MalformedRecord, Record

Headers = list[tuple[str, bytes]]

_LINK: Final = struct.Struct(">qq32s")
_SPECVERSION: Final = ("ce_specversion", b"1.0")
_CONTENT_TYPE: Final = ("content-type", b"application/json")
_NAMES: Final = (
    "ce_specversion",
    "ce_id",
    "ce_source",
    "ce_type",
    "ce_subject",
    "ce_time",
    "content-type",
    "cf_link",
    "cf_metadata",
)
_TIMES_CACHED: Final = 4_096  # a batch of the log shares one timestamp
_TYPES_CACHED: Final = 1_024


class Message(msgspec.Struct, frozen=True, gc=False):
    """A record as the broker stores it."""

    key: bytes
    value: bytes
    headers: Headers


def source_of(installation: str) -> bytes:
    """The source of CloudEvents: together with the id of an event, `<epoch>.<position>`, it is unique everywhere."""
    return f"/counterfoil/{installation}/log".encode()


def encode_record(record: Record, *, source: bytes) -> Message:
    """Render a record for the broker."""
    headers = [
        _SPECVERSION,
        ("ce_id", b"%d.%d" % (record.epoch, record.position)),
        ("ce_source", source),
        ("ce_type", _encoded_type(record.type)),
        ("ce_subject", record.stream.encode()),
        ("ce_time", _encoded_time(record.recorded_at)),
        _CONTENT_TYPE,
        ("cf_link", _LINK.pack(record.version, record.prev, record.leaf)),
        ("cf_metadata", record.metadata),
    ]
    return Message(key=record.key.encode(), value=record.payload, headers=headers)


def decode_record(
    headers: Sequence[tuple[str, bytes]],
    *,
    key: bytes | None,
    value: bytes | None,
    partition: int,
) -> Record:
    """Read a record back.

    Raises:
        MalformedRecord: no relay of ours wrote these bytes.
    """
    if key is None or value is None:
        raise MalformedRecord(f"a message without key or value in partition {partition}")
    try:
        if tuple(name for name, _ in headers) != _NAMES:
            headers = _in_order(headers)
        epoch, _, position = headers[1][1].partition(b".")
        version, prev, leaf = _LINK.unpack(headers[7][1])
        return Record(
            partition,
            prev,
            int(position),
            key.decode(),
            headers[4][1].decode(),
            version,
            _decoded_type(headers[3][1]),
            value,
            headers[8][1],
            _decoded_time(headers[5][1]),
            leaf,
            int(epoch),
        )
    except (KeyError, ValueError, struct.error) as error:
        raise MalformedRecord(f"not a record of the relay in partition {partition}: {error!r}") from error


def _in_order(headers: Sequence[tuple[str, bytes]]) -> Headers:
    """Headers may be re-ordered or added to by mirroring tools."""
    found = dict(headers)
    return [(name, found[name]) for name in _NAMES]


@functools.lru_cache(maxsize=_TYPES_CACHED)
def _encoded_type(name: str) -> bytes:
    return name.encode()


@functools.lru_cache(maxsize=_TYPES_CACHED)
def _decoded_type(name: bytes) -> str:
    return name.decode()


@functools.lru_cache(maxsize=_TIMES_CACHED)
def _encoded_time(moment: datetime) -> bytes:
    return moment.isoformat().encode()


@functools.lru_cache(maxsize=_TIMES_CACHED)
def _decoded_time(text: bytes) -> datetime:
    return datetime.fromisoformat(text.decode())
