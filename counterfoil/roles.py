"""The role processes: each reads its settings, opens what it needs and runs until SIGTERM.

A role imports only what it runs, so that each process starts fast and stays small.
"""

import contextlib
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import psycopg
import structlog
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from counterfoil import addresses, declared, migrating
from event_store.transport import Transport
from runtime import telemetry
from runtime.database import Role
from runtime.settings import Settings

UNREACHED_POLL_S: Final = 1.0
"""How often a worker that starts looks whether its database can be reached."""

KAFKA_VARIABLE: Final = "COUNTERFOIL_KAFKA_BOOTSTRAP"

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


def relay(settings: Settings) -> None:
    """Carry the log to the transport until SIGTERM."""
    from event_store import relay as relaying
    from event_store.consumers import driver
    from event_store.consumers.health import Health

    telemetry.configure_logging(settings.log_level, process="relay")
    health = Health()
    registry = telemetry.new_registry()
    with (
        _stop_on_signals() as stop,
        telemetry.serve_health(
            settings.relay_health_port, registry, lambda: health.ready, host=settings.health_host
        ),
    ):
        _wait_until_migrated(settings, stop)
        transport = _transport(settings, role="counterfoil_relay", registry=registry)
        driver.run(
            [relaying.consumer(transport, registry=registry)],
            database_url=addresses.database_url(settings),
            stop=stop,
            registry=registry,
            health=health,
        )


def projections(settings: Settings) -> None:
    """Keep the views until SIGTERM; more processes share the partitions."""
    from projections.snapshots import SnapshotThread
    from projections.worker import ProjectionHealth, run_projections
    from runtime.documents import RedisDocuments

    telemetry.configure_logging(settings.log_level, process="projections")
    contexts = declared.contexts(settings)
    health = ProjectionHealth()
    registry = telemetry.new_registry()
    redis_url = addresses.resolve(settings).redis_url
    with (
        _stop_on_signals() as stop,
        telemetry.serve_health(
            settings.projections_health_port, registry, lambda: health.ready, host=settings.health_host
        ),
        SnapshotThread(addresses.database_url(settings), aggregates=contexts.aggregates),
    ):
        _wait_until_migrated(settings, stop)
        run_projections(
            addresses.database_url(settings),
            views=contexts.views,
            transport=_transport(settings, role="counterfoil_projector", registry=registry),
            stop=stop,
            registry=registry,
            health=health,
            documents=None if redis_url is None else RedisDocuments(redis_url),
        )


def processes(settings: Settings) -> None:
    """Run the process managers, their timers and the declared consumers of the log until SIGTERM."""
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

    def is_ready() -> bool:
        return (not managers or health.ready) and (not consumers or consumer_health.ready)

    with (
        _stop_on_signals() as stop,
        telemetry.serve_health(settings.processes_health_port, registry, is_ready, host=settings.health_host),
    ):
        _wait_until_migrated(settings, stop)
        with ThreadPoolExecutor(max_workers=1) as beside:
            url = addresses.database_url(settings)
            tailing_log = beside.submit(
                driver.run, consumers, database_url=url, stop=stop, registry=registry, health=consumer_health
            )
            if managers:
                run_processes(
                    url,
                    processes=managers,
                    transport=_transport(settings, role="counterfoil_writer", registry=registry),
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


def _wait_until_migrated(settings: Settings, stop: threading.Event) -> None:
    """The same for a worker, which can do nothing without its database: it waits until there is one.

    Raises:
        migrations.NotMigrated, migrations.ChangedMigration: see `migrating.require`.
    """
    while not stop.is_set():
        try:
            migrating.require(addresses.database_url(settings))
        except psycopg.OperationalError as error:
            log.warning("database_not_reached", reason=str(error).strip())
            stop.wait(UNREACHED_POLL_S)
        else:
            return


@contextlib.contextmanager
def _stop_on_signals() -> Iterator[threading.Event]:
    """An event that SIGTERM and SIGINT set; workers look at it between two batches."""
    stop = threading.Event()
    handled = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in handled}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _transport(settings: Settings, *, role: Role, registry: CollectorRegistry) -> Transport:
    if settings.transport == "kafka":
        from event_store.kafka_transport import KafkaTransport

        bootstrap = addresses.resolve(settings).kafka_bootstrap
        if bootstrap is None:
            raise addresses.NoAddress("Kafka", variable=KAFKA_VARIABLE, home=settings.home)
        security = addresses.kafka_security(settings)
        return KafkaTransport(bootstrap, registry=registry, security=security)
    from event_store.local_transport import LocalTransport

    return LocalTransport(addresses.database_url(settings), role=role)


def _with_addresses(settings: Settings) -> Settings:
    """Settings in which the servers of the `up` in the same home are filled in where the environment has none."""
    found = addresses.resolve(settings)
    urls = {"database_url": found.database_url, "redis_url": found.redis_url}
    filled = {name: SecretStr(url) for name, url in urls.items() if url is not None}
    return settings.model_copy(update=filled)
