"""Rows of a build in Postgres: its table, loading the rows a batch touches, writing them back in one statement.

All text is composed once per build, with `psycopg.sql`, from the row type. Values travel as one array per column
(binary), because one statement over 5,000 rows costs a fraction of 5,000 statements.
"""

import fnmatch
import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import resources
from operator import attrgetter
from types import MappingProxyType
from typing import Any, Final, TypeVar, cast

import msgspec
import psycopg
from psycopg import sql

from event_store.consumers.parking import Scope
from projections import buckets
from projections.buckets import Bucket
from projections.columns import Column, write_json
from projections.folding import Versioned
from projections.view import Key, Row, View
from runtime import database

Connection = psycopg.Connection[tuple[object, ...]]
Cursor = psycopg.Cursor[tuple[object, ...]]

T = TypeVar("T")

SCHEMA: Final = "views"
READER: Final[database.Role] = "counterfoil_reader"
WRITER: Final[database.Role] = "counterfoil_writer"
"""Roles that may read rows: readers, and the writer, whose decisions read some of them."""
ROWS_PER_STATEMENT_MAX: Final = 10_000
"""Rows that one statement loads or writes; more take several."""
ROWS_PER_PAGE: Final = 2_000
"""Rows read at a time when a whole build is read."""
TABLE_FILL_PERCENT: Final = 80
"""Room left in each page, so that most updates need no new index entry."""

BUILDS_COMPOSED_MAX: Final = 256
"""Builds of which a process keeps the text: more than it feeds and asks at a time."""

_SECTION: Final = "-- view:"
_EXTENSIONS: Final = """
select e.extname, n.nspname from pg_catalog.pg_extension e
join pg_catalog.pg_namespace n on n.oid = e.extnamespace order by e.extname
"""


class BuildId(msgspec.Struct, frozen=True, order=True):
    """Names one build: a table of one shape of one view."""

    view: str
    shape: int
    build: int

    def __str__(self) -> str:
        return self.table

    @property
    def table(self) -> str:
        """Name of its table in schema `views`."""
        return f"{self.view}_{self.label}"

    @property
    def label(self) -> str:
        """Shape and build as they stand in names of tables and documents."""
        return f"s{self.shape}_b{self.build}"

    @property
    def scope(self) -> Scope:
        """The owner of its parked keys."""
        return Scope(self.view, self.shape, self.build)


class Table:
    """The table of one build: rows in, rows out."""

    def __init__(self, view: View[Any], build: BuildId) -> None:
        """Compose the statements."""
        self.view = view
        self.build = build
        self._texts = _texts_of(view, build)
        self._values = attrgetter(*[column.name for column in view.columns])
        self._single = len(view.columns) == 1
        self._readers = [(column.name, column.read) for column in view.columns]

    def create(self, conn: Connection) -> None:
        """Make the table with its indexes, readable by readers; inside the caller's transaction."""
        conn.execute(self._texts.create)
        for statement in index_statements(self.view, self.build, extensions=_extensions(conn)):
            conn.execute(statement)
        conn.execute(self._texts.grant)

    def drop(self, conn: Connection) -> None:
        """Remove the table and all its rows."""
        conn.execute(self._texts.drop)

    def load(self, conn: Connection, keys: Iterable[Key]) -> dict[Key, Versioned]:
        """The stored rows of these keys, tombstones included; keys without either are absent."""
        return self.answered(self.ask(conn, keys))

    def ask(self, conn: Connection, keys: Iterable[Key]) -> list[Cursor]:
        """Request these rows; in a pipeline the cursors have them only after it has run."""
        return [
            conn.cursor(binary=True).execute(
                self._texts.load, [list(values) for values in zip(*chunk, strict=True)]
            )
            for chunk in _chunks(sorted(keys))
        ]

    def answered(self, cursors: Iterable[Cursor]) -> dict[Key, Versioned]:
        """The requested rows."""
        return dict(self._read(row) for cursor in cursors for row in cursor)

    def write(self, conn: Connection, rows: Mapping[Key, Versioned]) -> None:
        """Insert or replace rows; those that are None become tombstones, or go from a work list."""
        ordered = sorted(rows.items())
        kept = [(after.row, after.position) for _, after in ordered if after.row is not None]
        gone = [(key, after.position) for key, after in ordered if after.row is None]
        for chunk in _chunks(kept):
            conn.execute(self._texts.upsert, self._arrays(chunk))
        for graves in _chunks(gone):
            keys = zip(*[key for key, _ in graves], strict=True)
            if self.view.is_worklist:
                conn.execute(self._texts.delete, [*map(list, keys)])
            else:
                conn.execute(self._texts.entomb, [*map(list, keys), [position for _, position in graves]])

    def pages(
        self, conn: Connection, *, after: Key | None = None, limit: int = ROWS_PER_PAGE
    ) -> Iterator[list[tuple[Key, Versioned]]]:
        """Every row in key order, tombstones included, a page at a time."""
        while page := self.page(conn, after=after, limit=limit):
            yield page
            after = page[-1][0]

    def page(self, conn: Connection, *, after: Key | None, limit: int) -> list[tuple[Key, Versioned]]:
        """The next rows in key order behind a key (None: from the first)."""
        with conn.cursor(binary=True) as cursor:
            if after is None:
                cursor.execute(self._texts.first_page, [limit])
            else:
                cursor.execute(self._texts.next_page, [*after, limit])
            return [self._read(row) for row in cursor]

    def bucket(self, conn: Connection, bucket: Bucket) -> Iterator[tuple[Key, Versioned]]:
        """The rows of one part of the keys, without tombstones, inside the caller's transaction; in no order."""
        with conn.cursor(f"{self.build.table} bucket", binary=True) as cursor:
            cursor.itersize = ROWS_PER_PAGE
            for stored in cursor.execute(self._texts.bucket, [bucket.of, bucket.number]):
                yield self._read(stored)

    def count(self, conn: Connection) -> int:
        """How many rows there are, without tombstones."""
        row = conn.execute(self._texts.count).fetchone()
        assert row is not None, "an aggregate answers one row"
        return cast("int", row[0])

    def size_bytes(self, conn: Connection) -> int:
        """The size of the table on disk, without indexes."""
        row = conn.execute("select pg_table_size(%s::regclass)", [f"{SCHEMA}.{self.build.table}"]).fetchone()
        assert row is not None, "an aggregate answers one row"
        return cast("int", row[0])

    def _arrays(self, chunk: Sequence[tuple[Row, int]]) -> list[list[Any]]:
        if self._single:
            columns: list[list[Any]] = [[self._values(row) for row, _ in chunk]]
        else:
            columns = [list(values) for values in zip(*[self._values(row) for row, _ in chunk], strict=True)]
        for index, column in enumerate(self.view.columns):
            if column.is_json:
                columns[index] = [write_json(value) for value in columns[index]]
        return [*columns, [position for _, position in chunk]]

    def _read(self, stored: tuple[Any, ...]) -> tuple[Key, Versioned]:
        """The driver's row: key columns, then all columns, then position and deleted."""
        width = len(self.view.key)
        key, position, deleted = stored[:width], stored[-2], stored[-1]
        if deleted:
            return key, Versioned(None, position)
        values = {
            name: value if read is None or value is None else read(value)
            for (name, read), value in zip(self._readers, stored[width:-2], strict=True)
        }
        return key, Versioned(self.view.row(**values), position)


class _Texts:
    """The SQL of one build, composed once and kept as bytes: composing costs more than a small statement."""

    def __init__(self, view: View[Any], build: BuildId) -> None:
        table = sql.Identifier(SCHEMA, build.table)
        key = [sql.Identifier(name) for name in view.key]
        rest = [column for column in view.columns if column.name not in view.key]
        known = {"table": table, "key": _commas(key), "fill": sql.Literal(TABLE_FILL_PERCENT)}
        self.create = (
            sql.SQL(
                "create table {table} ({columns}, position bigint not null, deleted boolean not null default false,"
                " primary key ({key}){present}) with (fillfactor = {fill})"
            )
            .format(columns=_commas(map(_definition, view.columns)), present=_present(rest), **known)
            .as_bytes()
        )
        self.drop = sql.SQL("drop table if exists {table}").format(**known).as_bytes()
        readers = (READER, WRITER) if view.is_worklist else (READER,)
        self.grant = (
            sql.SQL("grant select on {table} to {readers}")
            .format(readers=_commas(map(sql.Identifier, readers)), **known)
            .as_bytes()
        )
        self.upsert = _upsert(view.columns, rest, known).as_bytes()
        self.entomb = _entomb(view.key_columns, rest, known).as_bytes()
        self._select(view, known)

    def _select(self, view: View[Any], known: Mapping[str, sql.Composable]) -> None:
        key = [sql.Identifier("t", name) for name in view.key]
        shown = [sql.Identifier("t", name) for name in view.key] + [_selected(each) for each in view.columns]
        parts = {
            **known,
            "shown": _commas(shown),
            "arrays": _commas(map(_array, view.key_columns)),
            "same": sql.SQL(" and ").join(
                sql.SQL("t.{0} = k.{0}").format(sql.Identifier(name)) for name in view.key
            ),
            "order": _commas(key),
            "given": _commas(map(_value, view.key_columns)),
        }
        self.delete = (
            sql.SQL("delete from {table} t using unnest({arrays}) as k ({key}) where {same}")
            .format(**parts)
            .as_bytes()
        )
        # Not a plain join: with some hundred keys the planner would read a whole table of some thousand rows.
        self.load = (
            sql.SQL(
                "select {shown}, t.position, t.deleted from unnest({arrays}) as k ({key})"
                " cross join lateral (select * from {table} t where {same} offset 0) t"
            )
            .format(**parts)
            .as_bytes()
        )
        self.bucket = (
            sql.SQL(
                "select {shown}, t.position, t.deleted from {table} t where not t.deleted and {in_bucket}"
            )
            .format(in_bucket=buckets.condition(view.key_columns, alias="t"), **parts)
            .as_bytes()
        )
        self.count = sql.SQL("select count(*) from {table} t where not t.deleted").format(**known).as_bytes()
        self.first_page = (
            sql.SQL("select {shown}, t.position, t.deleted from {table} t order by {order} limit %s")
            .format(**parts)
            .as_bytes()
        )
        self.next_page = (
            sql.SQL(
                "select {shown}, t.position, t.deleted from {table} t where ({order}) > ({given})"
                " order by {order} limit %s"
            )
            .format(**parts)
            .as_bytes()
        )


@functools.lru_cache(maxsize=BUILDS_COMPOSED_MAX)
def _texts_of(view: View[Any], build: BuildId) -> _Texts:
    """The SQL of a build, which several parts of a process ask for."""
    return _Texts(view, build)


def bare_view(view: View[Any], build: BuildId) -> sql.Composed:
    """The statement that points the plain SQL view of the bare name, for people, at a build."""
    return sql.SQL("create view {name} as select {columns}, position from {table} where not deleted").format(
        name=sql.Identifier(SCHEMA, view.name),
        columns=_commas(sql.Identifier(column.name) for column in view.columns),
        table=sql.Identifier(SCHEMA, build.table),
    )


def index_statements(
    view: View[Any], build: BuildId, *, extensions: Mapping[str, str] = MappingProxyType({})
) -> list[sql.Composed]:
    """What the view's section of `views.sql`, next to the row type, says about this build's table.

    `extensions` are those that the database has, each with its schema: a section `-- view: <name> with <extension>` is
    for databases that have that one, and `{extension}` in it is its schema.
    """
    package = view.row.__module__.rpartition(".")[0]
    if not package:
        return []
    file = resources.files(package) / "views.sql"
    if not file.is_file():
        return []
    table = sql.Identifier(SCHEMA, build.table)
    text = file.read_text()
    statements = [sql.SQL(statement).format(table=table) for statement in _section(text, view.name)]
    for extension, schema in extensions.items():
        statements += [
            sql.SQL(statement).format(table=table, extension=sql.Identifier(schema))
            for statement in _section(text, f"{view.name} with {extension}")
        ]
    return statements


def _extensions(conn: Connection) -> dict[str, str]:
    return dict(cast("list[tuple[str, str]]", conn.execute(_EXTENSIONS).fetchall()))


def _section(text: str, view: str) -> list[str]:
    """The statements below `-- view: <name>`, up to the next such line; `*` in it stands for anything."""
    kept: list[str] = []
    inside = False
    for line in text.splitlines():
        if line.startswith(_SECTION):
            inside = fnmatch.fnmatchcase(view, line.removeprefix(_SECTION).strip())
        elif inside and not line.lstrip().startswith("--"):
            kept.append(line)
    return [statement.strip() for statement in "\n".join(kept).split(";") if statement.strip()]


def _upsert(
    columns: Sequence[Column], rest: Sequence[Column], known: Mapping[str, sql.Composable]
) -> sql.Composed:
    """Every value is written, whatever stood there: the checkpoint, not the row, decides who may write."""
    names = [sql.Identifier(column.name) for column in columns]
    return sql.SQL(
        "insert into {table} ({names}, position, deleted) select {values}, u.position, false"
        " from unnest({arrays}, %b::bigint[]) as u ({names}, position)"
        " on conflict ({key}) do update set {sets}position = excluded.position, deleted = false"
    ).format(
        names=_commas(names),
        values=_commas(map(_unnested, columns)),
        arrays=_commas(map(_array, columns)),
        sets=_sets(rest, sql.SQL("{0} = excluded.{0}, ")),
        **known,
    )


def _entomb(
    key: Sequence[Column], rest: Sequence[Column], known: Mapping[str, sql.Composable]
) -> sql.Composed:
    return sql.SQL(
        "insert into {table} ({key}, position, deleted) select {values}, u.position, true"
        " from unnest({arrays}, %b::bigint[]) as u ({key}, position)"
        " on conflict ({key}) do update set {sets}position = excluded.position, deleted = true"
    ).format(
        values=_commas(map(_unnested, key)),
        arrays=_commas(map(_array, key)),
        sets=_sets(rest, sql.SQL("{0} = null, ")),
        **known,
    )


def _sets(columns: Sequence[Column], each: sql.SQL) -> sql.Composed:
    return sql.SQL("").join(each.format(sql.Identifier(column.name)) for column in columns)


def _definition(column: Column) -> sql.Composed:
    return sql.SQL("{} {}").format(sql.Identifier(column.name), _type(column.sql_type))


def _present(rest: Sequence[Column]) -> sql.Composable:
    """A row has all its values unless it is a tombstone."""
    needed = [column for column in rest if not column.nullable]
    if not needed:
        return sql.SQL("")
    checks = (sql.SQL("{} is not null").format(sql.Identifier(column.name)) for column in needed)
    return sql.SQL(", check (deleted or ({}))").format(sql.SQL(" and ").join(checks))


def _array(column: Column) -> sql.Composed:
    """JSON travels as text: its binary form would be rejected without a type of its own."""
    return sql.SQL("%b::{}[]").format(_type("text" if column.is_json else column.sql_type))


def _value(column: Column) -> sql.Composed:
    return sql.SQL("%b::{}").format(_type(column.sql_type))


def _unnested(column: Column) -> sql.Composed:
    name = sql.Identifier("u", column.name)
    return sql.SQL("{}::json" if column.is_json else "{}").format(name)


def _selected(column: Column) -> sql.Composed:
    name = sql.Identifier("t", column.name)
    return sql.SQL("{}::text" if column.is_json else "{}").format(name)


def _type(name: str) -> sql.SQL:
    """A Postgres type name of `columns`, which is a constant of ours."""
    return sql.SQL(name)


def _commas(parts: Iterable[sql.Composable]) -> sql.Composed:
    return sql.SQL(", ").join(parts)


def _chunks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), ROWS_PER_STATEMENT_MAX):
        yield items[start : start + ROWS_PER_STATEMENT_MAX]
