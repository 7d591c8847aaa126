"""Proves a log from its own bytes: positions, versions, times, epochs, outcomes, and every leaf computed again.

Nothing is trusted that the database derives: rows are read once, in position order, in one snapshot, and the leaf of
each is computed here from the stored values. What cannot be seen from the log alone is a cut at its very end together
with a head that was set back; whoever keeps a position outside the log (views, Kafka) sees that.
"""

import itertools
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final, LiteralString

import psycopg
from msgspec import Struct

from event_store import diagnosis, envelope, reading
from event_store.diagnosis import Clues
from event_store.envelope import RecordedEvent
from event_store.leaf import leaf_of
from event_store.reading import Epoch

FINDINGS_MAX: Final = 1_000
"""Findings that one report lists; of the others only their number is known."""

PROGRESS_EVERY_EVENTS: Final = 5_000
OUTCOMES_PER_FETCH: Final = 5_000

_BEYOND_HEAD: Final = "select count(*), min(position), max(position) from log.event where position > %s"
_OUTCOMES: Final = (
    "select first_position, last_position, key from log.outcome where first_position > 0 order by 1"
)
_TAGS: Final = """
select t.position, t.tag, t.type, e.type
from log.tag t left join log.event e on e.position = t.position
where e.type is distinct from t.type
order by t.position limit %s
"""
_TYPES: Final = "select type from log.event where position between %s and %s group by type"
_NEIGHBOURHOOD_EVENTS: Final = 500
"""How far around a damaged row its neighbours are asked for types and times."""

OnProgress = Callable[[int], None]


class Finding(Struct, frozen=True):
    """One thing that is wrong, where it stands, and what it most likely is."""

    position: int
    kind: str
    message: str


class LogReport(Struct, frozen=True):
    """What a verification saw: the head, the number of events read, and what is wrong, by position."""

    head: int
    epoch: int
    events: int
    findings: tuple[Finding, ...]
    findings_in_all: int

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return self.findings_in_all == 0


def verify_log(connection: reading.Connection, *, on_progress: OnProgress | None = None) -> LogReport:
    """Read the whole log once and check everything that it says about itself.

    Args:
        connection: in autocommit mode, with a role that may read schema log.
        on_progress: called with the position reached, every few thousand events.
    """
    with _snapshot(connection):
        head = reading.head(connection)
        scan = _Scan(reading.epochs(connection), _Outcomes(connection))
        for event in reading.copy_log(connection):
            scan.see(event)
            if on_progress is not None and event.position % PROGRESS_EVERY_EVENTS == 0:
                on_progress(event.position)
        scan.end(head.position)
        findings = scan.findings
        findings.extend(_epochs_and_head(connection, head, scan.epochs))
        findings.extend(_outcomes_end_to_end(scan.outcomes, head.position))
        findings.extend(_tags(connection))
        for event, version_before in scan.broken:
            clues = _clues(connection, event, version_before=version_before, scan=scan)
            findings.append(Finding(event.position, "leaf-mismatch", diagnosis.diagnose(event, clues)))
    if on_progress is not None:
        on_progress(head.position)
    findings.sort(key=lambda finding: (finding.position, finding.kind))
    in_all = len(findings) + scan.unlisted
    return LogReport(head.position, head.epoch, scan.events, tuple(findings[:FINDINGS_MAX]), in_all)


@contextmanager
def _snapshot(connection: psycopg.Connection[tuple[object, ...]]) -> Iterator[None]:
    """One view of the database for head, events and outcomes while appends go on."""
    with connection.transaction():
        connection.execute("set transaction isolation level repeatable read, read only")
        yield


class _Outcomes:
    """Outcomes of requests with events, by first position, in 32 bytes each: a log has millions of them."""

    def __init__(self, connection: reading.Connection) -> None:
        self.firsts = array("q")
        self.lasts = array("q")
        self._keys = bytearray()
        with connection.cursor("outcomes", binary=True) as cursor:
            cursor.itersize = OUTCOMES_PER_FETCH
            for first, last, key in cursor.execute(_OUTCOMES):
                self.firsts.append(int(first))
                self.lasts.append(int(last))
                self._keys += bytes(key)
        self._at = -1
        self._key = b""

    def key_of(self, position: int) -> bytes:
        """Key, in hex, of the request that brought this event; empty if none says so. Positions must rise."""
        at = self._at
        while at + 1 < len(self.firsts) and self.firsts[at + 1] <= position:
            at += 1
        if at != self._at:
            self._at = at
            self._key = self._keys[16 * at : 16 * at + 16].hex().encode()
        return self._key if at >= 0 and position <= self.lasts[at] else b""


class _Scan:
    """State of one pass over the events in position order."""

    def __init__(self, epochs: Sequence[Epoch], outcomes: _Outcomes) -> None:
        self.epochs = epochs
        self.outcomes = outcomes
        self.events = 0
        self.findings: list[Finding] = []
        self.broken: list[tuple[RecordedEvent, int]] = []  # with the version that its stream had before it
        self.gaps: list[tuple[str, int]] = []  # streams that miss a version
        self.unlisted = 0
        self._position = 0
        self._recorded_at: datetime | None = None
        self._versions: dict[str, int] = {}
        self._epoch = epochs[0].epoch if epochs else 0
        self._later_epochs = list(epochs[1:])

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

        if leaf_of(event, epoch=self._epoch) != event.leaf:
            self._leaf(event, before)
        if self.outcomes.key_of(position) not in event.metadata and b'"idempotency":"' in event.metadata:
            message = (
                "the row carries the key of another request: rows changed places, or metadata was changed"
            )
            self._add(position, "request-mismatch", message)
        if event.partition_key is not None or b'"partition_key":' in event.metadata:
            self._partition_key(event)

    def end(self, head: int) -> None:
        """What only shows when the last row was read."""
        if self._position < head:
            self._hole(self._position + 1, head)

    def epoch_at(self, position: int) -> int:
        """The epoch that a position lies in."""
        return max((one.epoch for one in self.epochs if one.first_position <= position), default=self._epoch)

    def _hole(self, first: int, last: int) -> None:
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
        if declared is not None and declared != event.partition_key:
            self._add(
                event.position, "partition-key-changed", f"partition_key was changed: it was {declared}"
            )

    def _add(self, position: int, kind: str, message: str) -> None:
        if len(self.findings) < FINDINGS_MAX:
            self.findings.append(Finding(position, kind, message))
        else:
            self.unlisted += 1


def _epochs_and_head(
    connection: reading.Connection, head: reading.Head, epochs: Sequence[Epoch]
) -> Iterator[Finding]:
    count, first, last = _row(connection, _BEYOND_HEAD, [head.position])
    if count:
        message = f"{count} events up to {last} stand behind the head {head.position}: the head was set back"
        yield Finding(first, "beyond-head", message)
    if not epochs or epochs[0].first_position != 1:
        yield Finding(1, "epoch-missing", "the log's first epoch does not begin at position 1")
    for earlier, later in itertools.pairwise(epochs):
        if later.first_position < earlier.first_position:
            message = f"epoch {later.epoch} begins before epoch {earlier.epoch}"
            yield Finding(later.first_position, "epoch-order", message)
    if epochs and epochs[-1].epoch != head.epoch:
        message = f"the head is in epoch {head.epoch}, the newest epoch is {epochs[-1].epoch}"
        yield Finding(head.position, "epoch-of-head", message)


def _outcomes_end_to_end(outcomes: "_Outcomes", head: int) -> Iterator[Finding]:
    """Every event came with exactly one request, so the outcomes' ranges are the log, end to end."""
    previous_last = 0
    for first, last in zip(outcomes.firsts, outcomes.lasts, strict=True):
        if first != previous_last + 1 or last < first:
            message = f"the outcome of {first} to {last} does not follow the one that ends at {previous_last}"
            yield Finding(first, "outcome-mismatch", message)
        previous_last = last
    if previous_last != head:
        message = f"the outcomes end at {previous_last}, the log at {head}"
        yield Finding(min(previous_last, head) + 1, "outcome-mismatch", message)


def _tags(connection: reading.Connection) -> Iterator[Finding]:
    for position, tag, tagged, stored in connection.execute(_TAGS, [FINDINGS_MAX]).fetchall():
        found = stored or "no event"
        message = f"tag {tag} says {tagged}, the log has {found}"
        yield Finding(int(position), "tag-mismatch", message)


def _clues(
    connection: reading.Connection, event: RecordedEvent, *, version_before: int, scan: _Scan
) -> Clues:
    around = (event.position - _NEIGHBOURHOOD_EVENTS, event.position + _NEIGHBOURHOOD_EVENTS)
    types = [str(type_name) for (type_name,) in connection.execute(_TYPES, around).fetchall()]
    neighbours = reading.read_after(connection, event.position - 2, limit=3)
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
