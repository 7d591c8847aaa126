"""Bringing a database to this version: the migrations of every package, in the order they build on each other."""

from collections.abc import Sequence
from importlib import resources

import structlog

from runtime import database, migrations
from runtime.migrations import PHASES, Component, Differences, Migration, Phase

log = structlog.get_logger()


def components() -> tuple[Component, ...]:
    """The packages that keep tables, each with its folder of migrations."""
    return tuple(
        Component(package, resources.files(package) / "sql" / "migrations")
        for package in ("event_store", "projections", "commands")
    )


def migrate(database_url: str, *, phases: Sequence[Phase] = PHASES) -> list[str]:
    """Apply what is pending of these phases; the names of the files applied, as `component/file`.

    Raises:
        migrations.MigrationError: nothing of the failing file is left behind.
    """
    roles = (resources.files("event_store") / "sql" / "roles" / "roles.sql").read_text()
    with database.connect(database_url, role=None, name="migrate") as connection:
        applied = migrations.apply(connection, components(), roles=roles, phases=phases)
    return [migration.label for migration in applied]


def due(database_url: str, *, phases: Sequence[Phase] = PHASES) -> list[Migration]:
    """What `migrate` would apply, in order."""
    return migrations.due(compare(database_url), phases)


def compare(database_url: str) -> Differences:
    """Compare the database with this version, as any login may."""
    with database.connect(database_url, role=None, name="migrate") as connection:
        return migrations.compare(connection, components())


def require(database_url: str) -> None:
    """Compare before a process of this version starts, and log what an operator is to do later.

    A database that is ahead is none to refuse: the pre-deployment migrations of the next release are made for
    processes of this one to run on.

    Raises:
        migrations.NotMigrated: the database lacks what this version needs.
        migrations.ChangedMigration: it was migrated by other files.
        psycopg.OperationalError: it cannot be reached.
    """
    comparison = compare(database_url)
    migrations.require(comparison)
    if comparison.unknown:
        log.info("database_is_ahead", migrations=comparison.unknown)
    if pending := comparison.of("post"):
        log.warning(
            "post_deployment_migrations_pending",
            migrations=[migration.label for migration in pending],
            hint="run `counterfoil migrate --post` once no process of the release before runs",
        )
