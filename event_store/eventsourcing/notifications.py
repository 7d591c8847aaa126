"""One application's events in the order of the log, read and tailed.

A notification's id is its event's position. The log has one order for all who append, which is also the order in
which events become visible, so a reader that goes on behind the last id it has seen never misses one. Ids of one
application rise and, where others append to the same log, have gaps.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Final, LiteralString, NamedTuple

from eventsourcing.persistence import ApplicationRecorder, Notification, Subscription

from event_store.eventsourcing import state_encoding
from event_store.eventsourcing.datastore import Datastore, rows
from event_store.eventsourcing.streams import Namespace
from event_store.eventsourcing.tailing import Tail
from event_store.log.hints import HintListener

NOTIFICATIONS_PER_READ: Final = 500
"""Events that a subscription reads at a time."""

_NO_END: Final = 2**63 - 1

ABSENT: Final = "counterfoil:AbsentVersion"
"""The type of an event that stands for a version which an application's old database lacks: the versions of a stream
are dense, and the log says where one was missing before. It is no event of the application: recorders pass over it."""

ABSENT_STATE: Final = b"{}"

RECORDED_PER_READ: Final = 1_000
"""Events that `recorded` reads at a time."""

# Compared as pairs and ordered by both, the rows can only come from the index `event_application`, whatever the planner
# knows about the application's share of the log: one by `position` alone would read everybody else's events.
_CATEGORY: LiteralString = """split_part(e.stream, '-', 1) collate "C" """
_RECORDED: LiteralString = f"""
from log.event e
where e.stream collate "C" < 'a'
    and ({_CATEGORY}, e.position) > (%(category)s, %(after)s::bigint)
    and ({_CATEGORY}, e.position) <= (%(category)s, %(upto)s::bigint)
"""
_OF_APPLICATION: LiteralString = f"{_RECORDED} and e.type <> 'counterfoil:AbsentVersion'"
_OF_TOPICS: LiteralString = " and e.type = any(%(topics)s)"
_IN_ORDER: LiteralString = f" order by {_CATEGORY}, e.position limit %(limit)s"
_COLUMNS: LiteralString = "select e.position, e.stream, e.version, e.type, e.payload::text as payload"

NOTIFICATIONS: Final = _COLUMNS + _OF_APPLICATION + _IN_ORDER
NOTIFICATIONS_OF_TOPICS: Final = _COLUMNS + _OF_APPLICATION + _OF_TOPICS + _IN_ORDER
_NEWEST: LiteralString = f" order by {_CATEGORY} desc, e.position desc limit 1"
LAST: Final = f"select e.position {_OF_APPLICATION} {_NEWEST}"

RECORDED: Final = _COLUMNS + _RECORDED + _IN_ORDER
# From the end, where followers usually are; only a moved event has such a number, and they rise with the positions.
_SOURCE: LiteralString = "(e.metadata ->> 'source_position')::bigint"
NEWEST_SOURCE: Final = f"select {_SOURCE} {_RECORDED} and {_SOURCE} is not null {_NEWEST}"
POSITION_OF_SOURCE: Final = f"select e.position {_RECORDED} and {_SOURCE} <= %(source)s {_NEWEST}"

# The head of the same snapshot says up to where a page that is not full has looked.
_HEAD_AND: LiteralString = (
    "select h.position, f.position, f.stream, f.version, f.type, f.payload from log.head h left join ("
)
_ON_TRUE: LiteralString = ") f on true order by f.position"
TAIL: Final = _HEAD_AND + NOTIFICATIONS + _ON_TRUE
TAIL_OF_TOPICS: Final = _HEAD_AND + NOTIFICATIONS_OF_TOPICS + _ON_TRUE


class Recorded(NamedTuple):
    """An event of an application as it stands in the log."""

    position: int
    stream: str
    version: int
    type: str
    payload: str


def recorded(datastore: Datastore, *, category: str) -> Iterator[Recorded]:
    """Everything that an application has in the log, absent versions included, in order."""
    after = 0
    while True:
        given = {"category": category, "after": after, "upto": _NO_END, "limit": RECORDED_PER_READ}
        page = datastore.read(lambda connection, given=given: rows(connection, RECORDED, given))  # type: ignore[misc]
        yield from (Recorded(*row) for row in page)
        if len(page) < RECORDED_PER_READ:
            return
        after = page[-1][0]


def newest_source(datastore: Datastore, *, category: str) -> int | None:
    """The last notification id that the application's moved events had elsewhere, None if none was moved."""
    given = {"category": category, "after": 0, "upto": _NO_END}
    found = datastore.read(lambda connection: rows(connection, NEWEST_SOURCE, given))
    return int(found[0][0]) if found else None


def position_of(datastore: Datastore, *, category: str, source: int) -> int | None:
    """The position of the last moved event whose notification id was no higher elsewhere, None if there is none."""
    given = {"category": category, "after": 0, "upto": _NO_END, "source": source}
    found = datastore.read(lambda connection: rows(connection, POSITION_OF_SOURCE, given))
    return int(found[0][0]) if found else None


class ApplicationLog:
    """The events of one application."""

    def __init__(self, datastore: Datastore, *, namespace: Namespace) -> None:
        self._datastore = datastore
        self._namespace = namespace

    def select(
        self, *, after: int, upto: int | None, limit: int, topics: Sequence[str]
    ) -> list[Notification]:
        """Events behind a position, in order."""
        statement = NOTIFICATIONS_OF_TOPICS if topics else NOTIFICATIONS
        given = self._given(after=after, upto=upto, limit=limit, topics=topics)
        found = self._datastore.read(lambda connection: rows(connection, statement, given))
        return [self._notification(*row) for row in found]

    def listener(self) -> HintListener:
        """For one subscription: what tells it of new events."""
        return self._datastore.listener()

    def tail(self, after: int, *, limit: int, topics: Sequence[str]) -> tuple[list[Notification], int]:
        """Events behind a position, and the position up to which these are all."""
        statement = TAIL_OF_TOPICS if topics else TAIL
        given = self._given(after=after, upto=None, limit=limit, topics=topics)
        found = self._datastore.read(lambda connection: rows(connection, statement, given))
        notifications = [self._notification(*row) for _, *row in found if row[0] is not None]
        if len(notifications) == limit:
            return notifications, notifications[-1].id
        return notifications, max(after, found[0][0])

    def last(self) -> int | None:
        """The position of the newest event, None if there is none."""
        given = self._given(after=0, upto=None, limit=1, topics=())
        found = self._datastore.read(lambda connection: rows(connection, LAST, given))
        return int(found[0][0]) if found else None

    def _given(self, *, after: int, upto: int | None, limit: int, topics: Sequence[str]) -> dict[str, Any]:
        return {
            "category": self._namespace.category,
            "after": after,
            "upto": _NO_END if upto is None else upto,
            "limit": limit,
            "topics": list(topics),
        }

    def _notification(
        self, position: int, stream: str, version: int, topic: str, payload: str
    ) -> Notification:
        return Notification(
            id=position,
            originator_id=self._namespace.originator_id_of(stream),
            originator_version=version,
            topic=topic,
            state=state_encoding.state_of(payload.encode()),
        )


class LogSubscription(Subscription[ApplicationRecorder]):
    """Yields an application's events from a position on, and waits for more, until it is stopped."""

    def __init__(
        self,
        recorder: ApplicationRecorder,
        gt: int | None = None,
        topics: Sequence[str] = (),
        *,
        events: ApplicationLog,
    ) -> None:
        super().__init__(recorder=recorder, gt=gt, topics=topics)
        self._tail = Tail(
            partial(events.tail, limit=NOTIFICATIONS_PER_READ, topics=topics),
            after=gt or 0,
            listener=events.listener(),
        )

    def stop(self) -> None:
        """End the iteration, from any thread."""
        super().stop()
        self._tail.stop()

    def __next__(self) -> Notification:
        return self._tail.take()
