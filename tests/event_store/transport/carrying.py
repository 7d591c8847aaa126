"""What tests of the transport share: events in a real log, a relay in a thread, and what a subscription brought."""

import contextlib
import secrets
import time
from collections.abc import Callable, Iterator, Sequence

import psycopg
from prometheus_client import CollectorRegistry

from event_store.consumers.health import ConsumerHealth
from event_store.log import reading
from event_store.log.appending import wire
from event_store.log.envelope import ANY, AppendRequest, Expectation, NewEvent, RecordedEvent
from event_store.transport import generations, relay
from event_store.transport.partitioning import PARTITIONS
from event_store.transport.transport import Generation, Partition, Record, Subscription, Transport
from runtime import database
from tests.consuming import hosting

COUNTED = "shop.counted.v1"
HAPPENED = "shop.happened.v1"
WAIT_S = 120.0
PAUSE_S = 0.02
"""Between two looks. Some of them are polls of a member of a group, which joins only as long as it is polled often."""


def append(
    url: str,
    count: int,
    *,
    streams: int = 20,
    epoch: int = 1,
    partition_key: str | None = None,
    padding: str = "",
) -> None:
    """Append events one by one to some streams; every third is of the first type."""
    requests = []
    for number in range(count):
        stream = f"order-{number % streams}"
        kind = COUNTED if number % 3 == 0 else HAPPENED
        payload = b'{"number": %d, "padding": "%b"}' % (number, padding.encode())
        event = NewEvent(stream, kind, payload, b'{"actor":"test"}', partition_key=partition_key)
        requests.append(
            AppendRequest(
                key=secrets.token_bytes(16),
                fingerprint=bytes(32),
                events=(event,),
                expectations=(Expectation(stream, ANY),),
            )
        )
    with database.connect(url, role="counterfoil_writer", name="test") as conn:
        wire.register(conn)
        for first in range(0, count, 256):
            batch = requests[first : first + 256]
            conn.cursor(binary=True).execute(wire.CALL, wire.arguments(batch, epoch=epoch)).fetchall()


def logged(url: str) -> list[RecordedEvent]:
    """The whole log."""
    with database.connect(url, role="counterfoil_reader", name="test") as conn:
        return list(reading.copy_log(conn))


def current(url: str) -> Generation:
    with database.connect(url, role="counterfoil_reader", name="test") as conn:
        return generations.current_generation(conn)


def published(url: str) -> generations.Published:
    with database.connect(url, role="counterfoil_reader", name="test") as conn:
        return generations.published(conn, generation=generations.current_generation(conn).generation)


def head(url: str) -> int:
    with database.connect(url, role="counterfoil_reader", name="test") as conn:
        return reading.head(conn).position


def owner(url: str) -> psycopg.Connection[tuple[object, ...]]:
    return database.connect(url, role="counterfoil_owner", name="test")


def wait_until(condition: Callable[[], bool], *, what: str, timeout_s: float = WAIT_S) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout_s} s for: {what}"
        time.sleep(PAUSE_S)


@contextlib.contextmanager
def relaying(
    url: str,
    transport: Transport,
    *,
    registry: CollectorRegistry | None = None,
    settled: bool = True,
    partitions: int = PARTITIONS,
) -> Iterator[ConsumerHealth]:
    """A relay of this product in a thread, from the moment it is active until the end of the block."""
    registry = registry or CollectorRegistry()
    carrier = relay.consumer(transport, registry=registry, partitions=partitions)
    with hosting(url, [carrier], registry=registry) as hosted:
        if settled:
            wait_until(lambda: hosted["relay"].condition == "active", what="an active relay")
        yield hosted["relay"]


def wait_published(url: str) -> None:
    wait_until(lambda: published(url).position == head(url), what="everything is published")


Brought = dict[Partition, list[Record]]


def wait_assigned(subscription: Subscription, *, count: int, timeout_s: float = 0.1) -> set[Partition]:
    """Poll until this member owns so many partitions."""
    owned: set[Partition] = set()

    def poll() -> bool:
        batch = subscription.poll(timeout_s)
        owned.difference_update(batch.revoked)
        owned.update(batch.assigned)
        return len(owned) == count

    wait_until(poll, what=f"{count} partitions")
    return owned


def bring(
    subscription: Subscription, *, until: Callable[[Brought], bool], into: Brought | None = None
) -> Brought:
    """Poll until enough was brought."""
    brought: Brought = {} if into is None else into

    def poll() -> bool:
        for source, records in subscription.poll(0.1).records.items():
            brought.setdefault(source, []).extend(records)
        return until(brought)

    wait_until(poll, what="records")
    return brought


def positions(records: Sequence[Record]) -> list[int]:
    return [record.position for record in records]


def total(brought: Brought) -> int:
    """Number of different records."""
    return sum(len(set(positions(records))) for records in brought.values())
