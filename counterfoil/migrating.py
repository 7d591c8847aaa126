"""Bringing a database to this version: the migrations of every package, in the order they build on each other."""

from importlib import resources

from runtime import database, migrations
from runtime.migrations import Component, Migration


def components() -> tuple[Component, ...]:
    """The packages that keep tables, each with its folder of migrations."""
    return tuple(
        Component(package, resources.files(package) / "sql" / "migrations")
        for package in ("event_store", "projections", "commands")
    )


def migrate(database_url: str) -> list[str]:
    """Apply what is pending; the names of the files applied, as `component/file`.

    Raises:
        migrations.MigrationError: nothing of the failing file is left behind.
    """
    roles = (resources.files("event_store") / "sql" / "roles" / "roles.sql").read_text()
    with database.connect(database_url, role=None, name="migrate") as connection:
        applied = migrations.apply(connection, components(), roles=roles)
    return [_label(migration) for migration in applied]


def pending(database_url: str) -> list[Migration]:
    """What `migrate` would apply, in order."""
    with database.connect(database_url, role=None, name="migrate") as connection:
        return migrations.pending(connection, components())


def _label(migration: Migration) -> str:
    return f"{migration.component}/{migration.name}"
