"""Bringing a database to this version: the migrations of every package, in the order they build on each other."""

import threading
from collections.abc import Callable, Iterator, Sequence
from importlib import resources
from typing import Final

import psycopg
import structlog

from counterfoil import addresses
from runtime import database, migrations
from runtime.migrations import PHASES, Component, Differences, Migration, Phase
from runtime.settings import Settings

UNREACHED_POLL_S: Final = 1.0
"""How often a process that starts looks whether its database can be reached."""

log = structlog.get_logger()


def components() -> tuple[Component, ...]:
    """The packages that keep tables, each with its folder of migrations."""
    return tuple(
        Component(package, resources.files(package) / "sql" / "migrations")
        for package in ("event_store", "projections", "commands")
    )


def components_of_keys() -> tuple[Component, ...]:
    """What keeps tables in the key database."""
    return (Component("keyring", resources.files("runtime.keyring") / "sql" / "migrations"),)


def places(settings: Settings) -> list[tuple[str, Callable[[], Sequence[Component]]]]:
    """The databases of an installation: address, and what keeps tables there. That of the keys, where it has one.

    Raises:
        addresses.NoAddress: nobody names the log's database.
    """
    found: list[tuple[str, Callable[[], Sequence[Component]]]] = [
        (addresses.database_url(settings), components)
    ]
    if (keys_url := addresses.keys_database_url(settings)) is not None:
        found.append((keys_url, components_of_keys))
    return found


def migrate(
    database_url: str,
    *,
    phases: Sequence[Phase] = PHASES,
    of: Callable[[], Sequence[Component]] = components,
) -> list[str]:
    """Apply what is pending of these phases; the names of the files applied, as `component/file`.

    `of` says what keeps tables there: `components` in the log's database, `components_of_keys` in that of the keys.

    Raises:
        migrations.MigrationError: nothing of the failing file is left behind.
    """
    roles = (resources.files("event_store") / "sql" / "roles" / "roles.sql").read_text()
    with database.connect(database_url, role=None, name="migrate") as connection:
        applied = migrations.apply(connection, of(), roles=roles, phases=phases)
    return [migration.label for migration in applied]


def due(
    database_url: str,
    *,
    phases: Sequence[Phase] = PHASES,
    of: Callable[[], Sequence[Component]] = components,
) -> list[Migration]:
    """What `migrate` would apply, in order."""
    return migrations.due(compare(database_url, of=of), phases)


def phases_of(*, pre: bool, post: bool) -> Sequence[Phase]:
    """The phases that are asked for: all, unless one is."""
    asked = {"pre": pre, "post": post}
    return tuple(phase for phase in PHASES if asked[phase]) or PHASES


def migrate_everywhere(settings: Settings, phases: Sequence[Phase]) -> Iterator[str]:
    """The same in every database of an installation; the names of one are known before the next is begun."""
    for url, of in places(settings):
        yield from migrate(url, phases=phases, of=of)


def due_everywhere(settings: Settings, phases: Sequence[Phase]) -> list[Migration]:
    """What `migrate_everywhere` would apply, in order."""
    return [each for url, of in places(settings) for each in due(url, phases=phases, of=of)]


def compare(database_url: str, *, of: Callable[[], Sequence[Component]]) -> Differences:
    """Compare the database with this version, as any login may."""
    with database.connect(database_url, role=None, name="migrate") as connection:
        return migrations.compare(connection, of())


def require(database_url: str) -> None:
    """Compare before a process of this version starts, and log what an operator is to do later.

    A database that is ahead is none to refuse: the pre-deployment migrations of the next release are made for
    processes of this one to run on.

    Raises:
        migrations.NotMigrated: the database lacks what this version needs.
        migrations.ChangedMigration: it was migrated by other files.
        psycopg.OperationalError: it cannot be reached.
    """
    comparison = compare(database_url, of=components)
    migrations.require(comparison)
    if comparison.unknown:
        log.info("database_is_ahead", migrations=comparison.unknown)
    if pending := comparison.of("post"):
        log.warning(
            "post_deployment_migrations_pending",
            migrations=[migration.label for migration in pending],
            hint="run `counterfoil migrate --post` once no process of the release before runs",
        )


def wait_until_migrated(settings: Settings, stop: threading.Event) -> None:
    """Wait until there is a database, and refuse to start on one that lacks what this version needs.

    Raises:
        migrations.NotMigrated, migrations.ChangedMigration: see `require`.
    """
    while not stop.is_set():
        try:
            require(addresses.database_url(settings))
        except psycopg.OperationalError as error:
            log.warning("database_not_reached", reason=str(error).strip())
            stop.wait(UNREACHED_POLL_S)
        else:
            return
