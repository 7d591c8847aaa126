"""Bundles: a part of the log that proves itself without it, one JSON text per line; docs/audit.md specifies them."""

from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import BinaryIO, Final, Literal

import msgspec
from msgspec import Struct

from event_store.proofs import merkle
from event_store.proofs.evidence import Evidence
from event_store.proofs.note import MalformedNote
from event_store.proofs.policy import Policy
from runtime.decoders import of_any_depth

FORMAT: Final = "counterfoil.bundle.v1"
LINE_BYTES_MAX: Final = 64 * 1024 * 1024
"""Above what the largest event takes."""


BundleKind = Literal["range", "case", "customer", "actor"]
"""Every event of a range of positions; the events of one stream, of one customer, by one actor."""


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
    it, `after` the consistency proof from its end to the checkpoint. `certificates` are those of views that a range is
    to be held against (`certificate`). A case holds the events of one `stream`, or those that concern one `subject`;
    then each line has a proof of its own, and there is nothing in these.
    """

    format: str
    kind: BundleKind
    origin: str
    first: int
    last: int
    stream: str | None
    checkpoint: str
    keys: Policy
    before: tuple[str, ...]
    after: tuple[str, ...]
    certificates: tuple[str, ...] = ()
    subject: str | None = None


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


class Shape(Struct, frozen=True, kw_only=True, tag_field="line", tag="shape"):
    """What payloads of a type look like, ahead of the first event of it: a JSON Schema, as text. It is not sealed."""

    type: str
    schema: str


class PageLine(Struct, frozen=True, kw_only=True, tag_field="line", tag="page"):
    """The case as a page of HTML (`page`), behind its events."""

    html: str


class End(Struct, frozen=True, kw_only=True, tag_field="line", tag="end"):
    """The last line: how many events there are, so that a bundle that was cut off shows, and a digest of the shapes."""

    events: int
    shapes: str | None = None


Line = Header | Shape | EventLine | PageLine | End


class Shapes:
    """The shapes of a bundle, one after the other, and their digest."""

    def __init__(self) -> None:
        self.types: set[str] = set()
        self._digest = sha256()

    def add(self, shape: Shape) -> None:
        """Take the next one."""
        self.types.add(shape.type)
        self._digest.update(f"{shape.type}\n{shape.schema}\n".encode())

    @property
    def digest(self) -> str | None:
        """64 hex digits; None without shapes."""
        return self._digest.hexdigest() if self.types else None


encode = msgspec.json.Encoder().encode
_decode = of_any_depth(msgspec.json.Decoder(Line).decode)


def lines_of(file: BinaryIO) -> Iterator[bytes]:
    """The lines of a file; of one that is longer than any of a bundle no more than shows that."""
    while line := file.readline(LINE_BYTES_MAX + 1):
        yield line


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
