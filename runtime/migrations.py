"""Plain SQL migrations: numbered files of several components, each applied once by the owner role.

The first line of a file says when it is applied, and how:

    -- pre-deployment                              before processes of this release start; those before it still run
    -- post-deployment                             once no process of the release before runs any more
    -- …-deployment, outside a transaction         one statement that Postgres takes no other way

A line `-- include: ../functions/name.sql` stands for that file, seen from the folder of the migrations: a function is
in its own file and nowhere else (docs/adr/0058-migrations-include-functions.md).

A file is applied in one transaction. One outside of a transaction holds one statement that may be repeated (`create
index concurrently if not exists …`), since nothing takes back what was done before a crash. A file that has been
applied must not change, nor what it includes: the digest of its whole text is kept and compared.
"""

import hashlib
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from typing import Any, Final, Literal, cast

import psycopg
from psycopg import sql

Phase = Literal["pre", "post"]

PHASES: Final[tuple[Phase, ...]] = ("pre", "post")

LOCK_POLL_S: Final = 0.1
"""How often a migration looks whether another one has ended. A session that waits inside of Postgres would hold a
snapshot, and `create index concurrently` waits for every snapshot before it: each would wait for the other."""

_LOCK: Final = 0x636F756E
"""Advisory lock that keeps two migrations of one database apart."""

_BOOKKEEPING: Final = """
create schema if not exists counterfoil;
create table if not exists counterfoil.migration (
    component text not null,
    name text not null,
    digest text not null,
    applied_at timestamptz not null default clock_timestamp(),
    primary key (component, name)
);
grant usage on schema counterfoil to public;
grant select on counterfoil.migration to public;
"""

_AS_OWNER: Final = "set local role counterfoil_owner"
_OWNER_MAY_CREATE: Final = "select has_database_privilege('counterfoil_owner', current_database(), 'create')"
_APPLIED: Final = "select component, name, digest from counterfoil.migration"
_RECORD: Final = "insert into counterfoil.migration (component, name, digest) values (%s, %s, %s)"
_TRY_LOCK: Final = "select pg_try_advisory_lock(%s)"
_INVALID_INDEXES: Final = """
select n.nspname, c.relname from pg_index i
join pg_class c on c.oid = i.indexrelid join pg_namespace n on n.oid = c.relnamespace
where not i.indisvalid and c.relowner = 'counterfoil_owner'::regrole
"""
"""What a `create index concurrently` that was interrupted leaves behind; `if not exists` would take it for done."""
_INCLUDE: Final = re.compile(r"^-- include: (\.\./functions/\w+\.sql)\n", re.MULTILINE)
_FIRST_LINE: Final = re.compile(r"-- (pre|post)-deployment(, outside a transaction)?")
_EXISTS: Final = "select to_regclass('counterfoil.migration') is not null"


class MigrationError(Exception):
    """The database cannot be brought to this version.

    MigrationError
    ├── ChangedMigration     a file that was applied reads differently now
    ├── UnknownMigration     the database knows a file that this version does not have
    ├── MalformedMigration   the first line of a file does not say when and how it is applied
    ├── OutOfOrder           what was asked for cannot be applied before something else is
    ├── NotMigrated          this version cannot run before the database is migrated
    └── NotAllowed           the login may not act as counterfoil_owner, or that role may not create schemas
    """


class ChangedMigration(MigrationError):
    """A file that was applied reads differently now."""


class UnknownMigration(MigrationError):
    """The database was migrated by a newer version."""


class MalformedMigration(MigrationError):
    """The first line of a file does not say when and how it is applied."""


class OutOfOrder(MigrationError):
    """What was asked for cannot be applied before something else is."""


class NotMigrated(MigrationError):
    """This version cannot run before the database is migrated."""


class NotAllowed(MigrationError):
    """The login lacks a right that the migration needs."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"{reason}: let an administrator run what `counterfoil roles --sql` prints and migrate with the login it"
            " makes for that, or migrate with a login that may create roles and schemas"
        )


@dataclass(frozen=True, slots=True)
class Component:
    """A folder of `NNNN_name.sql` files."""

    name: str
    folder: Traversable


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: its component, name, text and SHA-256 in hex."""

    component: str
    name: str
    text: str
    phase: Phase
    in_transaction: bool

    @property
    def label(self) -> str:
        """As it is named to people."""
        return f"{self.component}/{self.name}"

    @property
    def digest(self) -> str:
        """SHA-256 of the text, in hex."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def files(components: Sequence[Component]) -> Iterator[Migration]:
    """Every migration, in the order in which it must be applied.

    Raises:
        MalformedMigration: a file does not say when and how it is applied.
    """
    for component in components:
        if not component.folder.is_dir():
            continue
        for entry in sorted(component.folder.iterdir(), key=lambda entry: entry.name):
            if entry.name.endswith(".sql"):
                yield _read(component, entry)


@dataclass(frozen=True, slots=True)
class Differences:
    """What a database lacks of this version's migrations, in order, and what it has that this version does not know."""

    pending: list[Migration]
    unknown: list[str]

    def of(self, phase: Phase) -> list[Migration]:
        """What is pending of one phase."""
        return [migration for migration in self.pending if migration.phase == phase]


def compare(connection: psycopg.Connection[tuple[Any, ...]], components: Sequence[Component]) -> Differences:
    """Compare a database with this version's migrations.

    Raises:
        ChangedMigration: an applied file reads differently now.
    """
    known = {(migration.component, migration.name): migration for migration in files(components)}
    unknown = []
    for component, name, digest in _applied(connection):
        migration = known.pop((component, name), None)
        if migration is None:
            unknown.append(f"{component}/{name}")
        elif migration.digest != digest:
            raise ChangedMigration(
                f"{migration.label} was applied with another text: restore it, add a new file"
            )
    return Differences(list(known.values()), unknown)


def due(comparison: Differences, phases: Sequence[Phase] = PHASES) -> list[Migration]:
    """What is to be applied now, in order.

    Raises:
        UnknownMigration: the database is a newer version's.
        OutOfOrder: something else comes first.
    """
    if comparison.unknown:
        raise UnknownMigration(
            f"the database has {comparison.unknown[0]}, which this version does not: upgrade it"
        )
    chosen = [migration for migration in comparison.pending if migration.phase in phases]
    for migration in chosen:
        for earlier in comparison.pending:
            if earlier is migration:
                break
            if earlier.phase not in phases and earlier.component == migration.component:
                raise OutOfOrder(
                    f"{earlier.label} ({earlier.phase}-deployment) comes before {migration.label}"
                    f" ({migration.phase}-deployment). Run `counterfoil migrate --{earlier.phase}` first,"
                    " or `counterfoil migrate`, which applies all in order, while no process runs"
                )
    return chosen


def require(comparison: Differences) -> None:
    """Refuse to run on a database that lacks what this version needs from its first moment on.

    Raises:
        NotMigrated: the text names what is missing and the command that applies it.
    """
    missing = comparison.of("pre")
    if missing:
        names = ", ".join(migration.label for migration in missing)
        raise NotMigrated(f"the database lacks {names}: run `counterfoil migrate --pre`, then start again")


def apply(
    connection: psycopg.Connection[tuple[Any, ...]],
    components: Sequence[Component],
    *,
    roles: str,
    phases: Sequence[Phase] = PHASES,
) -> list[Migration]:
    """Apply what is due and return it. Several callers may race: one applies, the others find nothing to do.

    Args:
        connection: in autocommit mode, a login that may act as counterfoil_owner, or may create that role.
        components: in the order in which they depend on each other.
        roles: SQL that creates the roles where they are missing; it runs each time, since a release may add some.
        phases: what is to be applied of what is pending.

    Raises:
        NotAllowed: the login lacks a right that is needed.
        ChangedMigration, UnknownMigration, OutOfOrder: as `compare` and `due`.
    """
    while connection.execute(_TRY_LOCK, [_LOCK]).fetchone() != (True,):
        time.sleep(LOCK_POLL_S)
    try:
        _prepare(connection, roles)
        chosen = due(compare(connection, components), phases)
        for migration in chosen:
            if migration.in_transaction:
                with connection.transaction():
                    connection.execute(_AS_OWNER)
                    _apply_one(connection, migration)
            else:
                _apply_outside(connection, migration)
        return chosen
    except psycopg.errors.InsufficientPrivilege as error:
        raise NotAllowed(error.diag.message_primary or str(error)) from error
    finally:
        connection.execute("select pg_advisory_unlock(%s)", [_LOCK])


def _apply_one(connection: psycopg.Connection[tuple[Any, ...]], migration: Migration) -> None:
    connection.execute(migration.text)
    connection.execute(_RECORD, [migration.component, migration.name, migration.digest])


def _apply_outside(connection: psycopg.Connection[tuple[Any, ...]], migration: Migration) -> None:
    """Apply one statement by itself, after what an interrupted attempt has left is removed."""
    connection.execute("set role counterfoil_owner")
    try:
        for schema, index in connection.execute(_INVALID_INDEXES).fetchall():
            connection.execute(sql.SQL("drop index concurrently {}").format(sql.Identifier(schema, index)))
        _apply_one(connection, migration)
    finally:
        connection.execute("reset role")


def _prepare(connection: psycopg.Connection[tuple[Any, ...]], roles: str) -> None:
    connection.execute(roles)
    # A copy of a database has its tables, but not the rights on the database itself.
    if connection.execute(_OWNER_MAY_CREATE).fetchone() != (True,):
        name = sql.Identifier(connection.info.dbname)
        connection.execute(sql.SQL("grant create on database {} to counterfoil_owner").format(name))
    if _bookkeeping_exists(connection):
        return
    with connection.transaction():
        connection.execute(_AS_OWNER)
        connection.execute(_BOOKKEEPING)


def _read(component: Component, entry: Traversable) -> Migration:
    text = _INCLUDE.sub(lambda line: component.folder.joinpath(line[1]).read_text(), entry.read_text())
    first, _, _ = text.partition("\n")
    said = _FIRST_LINE.fullmatch(first)
    if said is None:
        raise MalformedMigration(
            f"{component.name}/{entry.name}: its first line is not `-- pre-deployment` or `-- post-deployment`,"
            " with `, outside a transaction` behind it or not"
        )
    return Migration(
        component.name, entry.name, text, phase=cast("Phase", said[1]), in_transaction=said[2] is None
    )


def _bookkeeping_exists(connection: psycopg.Connection[tuple[Any, ...]]) -> bool:
    row = connection.execute(_EXISTS).fetchone()
    return row is not None and row[0] is True


def _applied(connection: psycopg.Connection[tuple[Any, ...]]) -> list[tuple[str, str, str]]:
    if not _bookkeeping_exists(connection):
        return []
    return cast("list[tuple[str, str, str]]", connection.execute(_APPLIED).fetchall())
