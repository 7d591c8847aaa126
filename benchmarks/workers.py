"""The product's workers, each in a process of its own, for as long as a block runs."""

import contextlib
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.context import ForkServerProcess
from typing import TYPE_CHECKING, Any, Final, cast

from prometheus_client import CollectorRegistry

from commands.processes import runner
from commands.processes.metrics import ProcessMetrics
from counterfoil.contexts import CONTEXTS
from event_store.consumers import checkpoints, driver
from event_store.transport import generations
from event_store.transport import relay as relaying
from event_store.transport.following import FollowerMetrics
from event_store.transport.kafka_client import ClientName
from event_store.transport.kafka_transport import KafkaTransport
from event_store.transport.local_transport import LocalTransport
from event_store.transport.partitioning import PARTITIONS
from event_store.transport.transport import Carrier, Transport
from projections import consumers
from projections.metrics import ProjectionMetrics
from runtime import collecting, database, telemetry
from runtime.documents import RedisDocuments
from runtime.settings import Settings

if TYPE_CHECKING:
    import threading

STOP_S_MAX: Final = 15.0
LOG_LEVEL: Final = "error"

_forking = multiprocessing.get_context("forkserver")


@contextlib.contextmanager
def processes(url: str) -> Iterator[int]:
    """The process managers; the operating system's process id."""
    with _running(_run_processes, url) as pid:
        yield pid


@contextlib.contextmanager
def relay(url: str, *, bootstrap: str, client: ClientName = "kafka-python") -> Iterator[int]:
    """The relay to Kafka through a client; the process id."""
    with _running(_run_relay, url, bootstrap, client) as pid:
        yield pid


@contextlib.contextmanager
def projections(url: str, *, views: Sequence[str], redis_url: str | None = None) -> Iterator[int]:
    """A projection worker for some views over the local transport; the process id."""
    with _running(_run_projections, url, tuple(views), redis_url) as pid:
        yield pid


def register(url: str) -> None:
    """Note where the process managers begin, as the command API does when it starts."""
    with database.connect(url, role="counterfoil_writer", name="benchmark register") as connection:
        for process in CONTEXTS.processes_of(Settings()):
            checkpoints.register(connection, process.name, start=process.start, kind="process")


def settle(url: str, *, carrier: Carrier = "local") -> None:
    """Say what carries the log, as the relay would."""
    with database.connect(url, role="counterfoil_relay", name="benchmark settle") as connection:
        generations.settle(connection, carrier=carrier, partitions=PARTITIONS)


@contextlib.contextmanager
def _running(work: Callable[..., None], *given: Any) -> Iterator[int]:
    stop = _forking.Event()
    process: ForkServerProcess = _forking.Process(target=work, args=(stop, *given))
    process.start()
    try:
        assert process.pid is not None
        yield process.pid
    finally:
        stop.set()
        process.join(STOP_S_MAX)
        process.kill()
        process.join()
        process.close()


def _as_the_command(process: str) -> None:
    """Set up a process as the command does for each of its roles."""
    telemetry.configure_logging(LOG_LEVEL, process=process)
    collecting.collect_seldom()


def _run_processes(stop: "threading.Event", url: str) -> None:
    _as_the_command("processes")
    registry = CollectorRegistry()
    deciding = runner.consumers(CONTEXTS.processes_of(Settings()), metrics=ProcessMetrics(registry))
    driver.run(deciding, database_url=url, stop=stop, registry=registry)


def _run_relay(stop: "threading.Event", url: str, bootstrap: str, client: ClientName) -> None:
    _as_the_command("relay")
    registry = CollectorRegistry()
    transport = cast("Transport", KafkaTransport(bootstrap, registry=registry, client=client))
    carrier = relaying.consumer(transport, registry=registry)
    driver.run([carrier], database_url=url, stop=stop, registry=registry)


def _run_projections(
    stop: "threading.Event", url: str, views: tuple[str, ...], redis_url: str | None
) -> None:
    _as_the_command("projections")
    registry = CollectorRegistry()
    shown = consumers.consumers(
        [view for view in CONTEXTS.views if view.name in views],
        transport=LocalTransport(url),
        metrics=ProjectionMetrics(registry),
        followed=FollowerMetrics(registry),
        documents=None if redis_url is None else RedisDocuments(redis_url),
    )
    driver.run(shown, database_url=url, stop=stop, registry=registry)
