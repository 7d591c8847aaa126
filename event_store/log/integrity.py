"""Proves a log from its own bytes: positions, versions, times, epochs, outcomes, and every leaf computed again.

Nothing is trusted that the database derives: rows are read once, in position order, and the leaf of each is computed
here from the stored values. The log is read up to the head of the moment in which it began, a segment at a time: what
stands there never changes, so no snapshot is held for longer, and memory holds a segment. What cannot be seen from the
log alone is a cut at its very end together with a head that was set back; a reader that keeps a position outside the
log (views, Kafka) sees that.
"""

import itertools
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, Final, LiteralString

from msgspec import Struct

from event_store.log import diagnosis, envelope, reading, tags, unreadable
from event_store.log.diagnosis import Clues
from event_store.log.envelope import RecordedEvent
from event_store.log.findings import FINDINGS_MAX, Finding, Findings
from event_store.log.leaf import leaf_of
from event_store.log.outcomes import OutcomeMatching, Outcomes, OutcomesByKey
from event_store.log.reading import Epoch

ABOUT_REQUESTS: Final = frozenset({"outcome-changed", "tag-mismatch", "tag-missing"})
"""Kinds of findings that leave in no doubt what the events are: something next to them was changed."""

ROW_UNREADABLE: Final = "row-unreadable"
"""Kind of the finding after which nothing else can read all of the log."""

POSITIONS_PER_SEGMENT: Final = reading.POSITIONS_PER_SHORT_SEGMENT
"""Events held at a time."""
STREAMS_KEPT_MAX: Final = 100_000
"""Streams whose last version is remembered; of others the event before is looked up."""

_OUTSIDE: Final = """
select count(*), min(e.position) from log.head h join log.event e on e.position > h.position or e.position < 1
"""
_HEAD_AND_OUTCOMES: Final = """
select h.position, (select max(o.last_position) from log.outcome o) from log.head h
"""
_BEFORE: Final = """
select a.stream, e.version
from unnest(%s::text[], %s::bigint[], %s::bigint[]) as a (stream, version, position)
cross join lateral (
    select x.version from log.event x
    where x.stream = a.stream and x.version < a.version and x.position < a.position
    order by x.version desc limit 1
) e
"""
_TIME_OF_HEAD: Final = """
select h.position, h.recorded_at::text, e.recorded_at::text from log.head h join log.event e on e.position = h.position
where h.recorded_at <> e.recorded_at
"""
_TYPES: Final = "select type from log.event where position between %s and %s group by type"
_NEIGHBOURHOOD_EVENTS: Final = 500
"""How far around a damaged row its neighbours are asked for types and times."""

OnProgress = Callable[[int], None]
SeeLeaf = Callable[[int, bytes], None]
"""Takes the position of an event and the leaf that was computed over its row."""


class LogReport(Struct, frozen=True):
    """The result of a verification: the head, the number of events read, and what is wrong, by position."""

    head: int
    epoch: int
    events: int
    findings: tuple[Finding, ...]
    findings_in_all: int
    kinds: frozenset[str]
    """Of all findings, listed or not."""

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return self.findings_in_all == 0

    @property
    def contradicted(self) -> bool:
        """Whether what the events are is in doubt, not only what stands next to them."""
        return not self.kinds <= ABOUT_REQUESTS


def verify_log(connection: reading.Connection, *, on_progress: OnProgress | None = None) -> LogReport:
    """Read the whole log once and check everything that it says about itself.

    Args:
        connection: in autocommit mode, with a role that may read schema log.
        on_progress: called with the position reached, after each segment.
    """
    checking = verifying(connection)
    while True:
        try:
            position = next(checking)
        except StopIteration as ended:
            report: LogReport = ended.value
            return report
        if on_progress is not None:
            on_progress(position)


def verifying(
    connection: reading.Connection, *, see_leaf: SeeLeaf = lambda _position, _leaf: None
) -> Generator[int, None, LogReport]:
    """The same piece by piece: gives the position reached after each segment, and returns the report.

    Args:
        connection: as above; nothing else may use it for longer than a piece takes.
        see_leaf: called with each leaf as it was computed.
    """
    head, epochs = _begun(connection)
    findings = Findings()
    scan = _Scan(epochs, Outcomes(connection, head=head.position, findings=findings), findings, see_leaf)
    yield from _scanned(connection, scan, findings, after=0, upto=head.position)
    scan.end(head.position)
    findings.listed.extend(_outcomes_behind(connection))
    for found in tags.wrong(connection):
        findings.listed.extend(found)
        yield head.position
    return _reported(connection, scan, findings, head=head)


def verifying_new(
    connection: reading.Connection,
    *,
    after: int,
    upto: int,
    see_leaf: SeeLeaf = lambda _position, _leaf: None,
) -> Generator[int, None, LogReport]:
    """Events between two positions, as `verifying`; outcomes are found by the keys that the events name.

    What was added next to the events without belonging to any takes reading all of it, and is not looked for.
    """
    head, epochs = _begun(connection)
    findings = Findings()
    outcomes = OutcomesByKey(connection, findings=findings)
    scan = _Scan(epochs, outcomes, findings, see_leaf, after=after)
    yield from _scanned(connection, scan, findings, after=after, upto=upto)
    scan.end(upto)
    return _reported(connection, scan, findings, head=head)


def _scanned(
    connection: reading.Connection, scan: "_Scan", findings: Findings, *, after: int, upto: int
) -> Iterator[int]:
    for start in range(after, upto, POSITIONS_PER_SEGMENT):
        end = min(upto, start + POSITIONS_PER_SEGMENT)
        segment, damaged = unreadable.events(connection, after=start, upto=end)
        for position in damaged:
            message = "the row holds a value that no event has: it was changed, and says nothing any more"
            findings.add(position, ROW_UNREADABLE, message)
        scan.unreadable.update(damaged)
        scan.remember(_versions_before(connection, scan.unknown(segment)))
        scan.outcomes.load(segment)
        tags.find_missing(connection, segment, findings)
        for event in segment:
            scan.see(event)
        yield end


def _reported(
    connection: reading.Connection, scan: "_Scan", findings: Findings, *, head: reading.Head
) -> LogReport:
    found = findings.listed
    found.extend(_epochs_and_head(connection, head, scan.epochs))
    for event, version_before in scan.broken:
        clues = _clues(connection, event, version_before=version_before, scan=scan)
        found.append(Finding(event.position, "leaf-mismatch", diagnosis.diagnose(event, clues)))
    found.sort(key=lambda finding: (finding.position, finding.kind))
    in_all = len(found) + findings.unlisted + scan.unlisted
    kinds = findings.kinds.union(finding.kind for finding in found)
    return LogReport(
        head.position, head.epoch, scan.events, tuple(found[:FINDINGS_MAX]), in_all, frozenset(kinds)
    )


def _begun(connection: reading.Connection) -> tuple[reading.Head, list[Epoch]]:
    """Head and epochs of one moment: what this verification is about."""
    with connection.transaction():
        connection.execute("set transaction isolation level repeatable read, read only")
        return reading.head(connection), reading.epochs(connection)


def _versions_before(
    connection: reading.Connection, events: Sequence[RecordedEvent]
) -> Sequence[tuple[str, int]]:
    """The version that the stream of each of these events had before it; streams that had none are absent."""
    if not events:
        return []
    given = [
        [event.stream for event in events],
        [event.version for event in events],
        [event.position for event in events],
    ]
    return connection.execute(_BEFORE, given).fetchall()


class _Scan:
    """State of one pass over the events in position order."""

    def __init__(
        self,
        epochs: Sequence[Epoch],
        outcomes: Outcomes | OutcomesByKey,
        findings: Findings,
        see_leaf: SeeLeaf,
        *,
        after: int = 0,
    ) -> None:
        self.epochs = epochs
        self.outcomes = outcomes
        self.events = 0
        self._findings = findings
        self._see_leaf = see_leaf
        self._requests = OutcomeMatching(findings)
        self.broken: list[tuple[RecordedEvent, int]] = []  # with the version that its stream had before it
        self.gaps: list[tuple[str, int]] = []  # streams that miss a version
        self.unlisted = 0
        self.unreadable: set[int] = set()  # positions
        self._position = after
        self._recorded_at: datetime | None = None
        self._versions: dict[str, int] = {}
        self._epoch = epochs[0].epoch if epochs else 0
        self._later_epochs = list(epochs[1:])

    def unknown(self, segment: Sequence[RecordedEvent]) -> list[RecordedEvent]:
        """The first event of each stream of a segment that goes on from events that are no longer remembered."""
        if len(self._versions) > STREAMS_KEPT_MAX:
            self._versions.clear()
        firsts: dict[str, RecordedEvent] = {}
        for event in segment:
            if event.stream not in self._versions:
                firsts.setdefault(event.stream, event)
        return [event for event in firsts.values() if event.version > 1]

    def remember(self, versions: Iterable[tuple[str, int]]) -> None:
        """Take versions that streams had before the segment that comes."""
        self._versions.update(versions)

    def see(self, event: RecordedEvent) -> None:
        """Check one row against all before it."""
        position, stream, version = event.position, event.stream, event.version
        self.events += 1
        if position != self._position + 1:
            self._hole(self._position + 1, position - 1)
        self._position = position
        while self._later_epochs and position >= self._later_epochs[0].first_position:
            self._epoch = self._later_epochs.pop(0).epoch

        before = self._versions.get(stream, 0)
        if version != before + 1 and not (version == 0 and stream not in self._versions):
            self._version_gap(event, before)
        self._versions[stream] = version

        if self._recorded_at is not None and event.recorded_at < self._recorded_at:
            self._add(
                position, "time-backwards", f"recorded_at is earlier than that of position {position - 1}"
            )
        self._recorded_at = event.recorded_at

        leaf = leaf_of(event, epoch=self._epoch)
        if leaf != event.leaf:
            self._leaf(event, before)
        self._see_leaf(position, leaf)
        self._requests.see(event, self.outcomes.of(position))
        if event.partition_key is not None or b'"partition_key":' in event.metadata:
            self._partition_key(event)

    def end(self, head: int) -> None:
        """Findings that need all rows."""
        if self._position < head:
            self._hole(self._position + 1, head)
        self.outcomes.end()

    def epoch_at(self, position: int) -> int:
        """The epoch that a position lies in."""
        return reading.epoch_of(self.epochs, position, otherwise=self._epoch)

    def _hole(self, first: int, last: int) -> None:
        if first <= last and self.unreadable.issuperset(range(first, last + 1)):
            return  # their rows are there
        events = f"the event at {first} is" if first == last else f"the events {first} to {last} are"
        self._add(first, "position-missing", f"{events} missing: a row was deleted or its position changed")

    def _version_gap(self, event: RecordedEvent, before: int) -> None:
        self.gaps.append((event.stream, before + 1))
        self._add(
            event.position,
            "version-gap",
            f"stream {event.stream} goes from version {before} to {event.version}:"
            " version or stream of a row was changed, or a row deleted",
        )

    def _leaf(self, event: RecordedEvent, before: int) -> None:
        if len(self.broken) < FINDINGS_MAX:
            self.broken.append((event, before))
        else:
            self.unlisted += 1

    def _partition_key(self, event: RecordedEvent) -> None:
        try:
            declared = envelope.decode_metadata(event.metadata).partition_key
        except ValueError:  # metadata that cannot be read is the leaf's finding
            return
        if declared != event.partition_key:
            was = "there was none, so it is the stream" if declared is None else f"it was {declared}"
            self._add(event.position, "partition-key-changed", f"partition_key was changed: {was}")

    def _add(self, position: int, kind: str, message: str) -> None:
        self._findings.add(position, kind, message)


def _epochs_and_head(
    connection: reading.Connection, head: reading.Head, epochs: Sequence[Epoch]
) -> Iterator[Finding]:
    count, first = _row(connection, _OUTSIDE, [])
    if count:
        message = (
            f"{count} events do not stand between 1 and the head: it was set back, or positions were changed"
        )
        yield Finding(first, "beyond-head", message)
    for position, time, last_time in [] if count else connection.execute(_TIME_OF_HEAD):
        message = (
            f"the head says {time}, the last event {last_time}: one of them was changed."
            " New events are dated no earlier than the head"
        )
        yield Finding(position, "head-time", message)
    if not epochs or epochs[0].first_position != 1:
        yield Finding(1, "epoch-missing", "the log's first epoch does not begin at position 1")
    for number, epoch in enumerate(epochs, start=1):
        if epoch.epoch != number:
            message = f"epoch {epoch.epoch} is number {number}: an epoch's row was changed, added or deleted"
            yield Finding(epoch.first_position, "epoch-number", message)
    for earlier, later in itertools.pairwise(epochs):
        if later.first_position < earlier.first_position:
            message = f"epoch {later.epoch} begins before epoch {earlier.epoch}"
            yield Finding(later.first_position, "epoch-order", message)
    if epochs and epochs[-1].first_position > head.position + 1:
        message = f"epoch {epochs[-1].epoch} begins behind the log's end"
        yield Finding(epochs[-1].first_position, "epoch-order", message)
    if epochs and epochs[-1].epoch != head.epoch:
        message = f"the head is in epoch {head.epoch}, the newest epoch is {epochs[-1].epoch}"
        yield Finding(head.position, "epoch-of-head", message)


def _outcomes_behind(connection: reading.Connection) -> Iterator[Finding]:
    """Outcomes of events behind the head of now: one statement sees both, whatever was appended meanwhile."""
    head, last = _row(connection, _HEAD_AND_OUTCOMES, [])
    if last is not None and last > head:
        message = f"the outcomes end at {last}, the log at {head}"
        yield Finding(head + 1, "outcome-mismatch", message)


def _clues(
    connection: reading.Connection, event: RecordedEvent, *, version_before: int, scan: _Scan
) -> Clues:
    around = (event.position - _NEIGHBOURHOOD_EVENTS, event.position + _NEIGHBOURHOOD_EVENTS)
    types = [str(type_name) for (type_name,) in connection.execute(_TYPES, around).fetchall()]
    neighbours, _ = unreadable.events(connection, after=event.position - 2, upto=event.position + 1)
    missing = [version for stream, version in scan.gaps if stream == event.stream]
    epoch = scan.epoch_at(event.position)
    return Clues(
        epoch=epoch,
        epochs=[one.epoch for one in scan.epochs if one.epoch != epoch],
        types=[type_name for type_name in types if type_name != event.type],
        times=[one.recorded_at for one in neighbours if one.recorded_at != event.recorded_at],
        versions=[version for version in {version_before + 1, *missing} if version != event.version],
        streams=[stream for stream, _ in scan.gaps if stream != event.stream],
    )


def _row(
    connection: reading.Connection, statement: LiteralString, given: Sequence[object]
) -> tuple[Any, ...]:
    row = connection.execute(statement, given).fetchone()
    assert row is not None, "an aggregate answers one row"
    return row
