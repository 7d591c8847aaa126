"""The leaf of an event: SHA-256(0x00 ‖ entry), as `log.append_batch` computes it, here from stored values.

entry = format 1 · epoch · stream · version · type · recorded_at in microseconds since 1970 · SHA-256 of the metadata
bytes · SHA-256 of the payload bytes. Integers are 8 bytes, lengths 4, big-endian; texts are UTF-8 behind their length.
"""

import functools
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Final

from event_store.log.envelope import RecordedEvent

LEAF_PREFIX: Final = b"\x00"
ENTRY_FORMAT: Final = b"\x01"
TYPES_CACHED_MAX: Final = 1_024

_UNIX_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def leaf_of(event: RecordedEvent, *, epoch: int) -> bytes:
    """The 32 bytes that stand next to the event if nobody changed it; `epoch` is the one its position lies in."""
    stream = event.stream.encode()
    return sha256(
        b"".join(
            (
                _epoch_field(epoch),
                len(stream).to_bytes(4, "big"),
                stream,
                event.version.to_bytes(8, "big", signed=True),
                _type_field(event.type),
                ((event.recorded_at - _UNIX_EPOCH) // _MICROSECOND).to_bytes(8, "big", signed=True),
                sha256(event.metadata).digest(),
                sha256(event.payload).digest(),
            )
        )
    ).digest()


@functools.lru_cache(maxsize=16)
def _epoch_field(epoch: int) -> bytes:
    return LEAF_PREFIX + ENTRY_FORMAT + epoch.to_bytes(8, "big", signed=True)


@functools.lru_cache(maxsize=TYPES_CACHED_MAX)
def _type_field(type_name: str) -> bytes:
    encoded = type_name.encode()
    return len(encoded).to_bytes(4, "big") + encoded
