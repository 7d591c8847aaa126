"""The role processes: each reads its settings, opens what it needs and runs until SIGTERM.

A role imports only what it runs, so that each process starts fast and stays small.
"""

import psycopg
import structlog
from pydantic import SecretStr

from counterfoil import addresses, migrating
from runtime import production, telemetry
from runtime.settings import Settings
from runtime.signals import stop_on_signals

log = structlog.get_logger()


def command_api(settings: Settings) -> None:
    """Serve the command API until SIGTERM, from when its database can be reached."""
    from counterfoil import applications, serving

    production.require(settings)
    telemetry.configure_logging(settings.log_level, process="command-api")
    with stop_on_signals() as stop:
        # No route answers before those are registered that wait for what is recorded: that needs the database.
        migrating.wait_until_migrated(settings, stop)
        if stop.is_set():
            return
    app = applications.command_app(_with_addresses(settings))
    serving.serve(
        app,
        host=settings.command_api_host,
        port=settings.command_api_port,
        drain_s=settings.drain_s,
        tls=serving.tls_of(settings),
        on_drain=app.state.readiness.drain,
    )


def query_api(settings: Settings) -> None:
    """Serve the query API until SIGTERM."""
    from counterfoil import applications, serving

    production.require(settings)
    telemetry.configure_logging(settings.log_level, process="query-api")
    _compare_migrations(settings)
    app = applications.query_app(_with_addresses(settings))
    serving.serve(
        app,
        host=settings.query_api_host,
        port=settings.query_api_port,
        drain_s=settings.drain_s,
        tls=serving.tls_of(settings),
        on_drain=app.state.readiness.drain,
    )


def _compare_migrations(settings: Settings) -> None:
    """Refuse to start on a database that lacks what this version needs.

    One that cannot be reached now is none to refuse: a query API that answers 503 is better than none.

    Raises:
        migrations.NotMigrated, migrations.ChangedMigration: see `migrating.require`.
    """
    try:
        migrating.require(addresses.database_url(settings))
    except psycopg.OperationalError as error:
        log.warning("migrations_not_compared", reason=str(error).strip())


def _with_addresses(settings: Settings) -> Settings:
    """Settings in which the servers of the `up` in the same home are filled in where the environment has none."""
    found = addresses.resolve(settings)
    urls = {"database_url": found.database_url, "redis_url": found.redis_url}
    filled = {name: SecretStr(url) for name, url in urls.items() if url is not None}
    return settings.model_copy(update=filled)
