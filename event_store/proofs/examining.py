"""Events of a bundle held against their sealed leaves, and their tags and outcomes against the events."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, Literal

import msgspec
from msgspec import Struct

from event_store.log.envelope import decode_metadata
from event_store.proofs import bundle, merkle
from event_store.proofs.bundle import EventLine, Header, Outcome
from event_store.proofs.certificate import Certificate
from event_store.proofs.checkpoint import Checkpoint
from event_store.proofs.evidence import Evidence
from event_store.proofs.merkle import Frontier, ProofInvalid

FINDINGS_MAX: Final = 1_000
"""Findings of one severity that are listed; of others only the number is known."""

Severity = Literal["damage", "incomplete"]
Kind = Literal[
    "certificate-forged",
    "certificate-mismatch",
    "checkpoint-forged",
    "cut-off",
    "event-changed",
    "event-missing",
    "events-missing",
    "fold-differs",
    "line-unreadable",
    "nobody-vouches",
    "outcome-added",
    "outcome-changed",
    "outcome-missing",
    "page-changed",
    "position-missing",
    "root-mismatch",
    "row-changed",
    "shapes-changed",
    "skips-changed",
    "tags-changed",
    "version-missing",
    "view-mismatch",
]
"""Kinds of findings, explained in docs/audit.md."""

NOBODY_VOUCHES: Final = "no key was given, so nobody but the file itself says whose signature this is"


class Finding(Struct, frozen=True):
    """A finding with its position in the log; 0 for the bundle as a whole."""

    position: int
    kind: Kind
    severity: Severity
    message: str


class FindingsReport(Struct, frozen=True):
    """The first findings of a check, and the number of each severity, listed or not."""

    listed: tuple[Finding, ...] = ()
    in_all: Mapping[Severity, int] = {}

    @property
    def damage(self) -> bool:
        """Whether anything is not as it was sealed or certified."""
        return self.in_all.get("damage", 0) > 0

    @property
    def incomplete(self) -> bool:
        """Whether anything could not be checked."""
        return self.in_all.get("incomplete", 0) > 0

    @property
    def number(self) -> int:
        """How many findings there are."""
        return sum(self.in_all.values())


_NOTHING_FOUND: Final = FindingsReport()


class Findings:
    """Findings as they are made: the first ones are kept, all are counted."""

    def __init__(self, before: FindingsReport = _NOTHING_FOUND) -> None:
        """Go on behind what was found before."""
        self._listed = list(before.listed)
        self._in_all: Counter[Severity] = Counter(before.in_all)

    def add(self, position: int, kind: Kind, message: str, *, severity: Severity = "damage") -> None:
        """Note what is wrong at a position."""
        self.take(Finding(position, kind, severity, message))

    def take(self, finding: Finding) -> None:
        """Note it."""
        self._in_all[finding.severity] += 1
        if self._in_all[finding.severity] <= FINDINGS_MAX:
            self._listed.append(finding)

    def found(self) -> FindingsReport:
        """The findings so far."""
        return FindingsReport(tuple(self._listed), dict(self._in_all))


class _Reader:
    """The checks of every event with a proven sealed leaf."""

    def __init__(self, header: Header, sealed: Checkpoint | None, findings: Findings) -> None:
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

    def __init__(self, findings: Findings) -> None:
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


class Range(_Reader):
    """Every event between two positions: the sealed leaves are a tree that grows to the checkpoint's."""

    def __init__(
        self,
        header: Header,
        sealed: Checkpoint | None,
        findings: Findings,
        *,
        certificates: Sequence[Certificate] = (),
    ) -> None:
        super().__init__(header, sealed, findings)
        self.position = header.first - 1
        self._certificates = certificates
        self._outcomes = _Outcomes(findings)
        self._frontier: Frontier | None = None
        size, peaks = header.first - 1, [bundle.hash_of(each) for each in header.before]
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
            self._frontier.append(bundle.hash_of(line.leaf))
            self._hold_certificates(self._frontier)

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
                proof=[bundle.hash_of(each) for each in self.header.after],
            )
        except ProofInvalid as error:
            self.findings.add(
                0, "root-mismatch", f"the sealed leaves do not lead to the root that was signed: {error}"
            )

    def _hold_certificates(self, tree: Frontier) -> None:
        """Certificates over as many events as were read: were they made of these?"""
        for each in self._certificates:
            if each.size == tree.size and each.log_root != tree.root().hex():
                message = f"the certificate of view {each.view} was made of another history than these events"
                self.findings.add(each.size, "certificate-mismatch", message)


class Case(_Reader):
    """The events of one stream, customer or actor, each with a proof of its own."""

    def __init__(self, header: Header, sealed: Checkpoint | None, findings: Findings) -> None:
        super().__init__(header, sealed, findings)
        self._versions: dict[str, int] = {}

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
                bundle.hash_of(line.leaf),
                index=line.position - 1,
                size=self.sealed.size,
                proof=[bundle.hash_of(each) for each in line.proof],
                root=self.sealed.root,
            )
        except ProofInvalid as error:
            self.findings.add(
                line.position, "root-mismatch", f"the sealed leaf is not that of this position: {error}"
            )

    def end(self) -> None:
        """Whether the stream went on later, no bundle of it can prove."""

    def _in_its_stream(self, line: EventLine) -> None:
        """Whether the event belongs to the case, and follows the one before it where whole streams are in it."""
        if (event := line.event) is None:
            return
        if self.header.kind == "actor":
            if _actor(event) != self.header.subject:
                self.findings.add(line.position, "event-changed", "the event was caused by another actor")
            return
        before = self._versions.get(event.stream)
        if self.header.kind == "case" and event.stream != self.header.stream:
            self.findings.add(line.position, "event-changed", f"the event is one of {event.stream}")
        elif before is None:
            if event.version > 1:
                self.findings.add(
                    line.position, "version-missing", f"the stream begins with version {event.version}"
                )
        elif event.version != before + 1:
            message = f"version {event.version} follows {before}"
            self.findings.add(line.position, "version-missing", message)
        self._versions[event.stream] = event.version


def _actor(event: Evidence) -> str | None:
    try:
        return decode_metadata(event.metadata.encode()).actor
    except msgspec.DecodeError:
        return None
