"""Bundles: a part of the log that proves itself without it, one JSON text per line, and their check.

docs/audit.md specifies the format. The check reads line by line, in memory that does not grow with the bundle, needs no
network, no database and no secret, and believes nothing but the signature of a key that the auditor trusts: that key
signed the root, the root fixes the sealed leaves, and each event, its tags and its outcome are held against them.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, Literal

import msgspec
from msgspec import Struct

from event_store.log.envelope import decode_metadata
from event_store.proofs import merkle, note, policy
from event_store.proofs.checkpoint import Checkpoint
from event_store.proofs.evidence import Evidence
from event_store.proofs.merkle import Frontier, ProofInvalid
from event_store.proofs.note import MalformedNote, NoteError, UnknownSigner, VerifierKey
from event_store.proofs.policy import KeyRange, Policy

FORMAT: Final = "counterfoil.bundle.v1"
LINE_BYTES_MAX: Final = 64 * 1024 * 1024
"""Above what the largest event takes."""
PROGRESS_EVERY: Final = 10_000
"""Events between two reports of progress."""
FINDINGS_MAX: Final = 1_000
"""Findings that are listed; of others only the number is known."""


Severity = Literal["damage", "incomplete"]
Kind = Literal[
    "checkpoint-forged",
    "cut-off",
    "event-changed",
    "event-missing",
    "events-missing",
    "line-unreadable",
    "nobody-vouches",
    "outcome-added",
    "outcome-changed",
    "outcome-missing",
    "position-missing",
    "root-mismatch",
    "tags-changed",
    "version-missing",
]
"""What can be wrong; docs/audit.md says what each means."""


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
    line has a proof of its own, and these are empty.
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


class EventLine(Struct, frozen=True, kw_only=True, tag_field="line", tag="event", gc=False):
    """One event as it stands in the log, beside the leaf that was sealed at its position; None: the row is gone.

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


class Finding(Struct, frozen=True):
    """What is wrong, and at which position of the log; 0: with the bundle as a whole."""

    position: int
    kind: Kind
    severity: Severity
    message: str


class Checked(Struct, frozen=True):
    """What a check came to."""

    origin: str
    checkpoint: Checkpoint | None
    """What the events are proven under; None: nothing is."""
    events: int
    vouched: bool
    """Whether a key that the auditor trusts signed; otherwise one did that only the bundle names."""
    findings: tuple[Finding, ...]
    findings_in_all: int

    @property
    def damaged(self) -> bool:
        """Whether anything is not as it was sealed."""
        return any(each.severity == "damage" for each in self.findings)

    @property
    def complete(self) -> bool:
        """Whether everything that the bundle says of itself was there and could be checked."""
        return not any(each.severity == "incomplete" for each in self.findings)


encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Line).decode


def check(
    lines: Iterable[bytes],
    *,
    keys: Sequence[VerifierKey],
    on_progress: Callable[[int], None] = lambda _: None,
) -> Checked:
    """Check a bundle, line by line.

    Args:
        lines: of the file, in order.
        keys: of the log, that the auditor trusts; without any, those that the bundle names, which proves less.
        on_progress: called with the number of events read, now and then.

    Raises:
        MalformedNote: this is no bundle.
        UnknownSigner: no trusted key signed its checkpoint.
    """
    read = _lines(lines)
    header = next(read, None)
    if not isinstance(header, Header) or header.format != FORMAT:
        raise MalformedNote(f"this is no bundle: its first line is not one of the format {FORMAT}")
    findings = _Findings()
    sealed = _signed(header, keys, findings)
    reader = _Range(header, sealed, findings) if header.kind == "range" else _Case(header, sealed, findings)
    try:
        ended = _read(read, reader, findings, on_progress)
    except MalformedNote as error:
        ended = False
        findings.add(reader.position, "line-unreadable", f"behind position {reader.position}: {error}")
    if not ended:
        findings.add(
            reader.position, "cut-off", "the bundle ends before its last line", severity="incomplete"
        )
    reader.end()
    return Checked(header.origin, sealed, reader.events, bool(keys), tuple(findings.listed), findings.in_all)


def _read(
    lines: Iterator[Line],
    reader: "_Range | _Case",
    findings: "_Findings",
    on_progress: Callable[[int], None],
) -> bool:
    """Examine every event; whether the last line was there."""
    ended = False
    for line in lines:
        if ended or isinstance(line, Header):
            raise MalformedNote("a line stands where none of its kind can be")
        if isinstance(line, EventLine):
            reader.see(line)
            if reader.events % PROGRESS_EVERY == 0:
                on_progress(reader.events)
            continue
        ended = True
        if line.events != reader.events:
            message = f"{line.events} events were exported, {reader.events} are here"
            findings.add(0, "events-missing", message)
    return ended


class _Findings:
    def __init__(self) -> None:
        self.listed: list[Finding] = []
        self.in_all = 0

    def add(self, position: int, kind: Kind, message: str, *, severity: Severity = "damage") -> None:
        self.in_all += 1
        if len(self.listed) < FINDINGS_MAX:
            self.listed.append(Finding(position, kind, severity, message))


def _signed(header: Header, keys: Sequence[VerifierKey], findings: _Findings) -> Checkpoint | None:
    try:
        ranges: Sequence[KeyRange] = policy.trusted(header.keys, keys) if keys else header.keys.keys
        found = policy.verified(note.parse(header.checkpoint), ranges)
    except UnknownSigner:
        raise
    except NoteError as error:
        findings.add(0, "checkpoint-forged", str(error))
        return None
    if found.origin != header.origin:
        findings.add(
            0, "checkpoint-forged", f"the checkpoint is that of {found.origin}, not of {header.origin}"
        )
        return None
    if not keys:
        message = "no key was given, so nobody but the bundle itself says whose signature this is"
        findings.add(0, "nobody-vouches", message, severity="incomplete")
    return found


class _Reader:
    """What is checked of every event, wherever its sealed leaf is proven."""

    def __init__(self, header: Header, sealed: Checkpoint | None, findings: _Findings) -> None:
        self.header = header
        self.sealed = sealed
        self.findings = findings
        self.events = 0
        self.position = 0

    def examine(self, line: EventLine) -> None:
        """Hold an event against its sealed leaf, and its tags and outcome against the event."""
        self.events += 1
        self.position = line.position
        event = line.event
        if event is None:
            self.findings.add(line.position, "event-missing", "the row is gone from the log, and was sealed")
            return
        if event.position != line.position:
            self.findings.add(
                line.position, "event-changed", f"the event says that it is number {event.position}"
            )
        if event.leaf.hex() != line.leaf:
            message = (
                "the event was changed after it was sealed: stream, version, type, time, metadata or payload"
            )
            self.findings.add(line.position, "event-changed", message)
        try:
            metadata = decode_metadata(event.metadata.encode())
        except msgspec.DecodeError:
            return  # no metadata of ours says anything of tags and outcomes
        if sorted(metadata.tags) != sorted(line.tags):
            message = f"the tags are {list(line.tags)}, and {list(metadata.tags)} were sealed with the event"
            self.findings.add(line.position, "tags-changed", message)


class _Outcomes:
    """Outcomes against events: each event came with exactly one request, so their ranges follow each other."""

    def __init__(self, findings: _Findings) -> None:
        self._findings = findings
        self._current: Outcome | None = None
        self._versions: dict[str, int] = {}
        self._whole = False

    def see(self, line: EventLine, *, may_begin_earlier: bool) -> None:
        position, current = line.position, self._current
        if current is None or position > current.last:
            self.finish()
            self._current = current = self._begun(line, may_begin_earlier=may_begin_earlier)
        elif line.outcomes:
            message = (
                f"a second outcome claims this event: {line.outcomes[0].first} to {line.outcomes[0].last}"
            )
            self._findings.add(position, "outcome-added", message)
        if current is None or line.event is None:
            self._whole = False
            return
        self._versions[line.event.stream] = line.event.version
        try:
            metadata = decode_metadata(line.event.metadata.encode())
        except msgspec.DecodeError:
            return
        if metadata.idempotency is not None and metadata.idempotency != current.key:
            self._findings.add(
                position, "outcome-changed", "the outcome has another key than the event's request"
            )
        if metadata.fingerprint is not None and metadata.fingerprint.hex() != current.fingerprint:
            message = "the outcome's fingerprint is not that of the request that was sealed with the event"
            self._findings.add(position, "outcome-changed", message)

    def finish(self) -> None:
        """The last event of a request was seen: it reached the versions that its outcome says, if all of it is here."""
        current = self._current
        if current is None or not self._whole:
            return
        missing = [version for version in self._versions.values() if version not in current.versions]
        if missing:
            message = (
                f"the outcome says that versions {list(current.versions)} were reached, the events {missing}"
            )
            self._findings.add(current.last, "outcome-changed", message)

    def last_of_its_stream(self, line: EventLine) -> None:
        """Where only one stream is there: the last event of a request reached a version that its outcome says."""
        current, event = self._current, line.event
        if current is None or event is None or current.last != line.position:
            return
        if event.version not in current.versions:
            message = f"the outcome says that versions {list(current.versions)} were reached, the event {event.version}"
            self._findings.add(line.position, "outcome-changed", message)

    def unfinished(self, position: int) -> None:
        """Nothing follows: what is not complete is not judged, unless it should have been."""
        if self._current is not None and position >= self._current.last:
            self.finish()

    def _begun(self, line: EventLine, *, may_begin_earlier: bool) -> Outcome | None:
        self._versions = {}
        fitting = [
            each
            for each in line.outcomes
            if each.last >= line.position and (each.first == line.position or may_begin_earlier)
        ]
        if len(line.outcomes) > 1 or len(fitting) != len(line.outcomes):
            self._findings.add(
                line.position, "outcome-changed", "outcomes claim this event that do not follow"
            )
        if not fitting:
            if not line.outcomes:
                message = "no outcome says which request brought this event: it was deleted or moved"
                self._findings.add(line.position, "outcome-missing", message)
            return None
        self._whole = fitting[0].first == line.position
        return fitting[0]


class _Range(_Reader):
    """Every event between two positions: the sealed leaves are a tree that grows to the checkpoint's."""

    def __init__(self, header: Header, sealed: Checkpoint | None, findings: _Findings) -> None:
        super().__init__(header, sealed, findings)
        self.position = header.first - 1
        self._outcomes = _Outcomes(findings)
        self._frontier: Frontier | None = None
        size, peaks = header.first - 1, [_hash(each) for each in header.before]
        if size >= 0 and len(peaks) == size.bit_count():
            self._frontier = Frontier(size, peaks)

    def see(self, line: EventLine) -> None:
        """Take the next line."""
        expected = self.position + 1
        if line.position != expected:
            message = f"number {expected} is expected, and number {line.position} follows"
            self.findings.add(expected, "position-missing", message)
        self.examine(line)
        self._outcomes.see(line, may_begin_earlier=line.position == self.header.first)
        if self._frontier is not None:
            self._frontier.append(_hash(line.leaf))

    def end(self) -> None:
        """Everything was read: the sealed leaves lead to the root that was signed, or nothing is proven."""
        self._outcomes.unfinished(self.position)
        if self.position < self.header.last:
            message = f"the range ends at {self.position}, not at {self.header.last}"
            self.findings.add(self.position + 1, "position-missing", message)
        if self.sealed is None:
            return
        if self._frontier is None:
            message = "the subtrees before the range do not belong to its first position"
            self.findings.add(0, "root-mismatch", message)
            return
        try:
            merkle.verify_consistency(
                old=self._frontier.size,
                old_root=self._frontier.root(),
                size=self.sealed.size,
                root=self.sealed.root,
                proof=[_hash(each) for each in self.header.after],
            )
        except ProofInvalid as error:
            self.findings.add(
                0, "root-mismatch", f"the sealed leaves do not lead to the root that was signed: {error}"
            )


class _Case(_Reader):
    """The events of one stream, each with a proof of its own."""

    def __init__(self, header: Header, sealed: Checkpoint | None, findings: _Findings) -> None:
        super().__init__(header, sealed, findings)
        self._version: int | None = None

    def see(self, line: EventLine) -> None:
        """Take the next line."""
        if line.position <= self.position:
            self.findings.add(line.position, "position-missing", "the events are not in the order of the log")
        self.examine(line)
        self._in_its_stream(line)
        outcomes = _Outcomes(self.findings)
        outcomes.see(line, may_begin_earlier=True)
        outcomes.last_of_its_stream(line)
        if self.sealed is None:
            return
        try:
            merkle.verify_inclusion(
                _hash(line.leaf),
                index=line.position - 1,
                size=self.sealed.size,
                proof=[_hash(each) for each in line.proof],
                root=self.sealed.root,
            )
        except ProofInvalid as error:
            self.findings.add(
                line.position, "root-mismatch", f"the sealed leaf is not that of this position: {error}"
            )

    def end(self) -> None:
        """Whether the stream went on later, no bundle of it can prove."""

    def _in_its_stream(self, line: EventLine) -> None:
        if (event := line.event) is None:
            return
        if event.stream != self.header.stream:
            self.findings.add(line.position, "event-changed", f"the event is one of {event.stream}")
        elif self._version is None:
            if event.version > 1:
                self.findings.add(
                    line.position, "version-missing", f"the stream begins with version {event.version}"
                )
        elif event.version != self._version + 1:
            message = f"version {event.version} follows {self._version}"
            self.findings.add(line.position, "version-missing", message)
        self._version = event.version


def _lines(lines: Iterable[bytes]) -> Iterator[Line]:
    for line in lines:
        if len(line) > LINE_BYTES_MAX:
            raise MalformedNote(f"a line has more than {LINE_BYTES_MAX} bytes")
        try:
            yield _decode(line)
        except msgspec.DecodeError as error:
            raise MalformedNote(f"a line is not one of a bundle: {error}") from error


def _hash(text: str) -> bytes:
    try:
        decoded = bytes.fromhex(text)
    except ValueError as error:
        raise MalformedNote("a hash is not written in hex") from error
    if len(decoded) != merkle.HASH_BYTES:
        raise MalformedNote("a hash has another length")
    return decoded
