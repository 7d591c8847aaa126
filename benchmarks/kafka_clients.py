"""What does each Kafka client take from a record's publication until a consumer has it decoded, and of the processor?

One publishing and one consuming process, the product's own publisher and subscription, a flush each 10 ms as the relay
makes them. Both clients take turns at one broker; nothing else works meanwhile.
"""

import contextlib
import multiprocessing
import resource
import secrets
import statistics
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from typing import Any, Final, get_args

from msgspec import Struct
from prometheus_client import CollectorRegistry

from benchmarks.laboratory import Laboratory
from benchmarks.measuring import Size, percentile
from benchmarks.table import Row
from event_store.transport.kafka_client import ClientName
from event_store.transport.kafka_transport import KafkaTransport
from event_store.transport.partitioning import PARTITIONS
from event_store.transport.transport import Generation, Record
from runtime import collecting, telemetry

NAME: Final = "kafka-clients"
RATES: Final = (350, 1_400)
FLUSH_EVERY_S: Final = 0.010
WARM_S: Final = 2.0
TINY_WARM_S: Final = 0.1
PAYLOAD_BYTES: Final = 250
METADATA: Final = b"%-150s" % b'{"actor":"benchmark"}'
POLL_S: Final = 0.25
RECORDED_AT: Final = datetime(2026, 1, 1, tzinfo=UTC)
JOIN_S_MAX: Final = 240.0

_forking = multiprocessing.get_context("forkserver")


class Load(Struct, frozen=True):
    """What one round is asked to do."""

    bootstrap: str
    client: ClientName
    generation: Generation
    rate: int
    seconds: float
    warm_s: float


class Found(Struct, frozen=True):
    """What one round found: times in milliseconds, cores as processor time over time."""

    flush_p50: float
    carried_p50: float
    carried_p99: float
    producer_cores: float
    consumer_cores: float


def rows(laboratory: Laboratory) -> Iterator[Row]:
    """For each rate: when half and 99 % of the records have come, and what both processes use."""
    bootstrap = laboratory.kafka()
    clients: tuple[ClientName, ...] = get_args(ClientName)
    for rate in RATES[:1] if laboratory.size.tiny else RATES:
        found: dict[ClientName, list[Found]] = {client: [] for client in clients}
        for _ in range(laboratory.size.rounds):
            for client in clients:
                found[client].append(_round(bootstrap, client, rate=rate, size=laboratory.size))
        yield from _shown(found, rate)


def _shown(found: dict[ClientName, list[Found]], rate: int) -> Iterator[Row]:
    units = {
        "flush_p50": ("one flush, p50", "ms"),
        "carried_p50": ("published to decoded, p50", "ms"),
        "carried_p99": ("published to decoded, p99", "ms"),
        "producer_cores": ("publishing process", "cores"),
        "consumer_cores": ("consuming process", "cores"),
    }
    for figure, (what, unit) in units.items():
        middle = {
            client: statistics.median(getattr(each, figure) for each in rounds)
            for client, rounds in found.items()
        }
        yield Row(
            name=NAME,
            case=f"{rate} records/s, {what}",
            unit=unit,
            ours=middle["confluent-kafka"],
            peer=middle["kafka-python"],
            peer_name="kafka-python",
            note="ours: confluent-kafka",
        )


def _round(bootstrap: str, client: ClientName, *, rate: int, size: Size) -> Found:
    generation = Generation(
        installation=secrets.token_hex(8),
        generation=1,
        partitions=PARTITIONS,
        start_position=1,
        carrier="kafka",
    )
    load = Load(bootstrap, client, generation, rate, size.seconds, TINY_WARM_S if size.tiny else WARM_S)
    with _running(_consume, load) as consumed, _running(_produce, load) as produced:
        assert consumed.poll(JOIN_S_MAX), "the consumer has its partitions"
        consumed.recv()
        produced.send("begin")
        flushes, producer_cores, count = produced.recv()
        consumed.send(count)
        carried, consumer_cores = consumed.recv()
    return Found(
        flush_p50=percentile(sorted(flushes), 0.5) * 1000,
        carried_p50=percentile(sorted(carried), 0.5) * 1000,
        carried_p99=percentile(sorted(carried), 0.99) * 1000,
        producer_cores=producer_cores,
        consumer_cores=consumer_cores,
    )


@contextlib.contextmanager
def _running(work: Callable[..., Any], load: Load) -> Iterator[Connection]:
    ours, theirs = _forking.Pipe()
    process = _forking.Process(target=work, args=(theirs, load))
    process.start()
    try:
        yield ours
        process.join(JOIN_S_MAX)
    finally:
        process.kill()
        process.join()
        process.close()


def _transport(load: Load) -> KafkaTransport:
    telemetry.configure_logging("error", process="benchmark")
    collecting.collect_seldom()
    return KafkaTransport(load.bootstrap, registry=CollectorRegistry(), client=load.client)


class _Cores:
    """Processor time of this process over the time since it was made."""

    def __init__(self) -> None:
        self._began, self._used = time.monotonic(), _processor_s()

    def so_far(self) -> float:
        return (_processor_s() - self._used) / (time.monotonic() - self._began)


def _processor_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _produce(asked: Connection, load: Load) -> None:
    publisher = _transport(load).publisher(load.generation)
    last = dict.fromkeys(range(PARTITIONS), 0)
    position, flushes, cores = 0, list[float](), _Cores()
    asked.recv()
    began = time.monotonic()
    warm = True
    # At least one flush is timed, however long the first one takes on a busy machine.
    while (now := time.monotonic()) < began + load.warm_s + load.seconds or not flushes:
        if warm and now > began + load.warm_s:
            warm, cores = False, _Cores()
        due = int((now - began) * load.rate)
        records = []
        while position < due:
            position += 1
            source = position * 7 % PARTITIONS
            records.append(_record(position, source, prev=last[source], counted=not warm))
            last[source] = position
        if records:
            publisher.publish(records)
            if not warm:
                flushes.append(time.monotonic() - now)
        time.sleep(max(0.0, now + FLUSH_EVERY_S - time.monotonic()))
    asked.send((flushes, cores.so_far(), position))
    publisher.close()


def _record(position: int, source: int, *, prev: int, counted: bool) -> Record:
    payload = b'{"at_ns": %20d, "padding": "%s"}' % (
        time.monotonic_ns() if counted else 0,
        secrets.token_hex((PAYLOAD_BYTES - 46) // 2).encode(),
    )
    return Record(
        source, prev, position, f"order-{position % 500}", f"order-{position % 500}", 1, "shop.carried.v1",
        payload, METADATA, RECORDED_AT, bytes(32), 1,
    )  # fmt: skip


def _consume(asked: Connection, load: Load) -> None:
    subscription = _transport(load).subscribe("benchmark", generation=load.generation)
    owned: set[int] = set()
    while len(owned) < PARTITIONS:
        batch = subscription.poll(POLL_S)
        owned = (owned - batch.revoked) | batch.assigned
    for source in owned:
        subscription.start_at(source, position=0)
    subscription.poll(0.0)
    asked.send("joined")
    carried: list[float] = []
    cores, counted, count, expected = _Cores(), False, 0, -1
    used = 0.0
    while expected < 0 or count < expected:
        records = [each for found in subscription.poll(POLL_S).records.values() for each in found]
        arrived = time.monotonic_ns()
        count += len(records)
        times = [at for each in records if (at := int(each.payload[10:30]))]
        if times and not counted:
            counted, cores = True, _Cores()
        carried += [(arrived - at) / 1e9 for at in times]
        if expected < 0 and asked.poll(0):
            expected, used = asked.recv(), cores.so_far()
    asked.send((carried, used))
    subscription.close()
