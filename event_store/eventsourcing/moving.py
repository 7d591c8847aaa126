"""Moving an application's history from a database of the library into the log, and the numbers of those who follow it.

The log is compared with the old database from the first event on, and what is missing is appended. So a run that was
killed anywhere is simply run again, and a run with nothing left to do is the check that all is there. Notification
ids become positions; each event's metadata keep the old id, from which the positions of followers are found, in the
same run or in a later one.

What cannot be moved is `Refused` with every reason; what cannot be read is a `sources.SourceError`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Final

from eventsourcing import persistence
from eventsourcing.persistence import DataError
from msgspec import Struct

from event_store.eventsourcing import append_requests, notifications, state_encoding, streams
from event_store.eventsourcing.append_requests import Wanted
from event_store.eventsourcing.datastore import Datastore
from event_store.eventsourcing.notifications import Recorded
from event_store.eventsourcing.recorders import LogTrackingRecorder, SnapshotRecorder
from event_store.eventsourcing.sources import Source, SourceEvent
from event_store.eventsourcing.streams import Namespace, OriginatorIdType
from event_store.log.appending import limits

EVENTS_PER_APPEND: Final = 500
BYTES_PER_APPEND: Final = 1024 * 1024
"""What one append brings at most, unless a single event is larger."""

HOLE_MAX: Final = 100_000
"""Versions that one aggregate may lack in a row; each is filled with an event that says so."""

REFUSALS_MAX: Final = 100
"""Refusals that are listed; more are only counted."""

METADATA_BYTES: Final = 512
"""Room for the metadata of one event when sizes are estimated."""

SNAPSHOTS: Final = "snapshots"
"""What the library calls the purpose of a recorder of snapshots."""


class Refused(Exception):
    """What cannot be moved, one reason a line; each names the row and what to do about it."""

    def __init__(self, reasons: Sequence[str], *, more: int = 0) -> None:
        hidden = [f"… and {more} more like these"] if more else []
        super().__init__("\n".join([*reasons, *hidden]))
        self.reasons = tuple(reasons)


Translated = dict[str, tuple[int, int | None]]
"""By followed application the old number and the position; None if no event up to it exists any longer."""


class Counts(Struct, frozen=True):
    """The result for one application's events."""

    events: int
    """Events of the old database, all of them in the log now."""
    appended: int
    """Events that this run has appended, those for absent versions included."""
    absent: int
    """Versions that the old database lacks: an event in their place keeps the stream dense."""
    later: int
    """Events that the application has recorded in the log since."""


class Moved(Struct, frozen=True):
    """The result for one application."""

    counts: Counts
    snapshots: int
    tracking: Translated


class MoveSummary(Struct, frozen=True):
    """The result of a run, by application and by follower that stays in the old database."""

    applications: dict[str, Moved]
    followers: dict[str, Translated]


def move(
    source: Source,
    applications: Sequence[str],
    *,
    followers: Sequence[str],
    datastore: Datastore,
    ids: OriginatorIdType | None,
    progress: Callable[[str], None],
    by: str | None = None,
) -> MoveSummary:
    """Move applications, and translate the tracking of followers that stay in this database.

    Args:
        source: the old database.
        applications: their names, as the library knows them.
        followers: names of projections, or of applications, that stay and follow one that has moved.
        datastore: of the log.
        ids: the type of the aggregates' ids; None: as the database says, or UUIDs.
        progress: is called with each step.
        by: the actor who has them moved.

    Raises:
        Refused: some rows or numbers cannot be moved; found before anything is written.
        persistence.PersistenceError: the log cannot be reached, or the application is recording in it meanwhile.
    """
    if source.applications_max is not None and len(applications) > source.applications_max:
        raise Refused(
            ["an SQLite file holds one application: run once for each, those that are followed first"]
        )
    moves = {
        name: _Move(source, name, datastore=datastore, ids=ids or source.id_type(name) or "uuid", by=by)
        for name in applications
    }
    newest: dict[str, int] = {}
    for name, each in moves.items():
        progress(f"{name}: reading what is there")
        newest[name] = each.survey()
    tracking = {name: source.tracking(name) for name in [*applications, *followers]}
    _refuse_forgotten(source, applications, followers)
    _refuse_unmoved(datastore, tracking, newest)
    counts, snapshots = {}, {}
    for name, each in moves.items():
        progress(f"{name}: moving events")
        counts[name] = each.events()
        snapshots[name] = each.snapshots()
        progress(f"{name}: comparing all of it")
        each.events()
    translated = {name: _translated(datastore, numbers) for name, numbers in tracking.items()}
    for name, each in moves.items():
        each.track(translated[name])
    for name in followers:
        source.translate(name, {followed: position for followed, (_, position) in translated[name].items()})
    return MoveSummary(
        {name: Moved(counts[name], snapshots[name], translated[name]) for name in applications},
        {name: translated[name] for name in followers},
    )


class _Move:
    """One application's way from a database into the log."""

    def __init__(
        self,
        source: Source,
        application: str,
        *,
        datastore: Datastore,
        ids: OriginatorIdType,
        by: str | None,
    ) -> None:
        self._source = source
        self._by = by
        self._application = application
        self._datastore = datastore
        self._namespace = Namespace(streams.category_of(application), ids)
        self._refusals: list[str] = []
        self._refused = 0

    def survey(self) -> int:
        """Read everything once, write nothing; the newest notification id, 0 if there is none.

        Raises:
            Refused: some rows cannot be moved.
        """
        newest, versions = 0, dict[str, int]()
        for row in self._source.events(self._application):
            newest = row.id
            reason = self._refusal(row, versions)
            if reason is not None:
                self._refuse(row, reason)
        for row in self._source.snapshots(self._application):
            if reason := self._refusal_of_text(row):
                self._refuse(row, reason)
        if self._refused:
            raise Refused(self._refusals, more=self._refused - len(self._refusals))
        return newest

    def events(self) -> Counts:
        """Append what the log lacks and compare what it has.

        Raises:
            Refused: the log holds other events of this application than the old database.
        """
        recorded = notifications.recorded(self._datastore, category=self._namespace.category)
        events = appended = absent = size = 0
        pending: list[Wanted] = []
        for wanted in self._wanted():
            events += wanted.source is not None
            absent += wanted.source is None
            if not (appended or pending) and (found := next(recorded, None)) is not None:
                self._compare(wanted, found)
                continue
            if len(pending) >= EVENTS_PER_APPEND or (pending and size + len(wanted.state) > BYTES_PER_APPEND):
                appended += self._append(pending)
                pending, size = [], 0
            pending.append(wanted)
            size += len(wanted.state)
        appended += self._append(pending)
        return Counts(events, appended, absent, later=0 if appended else sum(1 for _ in recorded))

    def snapshots(self) -> int:
        """Bring the snapshots that are not there yet; how many the old database has."""
        recorder = SnapshotRecorder(self._datastore, namespace=self._namespace, purpose=SNAPSHOTS)
        rows = self._source.snapshots(self._application)
        count = 0
        while page := [_snapshot(row) for row in islice(rows, EVENTS_PER_APPEND)]:
            recorder.bring(page)
            count += len(page)
        return count

    def track(self, positions: Translated) -> None:
        """Have the application go on behind these positions, unless it has come further already."""
        recorder = LogTrackingRecorder(self._datastore, namespace=self._namespace)
        for name, (_, position) in positions.items():
            if position is not None and position > (recorder.max_tracking_id(name) or 0):
                recorder.insert_tracking(persistence.Tracking(name, position))

    def _refusal(self, row: SourceEvent, versions: dict[str, int]) -> str | None:
        """Why a row cannot be moved, if it cannot; its version is noted."""
        if reason := self._refusal_of_text(row):
            return reason
        stream = self._namespace.stream_of(row.originator_id)
        before = versions.get(stream)
        versions[stream] = row.version
        if row.version < 0:
            return "a version is 0 or more: number the aggregate's rows anew"
        if before is not None and row.version <= before:
            return (
                f"it stands behind version {before} of its aggregate: number the notifications of this aggregate"
                " in the order of its versions"
            )
        if _hole(before, row.version) > HOLE_MAX:
            return (
                f"{_hole(before, row.version)} versions before it are missing, and at most {HOLE_MAX} are filled:"
                " number the aggregate's rows anew"
            )
        size = len(row.state or b"") * 4 // 3 + METADATA_BYTES
        if size > limits.REQUEST_BYTES_MAX:
            payload, _ = state_encoding.payload_of(row.state or b"")
            if len(payload) + METADATA_BYTES > limits.REQUEST_BYTES_MAX:
                return (
                    f"its state takes {len(payload)} bytes, an event at most"
                    f" {limits.REQUEST_BYTES_MAX - METADATA_BYTES}: keep the bulk elsewhere, its address in the event"
                )
        return None

    def _refusal_of_text(self, row: SourceEvent) -> str | None:
        if not row.topic or not isinstance(row.state, bytes):
            return "it has no topic or no state: repair or remove it"
        if len(row.topic) > limits.TYPE_CHARACTERS_MAX or "\0" in row.topic:
            return (
                f"its topic has more than {limits.TYPE_CHARACTERS_MAX} characters or a NUL: register a shorter one with"
                " register_topic and write that"
            )
        try:
            stream = self._namespace.stream_of(row.originator_id)
        except DataError:
            return "its aggregate's id is no UUID: if the application's ids are text, run with --ids text"
        if len(stream) > limits.STREAM_CHARACTERS_MAX or "\0" in stream:
            return (
                f"the stream {stream[:40]}… has more than {limits.STREAM_CHARACTERS_MAX} characters or a NUL: give the"
                " aggregate a shorter id"
            )
        return None

    def _refuse(self, row: SourceEvent, reason: str) -> None:
        self._refused += 1
        if len(self._refusals) < REFUSALS_MAX:
            kind = f"notification {row.id}" if row.id else "snapshot"
            self._refusals.append(
                f"{self._application}, {kind}, aggregate {row.originator_id} version {row.version}: {reason}"
            )

    def _wanted(self) -> Iterator[Wanted]:
        """The events as they must stand in the log, in order."""
        versions: dict[str, int] = {}
        for row in self._source.events(self._application):
            stream = self._namespace.stream_of(row.originator_id)
            for version in range(row.version - _hole(versions.get(stream), row.version), row.version):
                yield Wanted(stream, version, notifications.ABSENT, notifications.ABSENT_STATE, None)
            versions[stream] = row.version
            yield Wanted(stream, row.version, str(row.topic), bytes(row.state or b""), row.id)

    def _compare(self, wanted: Wanted, found: Recorded) -> None:
        same = (
            wanted.stream == found.stream
            and wanted.version == found.version
            and wanted.topic == found.type
            and wanted.state == state_encoding.state_of(found.payload.encode())
        )
        if not same:
            reason = (
                f"{self._application}, notification {wanted.source}, version {wanted.version} of {wanted.stream}:"
                f" in its place, at position {found.position}, the log has version {found.version} of {found.stream}."
                " It must hold nothing of this application but what was moved: use another log, or another name"
            )
            raise Refused([reason])

    def _append(self, pending: Sequence[Wanted]) -> int:
        if pending:
            self._datastore.append(append_requests.moved(pending, namespace=self._namespace, by=self._by))
        return len(pending)


def _snapshot(row: SourceEvent) -> persistence.StoredEvent:
    return persistence.StoredEvent(row.originator_id, row.version, str(row.topic), bytes(row.state or b""))


def _refuse_forgotten(source: Source, applications: Sequence[str], followers: Sequence[str]) -> None:
    """A follower whose numbers stayed the old ones would skip events, or process them again, and nobody would know."""
    known = {source.tracking_table(name) for name in [*applications, *followers]}
    forgotten = {
        table: followed & set(applications)
        for table, followed in source.followers().items()
        if table not in known and followed & set(applications)
    }
    if forgotten:
        raise Refused(
            [
                f"table {table} follows {', '.join(sorted(names))} by the old numbers: move its application too, name"
                " it with --follower if it stays here, or delete its rows if nobody uses it"
                for table, names in sorted(forgotten.items())
            ]
        )


def _refuse_unmoved(
    datastore: Datastore, tracking: Mapping[str, Mapping[str, int]], newest: Mapping[str, int]
) -> None:
    """Numbers that mean nothing in the log: their application is not there, or was copied at an earlier moment."""
    reasons = []
    for follower, numbers in tracking.items():
        for name, number in numbers.items():
            category = streams.category_of(name)
            moved = newest.get(name) or notifications.newest_source(datastore, category=category)
            if moved is None:
                reasons.append(
                    f"{follower} has processed {name} up to notification {number}, but the log has nothing of {name}:"
                    f" move {name} first, or in the same run"
                )
            elif number > moved:
                reasons.append(
                    f"{follower} has processed {name} up to notification {number}, but {name} was moved up to {moved}"
                    f" only: stop both and move {name} again first"
                )
    if reasons:
        raise Refused(reasons)


def _translated(datastore: Datastore, numbers: Mapping[str, int]) -> Translated:
    return {
        name: (
            number,
            notifications.position_of(datastore, category=streams.category_of(name), source=number),
        )
        for name, number in numbers.items()
    }


def _hole(before: int | None, version: int) -> int:
    """How many versions are missing before this one. A history begins with 0 or 1."""
    first = min(version, 1) if before is None else before + 1
    return version - first
