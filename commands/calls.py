"""A call: one command of one caller, and the digests by which the log recognises it when it comes again."""

import hashlib
import secrets
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from msgspec import Struct

from event_store.envelope import EXISTS, FINGERPRINT_BYTES, KEY_BYTES, Metadata

ANONYMOUS: Final = "anonymous"
"""The actor of every caller, and the scope of every key, until callers have identities."""

ANY_VERSION: Final = EXISTS
"""If-Match: * asks for a stream that exists, at whatever version."""


class Call(Struct, frozen=True, kw_only=True):
    """What identifies one command, whether it came alone or in a batch.

    `key` is what the log remembers, `fingerprint` what was asked under it; `if_match` is the version that the caller
    saw, `ANY_VERSION`, or None when it does not care.
    """

    command: str
    key: bytes
    fingerprint: bytes
    correlation_id: str
    if_match: int | None = None
    actor: str = ANONYMOUS

    def metadata(self, *, occurred_at: datetime | None) -> Metadata:
        """What the events that this call causes have in common; each gets a nonce of its own."""
        return Metadata(
            actor=self.actor,
            command=self.command,
            correlation_id=self.correlation_id,
            nonce=b"",
            idempotency=self.key.hex(),
            occurred_at=occurred_at,
        )


def key_digest(scope: str, key: str) -> bytes:
    """The digest under which the log remembers the outcome of a key; two scopes never share one."""
    return _digest((scope.encode(), key.encode()))[:KEY_BYTES]


def fingerprint(key: str, *, command: str, target: str | None, canonical: bytes) -> bytes:
    """The digest of what is asked: the same however it is spelled and whichever route it takes.

    The key salts it, so that the log does not tell two callers that they asked for the same.
    """
    parts = (key.encode(), command.encode(), b"" if target is None else target.encode(), canonical)
    digest = _digest(parts)
    assert len(digest) == FINGERPRINT_BYTES
    return digest


def _digest(parts: Iterable[bytes]) -> bytes:
    """SHA-256 over the parts, each behind its length: no two sequences of parts look alike."""
    return hashlib.sha256(b"".join([b"%d:%b" % (len(part), part) for part in parts])).digest()


def uuid7(now: datetime) -> str:
    """A UUID of version 7 (RFC 9562): milliseconds first, so ids of one time lie together, then random bits."""
    milliseconds = int(now.astimezone(UTC).timestamp() * 1000)
    number = milliseconds << 80 | secrets.randbits(80)
    number = number & ~(0xF << 76) | 0x7 << 76
    number = number & ~(0x3 << 62) | 0x2 << 62
    return str(uuid.UUID(int=number))
