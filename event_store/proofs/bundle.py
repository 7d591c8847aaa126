"""Bundles: a part of the log that proves itself without it, one JSON text per line; docs/audit.md specifies them."""

from collections.abc import Iterable, Iterator
from typing import Final, Literal

import msgspec
from msgspec import Struct

from event_store.proofs import merkle
from event_store.proofs.evidence import Evidence
from event_store.proofs.note import MalformedNote
from event_store.proofs.policy import Policy

FORMAT: Final = "counterfoil.bundle.v1"
LINE_BYTES_MAX: Final = 64 * 1024 * 1024
"""Above what the largest event takes."""


class Outcome(Struct, frozen=True, gc=False):
    """What the log says became of a request: hex digests, the positions of its events, and the versions reached."""

    key: str
    fingerprint: str
    first: int
    last: int
    versions: tuple[int, ...]


class Header(Struct, frozen=True, kw_only=True, tag_field="line", tag="bundle"):
    """The first line: which part of which log, and what its proofs lead to.

    A range holds every event from `first` to `last`; `before` are the roots of the complete subtrees over what precedes
    it, `after` the consistency proof from its end to the checkpoint. A case holds the events of one stream; then each
    line has a proof of its own, and these are empty. `certificates` are those of views that a range is to be held
    against (`certificate`).
    """

    format: str
    kind: Literal["range", "case"]
    origin: str
    first: int
    last: int
    stream: str | None
    checkpoint: str
    keys: Policy
    before: tuple[str, ...]
    after: tuple[str, ...]
    certificates: tuple[str, ...] = ()


class EventLine(Struct, frozen=True, kw_only=True, tag_field="line", tag="event", gc=False):
    """One event as it stands in the log, next to the leaf that was sealed at its position; None: the row is gone.

    `outcomes` are those that claim this event and no earlier one of the bundle.
    """

    position: int
    leaf: str
    event: Evidence | None
    tags: tuple[str, ...]
    outcomes: tuple[Outcome, ...]
    proof: tuple[str, ...] = ()


class End(Struct, frozen=True, kw_only=True, tag_field="line", tag="end"):
    """The last line: how many events there are, so that a bundle that was cut off shows."""

    events: int


Line = Header | EventLine | End


encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Line).decode


def read(lines: Iterable[bytes]) -> Iterator[Line]:
    """The lines of a file, in order.

    Raises:
        MalformedNote: one is none of a bundle.
    """
    for line in lines:
        if len(line) > LINE_BYTES_MAX:
            raise MalformedNote(f"a line has more than {LINE_BYTES_MAX} bytes")
        try:
            yield _decode(line)
        except msgspec.DecodeError as error:
            raise MalformedNote(f"a line is not one of a bundle: {error}") from error


def hash_of(text: str) -> bytes:
    """A hash as bundles spell it.

    Raises:
        MalformedNote: it is none.
    """
    try:
        decoded = bytes.fromhex(text)
    except ValueError as error:
        raise MalformedNote("a hash is not written in hex") from error
    if len(decoded) != merkle.HASH_BYTES:
        raise MalformedNote("a hash has another length")
    return decoded
