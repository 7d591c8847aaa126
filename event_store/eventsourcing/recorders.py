"""The library's recorders on the log, and one for snapshots on a table next to it."""

from collections.abc import Sequence
from typing import Any, Final, LiteralString
from uuid import UUID

from eventsourcing import persistence
from eventsourcing.persistence import (
    AggregateRecorder,
    ApplicationRecorder,
    Notification,
    ProcessRecorder,
    StoredEvent,
    Subscription,
    TrackingRecorder,
)

from event_store.eventsourcing import append_requests, state_encoding
from event_store.eventsourcing.datastore import Datastore, rows
from event_store.eventsourcing.notifications import ApplicationLog, LogSubscription
from event_store.eventsourcing.streams import Namespace
from event_store.log.envelope import Tracking
from event_store.log.patient_connection import PatientConnection

NOT_BEFORE: Final = -1
NO_END: Final = 2**63 - 1

EVENTS: Final = """
select e.version, e.type, e.payload::text from log.event e
where e.stream = %(stream)s and e.version > %(gt)s and e.version <= %(lte)s and e.type <> 'counterfoil:AbsentVersion'
order by e.version limit %(limit)s
"""
EVENTS_BACKWARDS: Final = """
select e.version, e.type, e.payload::text from log.event e
where e.stream = %(stream)s and e.version > %(gt)s and e.version <= %(lte)s and e.type <> 'counterfoil:AbsentVersion'
order by e.version desc limit %(limit)s
"""
TRACKED: Final = """
select t.position from log.tracking t where t.consumer = %(consumer)s and t.application = %(application)s
"""
SNAPSHOTS: Final = """
select s.version, s.topic, s.state from application.snapshot s
where s.application = %(application)s and s.purpose = %(purpose)s and s.originator_id = %(originator_id)s
    and s.version > %(gt)s and s.version <= %(lte)s
order by s.version limit %(limit)s
"""
SNAPSHOTS_BACKWARDS: Final = """
select s.version, s.topic, s.state from application.snapshot s
where s.application = %(application)s and s.purpose = %(purpose)s and s.originator_id = %(originator_id)s
    and s.version > %(gt)s and s.version <= %(lte)s
order by s.version desc limit %(limit)s
"""
INSERT_SNAPSHOT: Final = """
insert into application.snapshot (application, purpose, originator_id, version, topic, state)
values (%s, %s, %s, %s, %s, %s)
"""
BRING_SNAPSHOT: Final = f"{INSERT_SNAPSHOT} on conflict do nothing"


class LogAggregateRecorder(AggregateRecorder):
    """Records and finds the events of one application's aggregates."""

    def __init__(self, datastore: Datastore, *, namespace: Namespace) -> None:
        """Nothing is asked of the database yet."""
        self._datastore = datastore
        self._namespace = namespace

    def insert_events(self, stored_events: Sequence[StoredEvent], **_kwargs: Any) -> Sequence[int] | None:
        """Record all of these events, or none.

        Raises:
            IntegrityError: somebody else has recorded one of these versions, or one before is missing.
            OperationalError: they may be recorded or not; recording them again tells.
        """
        self._append(stored_events)
        return None

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        """The events of an aggregate by version."""
        stream = self._namespace.stream_of(originator_id)
        kept_id = self._namespace.originator_id_of(stream)
        statement = EVENTS_BACKWARDS if desc else EVENTS
        given = {"stream": stream, **_bounds(gt, lte, limit)}
        found = self._datastore.read(lambda connection: rows(connection, statement, given))
        return [
            StoredEvent(kept_id, version, topic, state_encoding.state_of(payload.encode()))
            for version, topic, payload in found
        ]

    def _append(
        self, stored_events: Sequence[StoredEvent], tracking: Tracking | None = None
    ) -> Sequence[int]:
        if not stored_events and tracking is None:
            return []
        return self._datastore.append(
            append_requests.request_of(stored_events, namespace=self._namespace, tracking=tracking)
        )


class LogApplicationRecorder(LogAggregateRecorder, ApplicationRecorder):
    """Tells, beyond that, of all the application's events in the order of the log."""

    def __init__(self, datastore: Datastore, *, namespace: Namespace) -> None:
        """Nothing is asked of the database yet."""
        super().__init__(datastore, namespace=namespace)
        self._log = ApplicationLog(datastore, namespace=namespace)

    def insert_events(self, stored_events: Sequence[StoredEvent], **_kwargs: Any) -> Sequence[int] | None:
        """Record all of these events, or none; their notification ids.

        Raises:
            as the aggregate recorder.
        """
        return self._append(stored_events)

    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[Notification]:
        """Up to `limit` events from `start` (or behind it) to `stop`, of these topics or of all."""
        after = 0 if start is None else start - inclusive_of_start
        return self._log.select(after=after, upto=stop, limit=limit, topics=topics)

    def max_notification_id(self) -> int | None:
        """The newest event's id, None if there is none."""
        return self._log.last()

    def subscribe(
        self, gt: int | None = None, topics: Sequence[str] = ()
    ) -> Subscription[ApplicationRecorder]:
        """An iterator over the events behind `gt` that waits for more."""
        return LogSubscription(self, gt, topics, events=self._log)


class LogTrackingRecorder(TrackingRecorder):
    """Remembers how far an application or projection has come in another application's events."""

    def __init__(self, datastore: Datastore, *, namespace: Namespace) -> None:
        """Nothing is asked of the database yet."""
        super().__init__()
        self._datastore = datastore
        self._namespace = namespace

    def insert_tracking(self, tracking: persistence.Tracking) -> None:
        """Remember a position.

        Raises:
            IntegrityError: this position, or a later one, is remembered already.
        """
        request = append_requests.request_of(
            (), namespace=self._namespace, tracking=self._tracking_of(tracking)
        )
        self._datastore.append(request)

    def max_tracking_id(self, application_name: str) -> int | None:
        """The position remembered, None if there is none."""
        given = {"consumer": self._namespace.category, "application": application_name}
        found = self._datastore.read(lambda connection: rows(connection, TRACKED, given))
        return int(found[0][0]) if found else None

    def _tracking_of(self, tracking: persistence.Tracking) -> Tracking:
        return Tracking(self._namespace.category, tracking.application_name, tracking.notification_id)


class LogProcessRecorder(LogTrackingRecorder, LogApplicationRecorder, ProcessRecorder):
    """Records events and how far their causes have been processed in one append."""

    def __init__(self, datastore: Datastore, *, namespace: Namespace) -> None:
        """Nothing is asked of the database yet."""
        LogApplicationRecorder.__init__(self, datastore, namespace=namespace)

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Sequence[int] | None:
        """Record all of these events and the tracking, or nothing; the events' notification ids.

        Raises:
            IntegrityError: a version is recorded, or the position tracked, already.
        """
        tracking: persistence.Tracking | None = kwargs.get("tracking")
        return self._append(stored_events, None if tracking is None else self._tracking_of(tracking))


class SnapshotRecorder(AggregateRecorder):
    """Keeps snapshots in a table of their own: they are no events, and can be taken again."""

    def __init__(self, datastore: Datastore, *, namespace: Namespace, purpose: str) -> None:
        """Nothing is asked of the database yet."""
        self._datastore = datastore
        self._namespace = namespace
        self._purpose = purpose

    def insert_events(self, stored_events: Sequence[StoredEvent], **_kwargs: Any) -> Sequence[int] | None:
        """Keep all of these snapshots, or none.

        Raises:
            IntegrityError: there is one of this aggregate at this version.
        """
        if stored_events:
            self._insert(INSERT_SNAPSHOT, stored_events)
        return None

    def bring(self, stored_events: Sequence[StoredEvent]) -> None:
        """Keep those of these snapshots that are not here yet."""
        self._insert(BRING_SNAPSHOT, stored_events)

    def _insert(self, statement: LiteralString, stored_events: Sequence[StoredEvent]) -> None:
        kept = [
            (
                self._namespace.category,
                self._purpose,
                self._namespace.text_of(stored.originator_id),
                stored.originator_version,
                stored.topic,
                stored.state,
            )
            for stored in stored_events
        ]

        def insert(connection: PatientConnection) -> None:
            with connection.cursor() as cursor:
                cursor.executemany(statement, kept)

        self._datastore.write(insert)

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        """The snapshots of an aggregate by version."""
        text = self._namespace.text_of(originator_id)
        kept_id = self._namespace.id_from(text)
        statement = SNAPSHOTS_BACKWARDS if desc else SNAPSHOTS
        given = {
            "application": self._namespace.category,
            "purpose": self._purpose,
            "originator_id": text,
            **_bounds(gt, lte, limit),
        }
        found = self._datastore.read(lambda connection: rows(connection, statement, given))
        return [StoredEvent(kept_id, version, topic, bytes(state)) for version, topic, state in found]


def _bounds(gt: int | None, lte: int | None, limit: int | None) -> dict[str, Any]:
    return {
        "gt": NOT_BEFORE if gt is None else gt,
        "lte": NO_END if lte is None else lte,
        "limit": limit,
    }
