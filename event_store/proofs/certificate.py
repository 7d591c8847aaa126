"""Certificates of views: which rows follow from the first events of a log, as a signed note.

The rows of a view, sorted by key, are the leaves of a Merkle tree; its root stands in the certificate, next to the
root of the log that was folded. docs/audit.md specifies both. The text is no checkpoint and cannot be read as one, so
the log's key signs both (ADR 64).
"""

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Struct

from event_store.proofs import note
from event_store.proofs.errors import ProofsError
from event_store.proofs.note import MalformedNote, Note, SignerKey, UnknownSigner
from event_store.proofs.policy import KeyRange
from runtime.decoders import of_any_depth

FORMAT: Final = "counterfoil.certificate.v1"
CERTIFICATE_BYTES_MAX: Final = 1_000_000
"""What Go's implementation of signed notes reads: some hundred parked keys with their reasons."""


class TooManyParked(ProofsError):
    """A certificate does not hold so many parked keys."""


class ParkedKey(Struct, frozen=True):
    """A partition key whose events from a position on are in no row, and why."""

    partition_key: str
    position: int
    reason: str


class Certificate(Struct, frozen=True, kw_only=True):
    """The rows of a build of a view are what its folds make of the log.

    `size` and `log_root` name the log: its first events, and their root. `positions` has for each partition the last
    position that is in the rows; a global view has one partition, the whole log. `skips` are positions of events that
    an operator left out, `stopped` says why nobody feeds the build. `fold` identifies the program that folded
    (`projections.certifying.fold_version`). Roots and `fold` are hex.
    """

    origin: str
    view: str
    shape: int
    build: int
    fold: str
    size: int
    log_root: str
    positions: tuple[int, ...]
    skips: tuple[int, ...]
    parked: tuple[ParkedKey, ...]
    stopped: str | None
    rows: int
    root: str

    @property
    def text(self) -> str:
        """The signed text: a line with the format, and a line of JSON."""
        return f"{FORMAT}\n{msgspec.json.encode(self).decode()}\n"

    def signed(self, key: SignerKey) -> Note:
        """The certificate, signed.

        Raises:
            TooManyParked: it is too large to be read.
        """
        signed = Note(self.text, (key.sign(self.text),))
        if len(signed.encode().encode()) > CERTIFICATE_BYTES_MAX:
            raise TooManyParked(
                f"view {self.view} has {len(self.parked):,} parked keys, more than a certificate holds:"
                " retry or skip them first (docs/runbooks/parked-key.md)"
            )
        return signed


_decode: Final = of_any_depth(msgspec.json.Decoder(Certificate).decode)


def parse(encoded: str | bytes) -> tuple[Note, Certificate]:
    """Read a signed certificate; who signed it is not verified yet.

    Raises:
        MalformedNote: it is none.
    """
    signed = note.parse(encoded, bytes_max=CERTIFICATE_BYTES_MAX)
    first, _, rest = signed.text.partition("\n")
    if first != FORMAT:
        raise MalformedNote(f"this is no certificate: those begin with {FORMAT}")
    try:
        found = _decode(rest)
    except msgspec.DecodeError as error:
        raise MalformedNote(f"this is no certificate: {error}") from error
    if found.text != signed.text:
        raise MalformedNote("the certificate is not written as everybody writes it")
    return signed, found


def verified(encoded: str | bytes, keys: Sequence[KeyRange]) -> Certificate:
    """The certificate in a text that a key of its log signed.

    Args:
        encoded: the signed note.
        keys: the keys that are trusted; only those that cover the size of the log count.

    Raises:
        MalformedNote: it is no certificate.
        UnverifiedNote: none of these keys signed it, or one is claimed falsely.
    """
    signed, found = parse(encoded)
    own = [each.verifier for each in keys if each.covers(found.size)]
    own = [key for key in own if key.name == found.origin and key.algorithm == note.ED25519]
    if not own:
        raise UnknownSigner(f"no key of the log {found.origin} is known here for {found.size:,} events")
    note.verify(signed, own)
    return found
