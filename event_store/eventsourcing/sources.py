"""The databases that the library's own modules keep, read in one snapshot: events, snapshots, tracking.

SourceError
├── SourceUnreadable    no such file, no server, no rights, or somebody uses it
└── NoSuchTable         nothing was recorded under this name
"""

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping
from typing import Any, Final, LiteralString, Protocol
from urllib.parse import quote

import psycopg
from msgspec import Struct
from psycopg import sql

from event_store.eventsourcing.streams import OriginatorIdType

SQLITE_PREFIX: Final = "sqlite:"
ROWS_PER_READ: Final = 1_000
"""Rows that are held in memory at once."""

LOCK_TIMEOUT_S: Final = 5
"""How long a follower's table may be in use before the run gives up."""

_BEFORE: Final = "{} before Counterfoil"
"""The row next to a translated one that keeps the old number, so that nothing is translated twice."""
_MIGRATION_ROW: Final = "__migration__"
"""What the library notes in its tracking tables about their layout."""


class SourceError(Exception):
    """The database of the library cannot be read."""


class SourceUnreadable(SourceError):
    """There is no such file, or the server refuses."""


class NoSuchTable(SourceError):
    """No application or follower of this name has recorded anything there."""


class SourceEvent(Struct, frozen=True, gc=False):
    """One row of a table of events, or of snapshots (their `id` is 0). The id is that of the notification."""

    id: int
    originator_id: str
    version: int
    topic: str | None
    state: bytes | None


class Source(Protocol):
    """One database of the library."""

    applications_max: int | None
    """How many applications one such database can hold."""

    def id_type(self, application: str) -> OriginatorIdType | None:
        """The type of its aggregates' ids, None if the table does not say."""

    def events(self, application: str) -> Iterator[SourceEvent]:
        """Everything it has recorded, in the order of notifications.

        Raises:
            NoSuchTable: it has never recorded anything here.
        """

    def snapshots(self, application: str) -> Iterator[SourceEvent]:
        """Its snapshots, in any order."""

    def tracking(self, follower: str) -> Mapping[str, int]:
        """How far it has processed other applications, by their names; what was translated is left out."""

    def followers(self) -> Mapping[str, frozenset[str]]:
        """The tracking tables of this database, each with the applications it follows by the old numbers."""

    def tracking_table(self, follower: str) -> str:
        """Where a follower keeps its tracking."""

    def translate(self, follower: str, positions: Mapping[str, int | None]) -> None:
        """Replace the numbers a follower has tracked, in one transaction, and note that it was done."""


@contextlib.contextmanager
def opened(address: str, *, schema: str) -> Iterator[Source]:
    """The database at an address: `sqlite:<path>`, or a libpq connection string or URI.

    Raises:
        SourceUnreadable: it is not there, or refuses.
    """
    try:
        if address.startswith(SQLITE_PREFIX):
            path = address.removeprefix(SQLITE_PREFIX)
            with contextlib.closing(
                sqlite3.connect(
                    f"file:{quote(path)}?mode=rw", uri=True, isolation_level=None, timeout=LOCK_TIMEOUT_S
                )
            ) as database:
                database.execute("begin")
                yield _Sqlite(database)
        else:
            with (
                psycopg.connect(address, autocommit=True) as reading,
                psycopg.connect(address, autocommit=True) as writing,
                reading.transaction(),
            ):
                reading.execute("set transaction isolation level repeatable read, read only")
                yield _Postgres(reading, writing, schema=schema)
    except (sqlite3.OperationalError, sqlite3.DatabaseError, psycopg.OperationalError) as error:
        raise SourceUnreadable(
            f"{str(error).strip()}: check the address ({SQLITE_PREFIX}<path> or Postgres), and stop what uses it"
        ) from error


def _followed(rows: Iterator[tuple[str, int]]) -> dict[str, int]:
    """What the rows of a tracking table say, without the library's own note and without what was translated."""
    newest = dict(rows)
    done = {name for name in newest if _BEFORE.format(name) in newest}
    notes = {_MIGRATION_ROW, *(_BEFORE.format(name) for name in newest)}
    return {name: number for name, number in newest.items() if name not in done | notes}


class _Sqlite:
    """A file that holds one application."""

    applications_max: int | None = 1

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def id_type(self, application: str) -> OriginatorIdType | None:  # noqa: ARG002 - the file holds one
        return None

    def events(self, application: str) -> Iterator[SourceEvent]:
        if not self._has("stored_events"):
            raise NoSuchTable(f"{application} has recorded no events in this file")
        yield from self._rows("select rowid, * from stored_events order by rowid")

    def snapshots(self, application: str) -> Iterator[SourceEvent]:  # noqa: ARG002
        if self._has("stored_snapshots"):
            yield from self._rows("select 0, * from stored_snapshots")

    def tracking(self, follower: str) -> Mapping[str, int]:  # noqa: ARG002
        if not self._has("tracking"):
            return {}
        rows = self._database.execute(
            "select application_name, max(notification_id) from tracking group by application_name"
        )
        return _followed(iter(rows))

    def followers(self) -> Mapping[str, frozenset[str]]:
        return {"tracking": frozenset(self.tracking(""))}

    def tracking_table(self, follower: str) -> str:  # noqa: ARG002
        return "tracking"

    def translate(self, follower: str, positions: Mapping[str, int | None]) -> None:
        with self._writing():
            before = self.tracking(follower)
            for name in positions.keys() & before.keys():
                position = positions[name]
                self._database.execute("delete from tracking where application_name = ?", [name])
                if position is not None:
                    self._database.execute("insert into tracking values (?, ?)", [name, position])
                self._database.execute(
                    "insert into tracking values (?, ?)", [_BEFORE.format(name), before[name]]
                )

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        self._database.execute("commit")
        self._database.execute("begin immediate")
        try:
            yield
        except BaseException:
            self._database.execute("rollback")
            raise
        finally:
            if self._database.in_transaction:
                self._database.execute("commit")
            self._database.execute("begin")

    def _has(self, table: str) -> bool:
        found = self._database.execute(
            "select 1 from sqlite_schema where type = 'table' and name = ?", [table]
        )
        return found.fetchone() is not None

    def _rows(self, statement: LiteralString) -> Iterator[SourceEvent]:
        found = self._database.execute(statement)
        while page := found.fetchmany(ROWS_PER_READ):
            yield from (SourceEvent(*row) for row in page)


class _Postgres:
    """A schema that holds the tables of any number of applications."""

    applications_max: int | None = None

    def __init__(
        self,
        reading: psycopg.Connection[tuple[Any, ...]],
        writing: psycopg.Connection[tuple[Any, ...]],
        *,
        schema: str,
    ) -> None:
        self._reading = reading
        self._writing = writing
        self._schema = schema

    def id_type(self, application: str) -> OriginatorIdType | None:
        row = self._reading.execute(
            "select data_type from information_schema.columns"
            " where table_schema = %s and table_name = %s and column_name = 'originator_id'",
            [self._schema, f"{application.lower()}_events"],
        ).fetchone()
        return None if row is None else "uuid" if row[0] == "uuid" else "text"

    def events(self, application: str) -> Iterator[SourceEvent]:
        table = f"{application.lower()}_events"
        if not self._has(table):
            raise NoSuchTable(
                f"{application} has recorded no events here: there is no table {self._schema}.{table}"
            )
        yield from self._rows(
            table,
            "select notification_id, originator_id::text, originator_version, topic, state from {} order by 1",
        )

    def snapshots(self, application: str) -> Iterator[SourceEvent]:
        table = f"{application.lower()}_snapshots"
        if self._has(table):
            yield from self._rows(
                table, "select 0, originator_id::text, originator_version, topic, state from {}"
            )

    def tracking(self, follower: str) -> Mapping[str, int]:
        return self._tracked(self._reading, self.tracking_table(follower))

    def followers(self) -> Mapping[str, frozenset[str]]:
        tables = self._reading.execute(
            "select table_name from information_schema.tables"
            " where table_schema = %s and table_name like '%%\\_tracking'",
            [self._schema],
        ).fetchall()
        return {table: frozenset(self._tracked(self._reading, table)) for (table,) in tables}

    def tracking_table(self, follower: str) -> str:
        return f"{follower.lower()}_tracking"

    def translate(self, follower: str, positions: Mapping[str, int | None]) -> None:
        table = self.tracking_table(follower)
        identifier = sql.Identifier(self._schema, table)
        with self._writing.transaction():
            self._writing.execute(sql.SQL("set local lock_timeout = {}").format(f"{LOCK_TIMEOUT_S}s"))
            # Readers, this run's snapshot among them, are let by; one that tracks is waited for, or keeps us from it.
            self._writing.execute(sql.SQL("lock table {} in share row exclusive mode").format(identifier))
            before = self._tracked(self._writing, table)
            insert = sql.SQL("insert into {} (application_name, notification_id) values (%s, %s)").format(
                identifier
            )
            delete = sql.SQL("delete from {} where application_name = %s").format(identifier)
            for name in positions.keys() & before.keys():
                position = positions[name]
                self._writing.execute(delete, [name])
                if position is not None:
                    self._writing.execute(insert, [name, position])
                self._writing.execute(insert, [_BEFORE.format(name), before[name]])

    def _tracked(self, connection: psycopg.Connection[tuple[Any, ...]], table: str) -> dict[str, int]:
        if not self._has(table):
            return {}
        statement = sql.SQL("select application_name, max(notification_id) from {} group by application_name")
        found = connection.execute(statement.format(sql.Identifier(self._schema, table)))
        return _followed(iter((name, number) for name, number in found))

    def _has(self, table: str) -> bool:
        row = self._reading.execute(
            "select 1 from information_schema.tables where table_schema = %s and table_name = %s",
            [self._schema, table],
        ).fetchone()
        return row is not None

    def _rows(self, table: str, statement: LiteralString) -> Iterator[SourceEvent]:
        query = sql.SQL(statement).format(sql.Identifier(self._schema, table))
        with self._reading.cursor(name="old_rows", binary=True) as cursor:
            cursor.itersize = ROWS_PER_READ
            cursor.execute(query)
            for row in cursor:
                yield SourceEvent(*row)
