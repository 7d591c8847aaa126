"""Timers that are due, and where the process of a timer stands: what the log and the views say, by one clock.

The only clock is the database's, which also wrote down when events were recorded. A timer that has an outcome is
due no longer, whether or not its row is gone already: the log says so, by the key that follows from the row.
"""

import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, cast

from msgspec import Struct
from psycopg import sql

from commands.processes.timer import Timer
from event_store.log.envelope import KEY_BYTES, decode_metadata
from event_store.log.reading import Connection
from event_store.transport.partitioning import partition_of
from projections import builds
from projections.errors import NoSuchBuild
from projections.storing import SCHEMA

DUE_PER_PAGE: Final = 256
"""Timers that one query reads."""

LISTED_MAX: Final = 10_000
"""Timers that one list names."""

_OPEN: Final = sql.SQL("""not exists (
    select from log.outcome o where o.key = substring(sha256(convert_to(
        'timer:' || t.process || ':' || t.name || ':' || t.stream || ':' || t.set_at, 'UTF8'
    )) for 16)
)""")
_DUE: Final = sql.SQL("""
select t.process, t.name, t.stream, t.set_at, t.due_at, e.version, e.type, e.metadata::text,
    (select max(p.epoch) from log.epoch p where p.first_position <= t.set_at)
from {table} t join log.event e on e.position = t.set_at
where t.name = %(name)s and t.due_at <= clock_timestamp() - %(after)s
    and (t.due_at, t.stream) > (%(due_at)s, %(stream)s) and {open}
order by t.due_at, t.stream limit %(limit)s
""")
_ONE: Final = sql.SQL("""
select t.process, t.name, t.stream, t.set_at, t.due_at, e.version, e.type, e.metadata::text,
    (select max(p.epoch) from log.epoch p where p.first_position <= t.set_at)
from {table} t join log.event e on e.position = t.set_at
where t.name = %(name)s and t.stream = %(stream)s and t.set_at = %(set_at)s and {open}
""")
_SET: Final = sql.SQL("""
select t.process, t.name, t.stream, t.set_at, t.due_at + %(after)s, t.due_at + %(after)s <= clock_timestamp()
from {table} t where t.name = %(name)s and {open} order by t.due_at, t.stream limit %(limit)s
""")
_OVERDUE: Final = sql.SQL("""
select count(*) from {table} t
where t.name = %(name)s and t.due_at <= clock_timestamp() - %(after)s and {open}
""")
_STILL_SET: Final = sql.SQL(
    "select t.stream, t.set_at from {table} t where t.name = %s and t.stream = any(%s)"
)
_NOW: Final = "select clock_timestamp()"
_STANDING: Final = """
select greatest(l.renewed_at, %(since)s) >= clock_timestamp() - %(off_after)s, r.registered_position,
    g.start_position, g.partitions,
    (select json_object_agg(c.partition, c.position) from consumers.checkpoint c
        where c.consumer = r.consumer and c.generation = g.generation)
from consumers.registration r
left join runtime.lease l on l.name = %(lease)s
left join transport.generation g on g.generation = (
    select max(c.generation) from consumers.checkpoint c where c.consumer = r.consumer
)
where r.consumer = %(process)s
"""


class Due(Struct, frozen=True):
    """A timer that is due; `set_at`, `version` and `type` are those of the event that set it."""

    process: str
    name: str
    stream: str
    set_at: int
    due_at: datetime
    version: int
    type: str
    metadata: str
    epoch: int

    @property
    def key(self) -> bytes:
        """The 16-byte key of its one outcome: it follows from the row, so that whoever fires it again is answered."""
        return outcome_key(self.process, self.name, stream=self.stream, set_at=self.set_at)

    @property
    def identifier(self) -> str:
        """The stream's name without its category."""
        return self.stream.partition("-")[2]

    @property
    def causation(self) -> str:
        """The event that set it."""
        return f"{self.epoch}.{self.set_at}"

    @property
    def correlation_id(self) -> str:
        """The conversation that the event belongs to."""
        return decode_metadata(self.metadata.encode()).correlation_id


class Running(Struct, frozen=True):
    """A timer that is set. `due_at` is what the setting makes of it, `is_due` what the database's clock says then."""

    process: str
    name: str
    stream: str
    set_at: int
    due_at: datetime
    is_due: bool


class Standing(Struct, frozen=True):
    """Whether a process runs, and what it is through with: marks of the partitions of its newest generation."""

    runs: bool
    registered: int
    start: int
    partitions: int
    marks: Mapping[int, int]

    def is_through_with(self, stream: str, position: int) -> bool:
        """Whether the process has decided, or parked, an event of this partition key, or never will."""
        if position <= self.registered:
            return True
        if not self.marks:
            return False
        return position < self.start or position <= self.marks.get(partition_of(stream, self.partitions), 0)


def outcome_key(process: str, name: str, *, stream: str, set_at: int) -> bytes:
    """The key under which the outcome of a timer stands; `_OPEN` says the same in SQL."""
    return hashlib.sha256(f"timer:{process}:{name}:{stream}:{set_at}".encode()).digest()[:KEY_BYTES]


def now(conn: Connection) -> datetime:
    """The database's clock."""
    row = conn.execute(_NOW).fetchone()
    assert row is not None, "an expression answers one row"
    return cast("datetime", row[0])


def page(
    conn: Connection, timer: Timer[Any], *, after: timedelta, behind: Due | None, limit: int
) -> list[Due]:
    """The next timers that are due and have no outcome, in the order of their times, behind one of them."""
    table = _table(conn, timer)
    if table is None:
        return []
    given = {
        "name": timer.name,
        "after": after,
        "due_at": "-infinity" if behind is None else behind.due_at,
        "stream": "" if behind is None else behind.stream,
        "limit": limit,
    }
    rows = conn.execute(_DUE.format(table=table, open=_OPEN), given).fetchall()
    return [Due(*row) for row in rows]


def one(conn: Connection, timer: Timer[Any], *, stream: str, set_at: int) -> Due | None:
    """The timer of a stream that was set by an event, if it runs still and has no outcome."""
    table = _table(conn, timer)
    if table is None:
        return None
    given = {"name": timer.name, "stream": stream, "set_at": set_at}
    row = conn.execute(_ONE.format(table=table, open=_OPEN), given).fetchone()
    return None if row is None else Due(*row)


def listed(
    conn: Connection, timer: Timer[Any], *, after: timedelta, limit: int = LISTED_MAX
) -> list[Running]:
    """The timers of a kind that are set and have no outcome, in the order of their times."""
    table = _table(conn, timer)
    if table is None:
        return []
    given = {"name": timer.name, "after": after, "limit": limit}
    rows = conn.execute(_SET.format(table=table, open=_OPEN), given).fetchall()
    return [Running(*row) for row in rows]


def overdue(conn: Connection, timer: Timer[Any], *, after: timedelta) -> int:
    """How many timers of a kind are due for longer than `after` and have no outcome."""
    table = _table(conn, timer)
    if table is None:
        return 0
    given = {"name": timer.name, "after": after}
    row = conn.execute(_OVERDUE.format(table=table, open=_OPEN), given).fetchone()
    assert row is not None, "an aggregate answers one row"
    return cast("int", row[0])


def still_set(conn: Connection, timer: Timer[Any], streams: Iterable[str]) -> set[tuple[str, int]]:
    """Which of these streams have such a timer, with the position of the event that set it."""
    table = _table(conn, timer)
    if table is None:
        return set()
    return set(conn.execute(_STILL_SET.format(table=table), [timer.name, list(streams)]).fetchall())


def standing(
    conn: Connection, process: str, *, lease: str, since: datetime, off_after: timedelta
) -> Standing:
    """Where a process stands. It runs unless its lease was not renewed for `off_after` by who looks on `since` then."""
    given = {"process": process, "lease": lease, "since": since, "off_after": off_after}
    row = conn.execute(_STANDING, given).fetchone()
    if row is None:  # nobody ever ran it
        return Standing(since >= now(conn) - off_after, registered=0, start=0, partitions=0, marks={})
    runs, registered, start, partitions, marks = row
    found = {int(partition): position for partition, position in (marks or {}).items()}
    return Standing(runs, registered, start or 0, partitions or 0, found)


def _table(conn: Connection, timer: Timer[Any]) -> sql.Identifier | None:
    """The table of the live build; None before the projections made one."""
    try:
        return sql.Identifier(SCHEMA, builds.live(conn, timer.view_name).table)
    except NoSuchBuild:
        return None
