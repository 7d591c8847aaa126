"""The library's stored events as one request to the log."""

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from typing import Final

from eventsourcing.persistence import IntegrityError, StoredEvent
from msgspec import Struct

from event_store.eventsourcing import state_encoding
from event_store.eventsourcing.streams import Namespace
from event_store.log import envelope
from event_store.log.envelope import (
    KEY_BYTES,
    NEW_FROM_ZERO,
    NONCE_BYTES,
    AppendRequest,
    Expectation,
    Metadata,
    NewEvent,
    Tracking,
)
from runtime.actors import actor

COMMAND: Final = "insert_events"
"""What the metadata name as the command of every event that comes through the adapter."""


MOVED_BY: Final = "import_eventsourcing"
"""The same for an event that was recorded elsewhere and moved here."""


class Wanted(Struct, frozen=True, gc=False):
    """An event of another database as it must stand in the log."""

    stream: str
    version: int
    topic: str
    state: bytes
    source: int | None
    """Its notification id there; None: it stands for a version that is absent there."""


def moved(wanted: Sequence[Wanted], *, namespace: Namespace, by: str | None = None) -> AppendRequest:
    """All of these events, or nothing; the versions of each stream follow one another. `by` is who has them moved."""
    key = secrets.token_bytes(KEY_BYTES)
    first_versions: dict[str, int] = {}
    events: list[NewEvent] = []
    for each in wanted:
        first_versions.setdefault(each.stream, each.version)
        payload, encoding = state_encoding.payload_of(each.state)
        metadata = Metadata(
            actor=actor("application", namespace.category),
            command=MOVED_BY,
            correlation_id=key.hex(),
            nonce=envelope.new_nonce(),
            idempotency=key.hex(),
            payload_encoding=encoding,
            source_position=each.source,
            on_behalf_of=by,
        )
        events.append(NewEvent(each.stream, each.topic, payload, envelope.encode_metadata(metadata)))
    return _request(key, events, first_versions)


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
        events.append(_event_of(stored, stream, key=key.hex(), nonce=nonce, category=namespace.category))
    return _request(key, events, first_versions, tracking)


def _request(
    key: bytes,
    events: Sequence[NewEvent],
    first_versions: Mapping[str, int],
    tracking: Tracking | None = None,
) -> AppendRequest:
    return AppendRequest(
        key=key,
        fingerprint=fingerprint(events, tracking),
        events=tuple(events),
        expectations=tuple(
            Expectation(stream, version - 1 if version else NEW_FROM_ZERO)
            for stream, version in first_versions.items()
        ),
        tracking=tracking,
    )


def _event_of(stored: StoredEvent, stream: str, *, key: str, nonce: bytes, category: str) -> NewEvent:
    payload, encoding = state_encoding.payload_of(stored.state)
    metadata = Metadata(
        actor=actor("application", category),
        command=COMMAND,
        correlation_id=key,
        nonce=nonce,
        idempotency=key,
        payload_encoding=encoding,
    )
    return NewEvent(stream, stored.topic, payload, envelope.encode_metadata(metadata))


def fingerprint(events: Sequence[NewEvent], tracking: Tracking | None = None) -> bytes:
    """The identity of this request."""
    digest = hashlib.sha256(repr(tracking).encode())
    for event in events:
        digest.update(event.metadata)  # holds the nonce
        digest.update(event.payload)
    return digest.digest()
