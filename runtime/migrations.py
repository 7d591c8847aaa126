"""Plain SQL migrations: numbered files of several components, each applied once, in one transaction, by the owner role.

A file that has been applied must not change: its digest is kept and compared.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from typing import Any, Final, cast

import psycopg
from psycopg import sql

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
_EXISTS: Final = "select to_regclass('counterfoil.migration') is not null"


class MigrationError(Exception):
    """The database cannot be brought to this version.

    MigrationError
    ├── ChangedMigration     a file that was applied reads differently now
    ├── UnknownMigration     the database knows a file that this version does not have
    └── NotAllowed           the login may not act as counterfoil_owner, or that role may not create schemas
    """


class ChangedMigration(MigrationError):
    """A file that was applied reads differently now."""


class UnknownMigration(MigrationError):
    """The database was migrated by a newer version."""


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

    @property
    def digest(self) -> str:
        """SHA-256 of the text, in hex."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def files(components: Sequence[Component]) -> Iterator[Migration]:
    """Every migration, in the order in which it must be applied."""
    for component in components:
        if not component.folder.is_dir():
            continue
        for entry in sorted(component.folder.iterdir(), key=lambda entry: entry.name):
            if entry.name.endswith(".sql"):
                yield Migration(component.name, entry.name, entry.read_text())


def pending(
    connection: psycopg.Connection[tuple[Any, ...]], components: Sequence[Component]
) -> list[Migration]:
    """What has not been applied yet.

    Raises:
        ChangedMigration: an applied file reads differently now.
        UnknownMigration: the database knows a file that this version does not have.
    """
    known = {(migration.component, migration.name): migration for migration in files(components)}
    for component, name, digest in _applied(connection):
        migration = known.pop((component, name), None)
        if migration is None:
            raise UnknownMigration(
                f"the database has {component}/{name}, which this version does not: upgrade it"
            )
        if migration.digest != digest:
            raise ChangedMigration(
                f"{component}/{name} was applied with another text: restore it, add a new file"
            )
    return list(known.values())


def apply(
    connection: psycopg.Connection[tuple[Any, ...]], components: Sequence[Component], *, roles: str
) -> list[Migration]:
    """Apply what is pending and return it. Several callers may race: one applies, the others find nothing to do.

    Args:
        connection: in autocommit mode, a login that may act as counterfoil_owner, or may create that role.
        components: in the order in which they depend on each other.
        roles: SQL that creates the roles where they are missing.

    Raises:
        NotAllowed: the login lacks a right that is needed.
        ChangedMigration, UnknownMigration: as `pending`.
    """
    connection.execute("select pg_advisory_lock(%s)", [_LOCK])
    try:
        _prepare(connection, roles)
        applied = pending(connection, components)
        for migration in applied:
            with connection.transaction():
                connection.execute(_AS_OWNER)
                connection.execute(migration.text)
                connection.execute(_RECORD, [migration.component, migration.name, migration.digest])
        return applied
    except psycopg.errors.InsufficientPrivilege as error:
        raise NotAllowed(error.diag.message_primary or str(error)) from error
    finally:
        connection.execute("select pg_advisory_unlock(%s)", [_LOCK])


def _prepare(connection: psycopg.Connection[tuple[Any, ...]], roles: str) -> None:
    if _bookkeeping_exists(connection):
        return
    with connection.transaction():
        connection.execute(roles)
        if connection.execute(_OWNER_MAY_CREATE).fetchone() != (True,):
            name = sql.Identifier(connection.info.dbname)
            connection.execute(sql.SQL("grant create on database {} to counterfoil_owner").format(name))
        connection.execute(_AS_OWNER)
        connection.execute(_BOOKKEEPING)


def _bookkeeping_exists(connection: psycopg.Connection[tuple[Any, ...]]) -> bool:
    row = connection.execute(_EXISTS).fetchone()
    return row is not None and row[0] is True


def _applied(connection: psycopg.Connection[tuple[Any, ...]]) -> list[tuple[str, str, str]]:
    if not _bookkeeping_exists(connection):
        return []
    return cast("list[tuple[str, str, str]]", connection.execute(_APPLIED).fetchall())
