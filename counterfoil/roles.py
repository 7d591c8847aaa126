"""The role processes: each reads its settings, opens what it needs and runs until SIGTERM.

A role imports only what it runs, so that each process starts fast and stays small.
"""

from concurrent.futures import ThreadPoolExecutor

import psycopg
import structlog
from pydantic import SecretStr

from counterfoil import addresses, declared, hosting, migrating
from runtime import telemetry
from runtime.settings import Settings

log = structlog.get_logger()


def command_api(settings: Settings) -> None:
    """Serve the command API until SIGTERM."""
    from counterfoil import applications, serving

    telemetry.configure_logging(settings.log_level, process="command-api")
    _compare_migrations(settings)
    app = applications.command_app(_with_addresses(settings))
    serving.serve(
        app,
        host=settings.command_api_host,
        port=settings.command_api_port,
        drain_s=settings.drain_s,
        on_drain=app.state.readiness.drain,
    )


def query_api(settings: Settings) -> None:
    """Serve the query API until SIGTERM."""
    from counterfoil import applications, serving

    telemetry.configure_logging(settings.log_level, process="query-api")
    _compare_migrations(settings)
    app = applications.query_app(_with_addresses(settings))
    serving.serve(
        app,
        host=settings.query_api_host,
        port=settings.query_api_port,
        drain_s=settings.drain_s,
        on_drain=app.state.readiness.drain,
    )


def processes(settings: Settings) -> None:
    """Run the process managers, their timers, the senders and the declared consumers of the log until SIGTERM."""
    from commands.gateways import sending
    from commands.gateways.measures import GatewayMetrics
    from commands.processes import timers
    from commands.processes.measures import ProcessHealth
    from commands.processes.runner import run_processes
    from counterfoil.timers import delays
    from event_store.consumers import driver, tailing
    from event_store.consumers.health import Health

    telemetry.configure_logging(settings.log_level, process="processes")
    contexts = declared.contexts(settings)
    managers, registry = contexts.processes_of(settings), telemetry.new_registry()
    consumers = [
        *map(tailing.consumer, contexts.consumers),
        timers.consumer(managers, delays=delays(settings, contexts), registry=registry),
    ]
    health, consumer_health = ProcessHealth(), Health()
    if gateways := contexts.gateways_of(settings):
        metrics = GatewayMetrics(registry)
        consumers += [sending.consumer(gateway, settings, metrics=metrics) for gateway in gateways]

    def is_ready() -> bool:
        return (not managers or health.ready) and (not consumers or consumer_health.ready)

    with (
        hosting.stop_on_signals() as stop,
        telemetry.serve_health(settings.processes_health_port, registry, is_ready, host=settings.health_host),
    ):
        hosting.wait_until_migrated(settings, stop)
        with ThreadPoolExecutor(max_workers=1) as beside:
            url = addresses.database_url(settings)
            tailing_log = beside.submit(
                driver.run, consumers, database_url=url, stop=stop, registry=registry, health=consumer_health
            )
            if managers:
                run_processes(
                    url,
                    processes=managers,
                    transport=hosting.Host(settings, registry=registry).transport("counterfoil_writer"),
                    stop=stop,
                    registry=registry,
                    health=health,
                )
            tailing_log.result()


def _compare_migrations(settings: Settings) -> None:
    """Refuse to start on a database that lacks what this version needs.

    One that cannot be reached now is none to refuse: an API that answers 503 is better than none.

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
