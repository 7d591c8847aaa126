"""The library's stored events as one request to the log."""

import hashlib
import secrets
from collections.abc import Sequence
from typing import Final

from eventsourcing.persistence import IntegrityError, StoredEvent

from event_store import envelope
from event_store.door import states
from event_store.door.streams import Namespace
from event_store.envelope import (
    KEY_BYTES,
    NEW_FROM_ZERO,
    NONCE_BYTES,
    AppendRequest,
    Expectation,
    Metadata,
    NewEvent,
    Tracking,
)

COMMAND: Final = "insert_events"
"""What the metadata name as the command of every event that comes through the door."""


def request_of(
    stored_events: Sequence[StoredEvent], *, namespace: Namespace, tracking: Tracking | None = None
) -> AppendRequest:
    """All of these events and the tracking, or nothing, under a key of its own.

    Raises:
        IntegrityError: versions of one aggregate do not follow one another.
        DataError: the application says that its ids are UUIDs, and one is none.
    """
    key = secrets.token_bytes(KEY_BYTES)
    first_versions: dict[str, int] = {}
    next_versions: dict[str, int] = {}
    events: list[NewEvent] = []
    nonces = secrets.token_bytes(NONCE_BYTES * len(stored_events))  # each call would ask the kernel
    for number, stored in enumerate(stored_events):
        stream = namespace.stream_of(stored.originator_id)
        version = stored.originator_version
        first_versions.setdefault(stream, version)
        if version != next_versions.setdefault(stream, version) or version < 0:
            raise IntegrityError(f"the next event of {stream} is not version {version}")
        next_versions[stream] = version + 1
        nonce = nonces[number * NONCE_BYTES : (number + 1) * NONCE_BYTES]
        events.append(_event_of(stored, stream, key=key.hex(), nonce=nonce, actor=namespace.category))
    return AppendRequest(
        key=key,
        fingerprint=_fingerprint(events, tracking),
        events=tuple(events),
        expectations=tuple(
            Expectation(stream, version - 1 if version else NEW_FROM_ZERO)
            for stream, version in first_versions.items()
        ),
        tracking=tracking,
    )


def _event_of(stored: StoredEvent, stream: str, *, key: str, nonce: bytes, actor: str) -> NewEvent:
    payload, encoding = states.payload_of(stored.state)
    metadata = Metadata(
        actor=f"application:{actor}",
        command=COMMAND,
        correlation_id=key,
        nonce=nonce,
        idempotency=key,
        payload_encoding=encoding,
    )
    return NewEvent(stream, stored.topic, payload, envelope.encode_metadata(metadata))


def _fingerprint(events: Sequence[NewEvent], tracking: Tracking | None) -> bytes:
    digest = hashlib.sha256(repr(tracking).encode())
    for event in events:
        digest.update(event.metadata)  # holds the nonce
        digest.update(event.payload)
    return digest.digest()
