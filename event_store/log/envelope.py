"""The values that cross the border of the log: what is asked to be appended, what was decided, what is recorded."""

from datetime import datetime
from typing import Final

import msgspec
from msgspec import Struct

from runtime.decoders import of_any_depth
from runtime.randomness import random_bytes

ANY: Final = -2
"""Expected version: the stream may be absent or at any version."""
EXISTS: Final = -1
"""Expected version: the stream must have at least one event."""
NEW: Final = 0
"""Expected version: the stream must have no event."""
NEW_FROM_ZERO: Final = -3
"""Expected version: the stream must have no event, and its first one gets version 0 instead of 1."""

KEY_BYTES: Final = 16
FINGERPRINT_BYTES: Final = 32
NONCE_BYTES: Final = 16
TAGS_PER_CONDITION_MAX: Final = 4


class RecordedEvent(Struct, frozen=True, gc=False):
    """One row of the log, as stored: payload and metadata are the very bytes that were appended."""

    position: int
    stream: str
    version: int
    type: str
    payload: bytes
    metadata: bytes
    recorded_at: datetime
    leaf: bytes
    partition_key: str | None = None

    @property
    def key(self) -> str:
        """The partition key: what decides the partition, and what a keyed view's rows belong to."""
        return self.stream if self.partition_key is None else self.partition_key


class Metadata(Struct, frozen=True, omit_defaults=True):
    """The cause and the actor of an event. Readers ignore members they do not know.

    `on_behalf_of` is who had the actor do it, at the beginning of all that follows from one another; None: nobody else.
    `idempotency` is the hex digest of the outcome key, `causation` is `<epoch>.<position>` of the causing event,
    `occurred_at` is what the caller claims (an import of 2010 has dates of 2010), `nonce` is 16 random bytes that keep
    a short payload from being guessed from its hash. Ids here are pseudonymous: never a name, never an address.
    `payload_encoding` is "base64" where the payload is a JSON text that stands for bytes which are no JSON themselves.
    `source_position` is the number that an event had in the store from which it was moved here. `fingerprint` is that
    of the request, on the first of its events, so that the leaf commits to the request's outcome too (ADR 60).
    """

    actor: str
    command: str
    correlation_id: str
    nonce: bytes
    idempotency: str | None = None
    causation: str | None = None
    occurred_at: datetime | None = None
    tags: tuple[str, ...] = ()
    partition_key: str | None = None
    shape: int = 1
    payload_encoding: str | None = None
    source_position: int | None = None
    fingerprint: bytes | None = None
    on_behalf_of: str | None = None

    @property
    def principal(self) -> str:
        """On whose behalf what follows from the event is done."""
        return self.on_behalf_of or self.actor


_encoder = msgspec.json.Encoder()
_decode_metadata = of_any_depth(msgspec.json.Decoder(Metadata).decode)


def new_nonce() -> bytes:
    """Sixteen random bytes for one event's metadata."""
    return random_bytes(NONCE_BYTES)


def encode_metadata(metadata: Metadata) -> bytes:
    """Metadata as the JSON bytes that are stored."""
    return _encoder.encode(metadata)


def decode_metadata(stored: bytes) -> Metadata:
    """Stored metadata bytes as a value.

    Raises:
        msgspec.DecodeError: a known member is missing or of another type, or an unknown one is nested too deeply.
    """
    return _decode_metadata(stored)


class NewEvent(Struct, frozen=True, gc=False):
    """An event to be appended. `payload` and `metadata` are UTF-8 JSON without NUL."""

    stream: str
    type: str
    payload: bytes
    metadata: bytes
    partition_key: str | None = None
    tags: tuple[str, ...] = ()


class Expectation(Struct, frozen=True, gc=False):
    """The version a stream must have: exact (1 and up), `NEW`, `EXISTS` or `ANY`. Streams only read are named too."""

    stream: str
    version: int


class Condition(Struct, frozen=True):
    """No event with all of these tags and any of these types after this position (a dynamic consistency boundary).

    Without types it is an event of any type.
    """

    tags: tuple[str, ...]
    types: tuple[str, ...]
    after: int


class Tracking(Struct, frozen=True):
    """That a consumer has processed an application's events up to a position, which must rise."""

    consumer: str
    application: str
    position: int


class AppendRequest(Struct, frozen=True):
    """All of these events, or none.

    Every stream of `events` is named once in `expectations`, in the order in which `Accepted.versions` answers.
    `key` is the 16-byte digest of (scope, idempotency key); `fingerprint` the 32-byte digest of what was asked.
    Any verdict but accepted on a request with a `chain` refuses the later requests of that chain.
    """

    key: bytes
    fingerprint: bytes
    events: tuple[NewEvent, ...] = ()
    expectations: tuple[Expectation, ...] = ()
    conditions: tuple[Condition, ...] = ()
    chain: int | None = None
    tracking: Tracking | None = None


class Accepted(Struct, frozen=True, tag="accepted"):
    """The events are durable at positions `first`..`last`; both are 0 for a request without events."""

    first: int
    last: int
    versions: tuple[int, ...]


class Replayed(Struct, frozen=True, tag="replayed"):
    """The key has an outcome already, for the same fingerprint: this is it."""

    first: int
    last: int
    versions: tuple[int, ...]


class FingerprintMismatch(Struct, frozen=True, tag="fingerprint_mismatch"):
    """The key has an outcome already, for another fingerprint."""


class WrongVersion(Struct, frozen=True, tag="wrong_version"):
    """A stream is at another version than expected; `actual` 0 means it has no event."""

    stream: str
    expected: int
    actual: int


class ConditionFailed(Struct, frozen=True, tag="condition_failed"):
    """An event that the condition excludes stands at `position`."""

    condition: Condition
    position: int


class ChainBroken(Struct, frozen=True, tag="chain_broken"):
    """An earlier request of the same chain was not accepted."""


class TrackedAlready(Struct, frozen=True, tag="tracked_already"):
    """The consumer has tracked the application up to `position`, which is no less than what was asked."""

    position: int


Verdict = (
    Accepted | Replayed | FingerprintMismatch | WrongVersion | ConditionFailed | ChainBroken | TrackedAlready
)
