"""Processes that host consumers: each reads its settings, opens what its consumers need and runs them until SIGTERM.

A part is what one command hosts. Each imports only what it runs, so that a process starts fast and stays small.
"""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Final

from prometheus_client import CollectorRegistry

from counterfoil import addresses, migrating
from event_store.consumers import driver
from event_store.consumers.driver import Consumer
from event_store.consumers.health import Health
from event_store.consumers.hearing import hearing
from event_store.consumers.news import News
from event_store.transport.following import FollowerMetrics
from event_store.transport.transport import Transport
from runtime import huge_pages, production, telemetry
from runtime.database import Role
from runtime.settings import PREFIX, Settings, SettingsError
from runtime.signals import stop_on_signals

KAFKA_VARIABLE: Final = "COUNTERFOIL_KAFKA_BOOTSTRAP"


class Host:
    """What the parts of one process share: settings, metrics, and one client of Kafka."""

    def __init__(self, settings: Settings, *, registry: CollectorRegistry) -> None:
        """Nothing is opened yet."""
        self.settings = settings
        self.registry = registry
        self.news = News()

    @cached_property
    def followed(self) -> FollowerMetrics:
        """Where faults of the transport are counted."""
        return FollowerMetrics(self.registry)

    def transport(self, role: Role) -> Transport:
        """What carries events, for a part whose sessions take this role."""
        if self.settings.transport == "kafka":
            return self._kafka
        from event_store.transport.local_transport import LocalTransport

        return LocalTransport(addresses.database_url(self.settings), role=role, news=self.news)

    @cached_property
    def _kafka(self) -> Transport:
        from event_store.transport.kafka_transport import KafkaTransport

        bootstrap = addresses.resolve(self.settings).kafka_bootstrap
        if bootstrap is None:
            raise addresses.NoAddress("Kafka", variable=KAFKA_VARIABLE, home=self.settings.home)
        security = addresses.kafka_security(self.settings)
        client = self.settings.kafka_client
        return KafkaTransport(bootstrap, registry=self.registry, client=client, security=security)


Part = Callable[[Host], Sequence[Consumer]]


def relay(settings: Settings) -> None:
    """Carry the log to the transport until SIGTERM."""
    _host(settings, "relay", port=settings.relay_health_port, parts=[_relay])


def projections(settings: Settings) -> None:
    """Keep the views until SIGTERM; more processes share the partitions."""
    _host(settings, "projections", port=settings.projections_health_port, parts=[_projections])


def processes(settings: Settings) -> None:
    """Run the process managers, their timers, the senders and the declared consumers of the log until SIGTERM."""
    _host(settings, "processes", port=settings.processes_health_port, parts=[_processes])


def sealer(settings: Settings) -> None:
    """Seal the log until SIGTERM.

    Raises:
        SettingsError: no key is set.
        KeyFileError: the key cannot be used.
    """
    if settings.seal_key is None:
        raise SettingsError(
            f"{PREFIX}SEAL_KEY: set it to the file of the key that seals; `counterfoil seal-key generate` makes one"
        )
    _host(settings, "sealer", port=settings.sealer_health_port, parts=[_sealer])


def consumers(settings: Settings) -> None:
    """Run everything that reads the log in one process, until SIGTERM."""
    parts = [_relay, _projections, _processes, _sealer]
    _host(settings, "consumers", port=settings.consumers_health_port, parts=parts)


def _relay(host: Host) -> list[Consumer]:
    from event_store.transport import relay

    return [relay.consumer(host.transport("counterfoil_relay"), registry=host.registry)]


def _projections(host: Host) -> list[Consumer]:
    from counterfoil import declared
    from projections import acts
    from projections import consumers as views
    from projections.metrics import ProjectionMetrics
    from runtime.documents import RedisDocuments

    contexts = declared.contexts(host.settings)
    redis_url = addresses.resolve(host.settings).redis_url
    documents = None if redis_url is None else RedisDocuments(redis_url)
    kept = views.consumers(
        contexts.views,
        transport=host.transport("counterfoil_projector"),
        metrics=ProjectionMetrics(host.registry, measures=contexts.measures),
        followed=host.followed,
        documents=documents,
        aggregates=contexts.aggregates,
    )
    return [*kept, acts.consumer(contexts.views, documents=documents)]


def _processes(host: Host) -> list[Consumer]:
    from commands import security
    from commands.gateways import sending
    from commands.gateways.metrics import GatewayMetrics
    from commands.processes import runner, timers
    from commands.processes.metrics import ProcessMetrics
    from counterfoil import declared
    from counterfoil.timers import delays
    from event_store.consumers import tailing

    settings, contexts = host.settings, declared.contexts(host.settings)
    managers = contexts.processes_of(settings)
    hosted = runner.consumers(managers, metrics=ProcessMetrics(host.registry))
    hosted += map(tailing.consumer, contexts.consumers)
    hosted.append(timers.consumer(managers, delays=delays(settings, contexts), registry=host.registry))
    hosted.append(security.consumer())
    if gateways := contexts.gateways_of(settings):
        metrics = GatewayMetrics(host.registry)
        hosted += [sending.consumer(gateway, settings, metrics=metrics) for gateway in gateways]
    return hosted


def _sealer(host: Host) -> list[Consumer]:
    if host.settings.seal_key is None:
        return []
    from counterfoil import sealing
    from event_store.proofs import auditor, key_file, sealer
    from event_store.proofs.tiles import Directory

    tiles = Directory(host.settings.tiles)
    how = sealer.Sealing(
        key_file.RereadKeys(host.settings.seal_key),
        tiles,
        witnesses=sealing.witnesses_of(host.settings),
        required=host.settings.require_witness,
    )
    return [
        sealer.consumer(how, registry=host.registry),
        auditor.consumer(tiles, registry=host.registry),
    ]


def _host(settings: Settings, process: str, *, port: int, parts: Sequence[Part]) -> None:
    """Run the consumers of these parts until SIGTERM, with one port for probes and metrics."""
    production.require(settings)
    telemetry.configure_logging(settings.log_level, process=process)
    huge_pages.keep_asking()
    health, registry = Health(), telemetry.new_registry()
    host = Host(settings, registry=registry)
    hosted = [consumer for part in parts for consumer in part(host)]
    with (
        stop_on_signals() as stop,
        telemetry.serve_health(
            port, registry, lambda: health.ready, host=settings.health_host, lines=health.lines
        ),
    ):
        migrating.wait_until_migrated(settings, stop)
        url = addresses.database_url(settings)
        with hearing(url, host.news):
            driver.run(hosted, database_url=url, stop=stop, registry=registry, health=health, news=host.news)
