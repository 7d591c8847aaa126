"""Fingerprints: what was asked under a key, which distinguishes a repetition from a mistake.

A fingerprint is for ever, as the outcome is that it stands in. It is a keyed hash (HMAC-SHA-256): the secret is this
installation's, made by the first migration and readable only by those who append. Without it nobody who reads the log
can find out by trying what a fingerprint was made of, however few possibilities there are.
"""

import hmac
from collections.abc import Iterable
from typing import Any, Final

import psycopg

_KEY: Final = "select key from secret.fingerprint"

Connection = psycopg.Connection[tuple[Any, ...]]
AsyncConnection = psycopg.AsyncConnection[tuple[Any, ...]]


class Fingerprints:
    """Makes the fingerprints of one installation."""

    def __init__(self, secret: bytes) -> None:
        # Keyed once: for every fingerprint a copy goes on from there, which takes half as long.
        self._keyed = hmac.new(secret, digestmod="sha256")

    def __repr__(self) -> str:
        """Say nothing of the secret."""
        return "Fingerprints(…)"

    def of(self, kind: str, *parts: bytes) -> bytes:
        """The fingerprint of these parts; those of one kind of request are never those of another."""
        keyed = self._keyed.copy()
        keyed.update(framed((kind.encode(), *parts)))
        return keyed.digest()


def framed(parts: Iterable[bytes]) -> bytes:
    """The parts, each behind its length: no two sequences of parts look alike."""
    return b"".join([b"%d:%b" % (len(part), part) for part in parts])


def read(connection: Connection) -> Fingerprints:
    """The fingerprints of this installation; the session needs the right to append."""
    return _of(connection.execute(_KEY).fetchone())


async def read_async(connection: AsyncConnection) -> Fingerprints:
    """The fingerprints of this installation; the session needs the right to append."""
    return _of(await (await connection.execute(_KEY)).fetchone())


def _of(row: tuple[Any, ...] | None) -> Fingerprints:
    assert row is not None, "the first migration makes the secret"
    return Fingerprints(bytes(row[0]))
