"""A call: one command of one caller, and the digests by which the log recognises a repetition."""

import hashlib
import secrets
import uuid
from datetime import UTC, datetime
from typing import Final

from msgspec import Struct

from commands.authority import NOTHING, Authority
from event_store.log.envelope import EXISTS, KEY_BYTES, Metadata
from event_store.log.fingerprints import Fingerprints, framed

ANY_VERSION: Final = EXISTS
"""If-Match: * asks for a stream that exists, at whatever version."""


class SeenAt(Struct, frozen=True):
    """What a caller saw of a stream in a view: all of its events up to a position, in an epoch of the log."""

    epoch: int
    position: int

    def __str__(self) -> str:
        return f"what it was at position {self.position}"


class Call(Struct, frozen=True, kw_only=True):
    """The identity of one command, alone or in a batch.

    `key` is what the log remembers, `fingerprint` what was asked under it; `if_match` is what the caller saw of the
    stream: its version, a place in the log, `ANY_VERSION`, or None when it does not care. `causation` is the event that
    asked for it, where one did, `on_behalf_of` the one for whom the actor does it. `authority` is what its caller may
    do.
    """

    command: str
    key: bytes
    fingerprint: bytes
    correlation_id: str
    if_match: int | SeenAt | None = None
    actor: str
    causation: str | None = None
    on_behalf_of: str | None = None
    authority: Authority = NOTHING

    def metadata(self, *, occurred_at: datetime | None) -> Metadata:
        """The common metadata of the events of this call; each gets a nonce of its own."""
        return Metadata(
            actor=self.actor,
            command=self.command,
            correlation_id=self.correlation_id,
            nonce=b"",
            idempotency=self.key.hex(),
            causation=self.causation,
            occurred_at=occurred_at,
            on_behalf_of=self.on_behalf_of,
        )


def key_digest(scope: str, key: str) -> bytes:
    """The digest under which the log remembers the outcome of a key; two scopes never share one."""
    return hashlib.sha256(framed((scope.encode(), key.encode()))).digest()[:KEY_BYTES]


def fingerprint(
    fingerprints: Fingerprints, key: str, *, command: str, target: str | None, canonical: bytes
) -> bytes:
    """The fingerprint of what is asked: the same however it is spelled and whichever route it takes.

    The key is part of it, so that the log does not tell two callers that they asked for the same.
    """
    addressed = b"" if target is None else target.encode()
    return fingerprints.of("command", key.encode(), command.encode(), addressed, canonical)


def uuid7(now: datetime) -> str:
    """A UUID of version 7 (RFC 9562): milliseconds first, so ids of one time lie together, then random bits."""
    milliseconds = int(now.astimezone(UTC).timestamp() * 1000)
    number = milliseconds << 80 | secrets.randbits(80)
    number = number & ~(0xF << 76) | 0x7 << 76
    number = number & ~(0x3 << 62) | 0x2 << 62
    return str(uuid.UUID(int=number))
