"""Timers that are due, and where the process of a timer stands: what the log and the views say, by one clock.

The only clock is the database's, which also wrote down when events were recorded. A timer that has an outcome is
due no longer, whether or not its row is gone already: the log says so, by the key that follows from the row.
"""

import hashlib
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any, Final, cast

from msgspec import Struct
from psycopg import sql

from commands.processes.timer import Timer
from event_store.consumers import parking
from event_store.consumers.parking import Scope
from event_store.log.envelope import KEY_BYTES, Metadata, decode_metadata
from event_store.log.reading import Connection
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
_ROWS: Final = """
select t.process, t.name, t.stream, t.set_at, t.due_at, e.version, e.type, e.metadata::text,
    (select max(p.epoch) from log.epoch p where p.first_position <= t.set_at)
from {table} t join log.event e on e.position = t.set_at
where t.name = %(name)s and {open}
"""
# The time of the statement, not of the clock, which may have moved on from row to row and so bounds no index scan.
_DUE: Final = sql.SQL(
    _ROWS
    + """
    and t.due_at <= statement_timestamp() - %(after)s and (t.due_at, t.stream) > (%(due_at)s, %(stream)s)
order by t.due_at, t.stream limit %(limit)s
"""
)
_OF_STREAMS: Final = sql.SQL(_ROWS + "    and t.stream = any(%(streams)s)")
_SET: Final = sql.SQL("""
select t.process, t.name, t.stream, t.set_at, t.due_at + %(after)s, t.due_at + %(after)s <= statement_timestamp()
from {table} t where t.name = %(name)s and {open} order by t.due_at, t.stream limit %(limit)s
""")
_OVERDUE: Final = sql.SQL("""
select count(*) from {table} t
where t.name = %(name)s and t.due_at <= statement_timestamp() - %(after)s and {open}
""")
_NOW: Final = "select clock_timestamp()"
_PROGRESS: Final = """
select greatest(l.renewed_at, %(since)s) >= clock_timestamp() - %(off_after)s, coalesce(c.position, 0)
from (select) process
left join runtime.lease l on l.name = %(lease)s
left join consumers.checkpoint c on c.consumer = %(process)s and c.generation = 0
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
        """The 16-byte key of its one outcome: it follows from the row, so that firing it again is answered."""
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
    def cause(self) -> Metadata:
        """The metadata of the event that set it."""
        return decode_metadata(self.metadata.encode())


class PendingTimer(Struct, frozen=True):
    """A timer that is set. `due_at` is what the setting makes of it, `is_due` what the database's clock says then."""

    process: str
    name: str
    stream: str
    set_at: int
    due_at: datetime
    is_due: bool


class ProcessProgress(Struct, frozen=True):
    """Whether a process runs and takes triggers, and up to where it is through with the log."""

    runs: bool
    through: int

    def is_behind(self, due: Due) -> bool:
        """Whether the process will still find out itself about the event that set a timer."""
        return self.runs and due.set_at > self.through


def outcome_key(process: str, name: str, *, stream: str, set_at: int) -> bytes:
    """The key under which the outcome of a timer stands; `_OPEN` says the same in SQL."""
    return hashlib.sha256(f"timer:{process}:{name}:{stream}:{set_at}".encode()).digest()[:KEY_BYTES]


def now(conn: Connection) -> datetime:
    """The database's clock."""
    row = conn.execute(_NOW).fetchone()
    assert row is not None, "an expression answers one row"
    return cast("datetime", row[0])


def pages(conn: Connection, timer: Timer[Any], *, after: timedelta) -> Iterator[list[Due]]:
    """All timers that are due and have no outcome, in the order of their times, a page at a time."""
    place: dict[str, object] = {"due_at": "-infinity", "stream": ""}
    while page := [Due(*row) for row in _read(conn, timer, _DUE, after=after, limit=DUE_PER_PAGE, **place)]:
        yield page
        place = {"due_at": page[-1].due_at, "stream": page[-1].stream}


def of_streams(conn: Connection, timer: Timer[Any], streams: Iterable[str]) -> dict[str, Due]:
    """The timers of these streams that are set and have no outcome."""
    return {row[2]: Due(*row) for row in _read(conn, timer, _OF_STREAMS, streams=list(streams))}


def listed(
    conn: Connection, timer: Timer[Any], *, after: timedelta, limit: int = LISTED_MAX
) -> list[PendingTimer]:
    """The timers of a kind that are set and have no outcome, in the order of their times."""
    return [PendingTimer(*row) for row in _read(conn, timer, _SET, after=after, limit=limit)]


def overdue(conn: Connection, timer: Timer[Any], *, after: timedelta) -> int:
    """How many timers of a kind are due for longer than `after` and have no outcome."""
    return sum(count for (count,) in _read(conn, timer, _OVERDUE, after=after))


def progress(
    conn: Connection, process: str, *, lease: str, since: datetime, off_after: timedelta
) -> ProcessProgress:
    """How far a process is. It runs unless its lease was not renewed for `off_after`, seen from `since` on."""
    given = {"process": process, "lease": lease, "since": since, "off_after": off_after}
    row = conn.execute(_PROGRESS, given).fetchone()
    assert row is not None, "joined to one row"
    renewed, through = cast("tuple[bool, int]", row)
    queued = {key: each.queued for key, each in parking.of_scope(conn, Scope(process)).items()}
    return ProcessProgress(renewed and not parking.takes_no_more(queued), through)


def _read(conn: Connection, timer: Timer[Any], statement: sql.SQL, **given: object) -> list[Any]:
    """The rows of the live build; none before the projections made one."""
    try:
        table = sql.Identifier(SCHEMA, builds.live(conn, timer.view_name).table)
    except NoSuchBuild:
        return []
    return conn.execute(statement.format(table=table, open=_OPEN), {"name": timer.name, **given}).fetchall()
