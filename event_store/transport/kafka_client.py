"""The transport's interface to a Kafka client library, and the limits that each adapter passes on.

There are two adapters: `kafka_python_client` and `confluent_client`. All that is not the client itself (records,
topic names, hints, what a failure means) is the transport's, and exists once.
"""

import socket
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal, NamedTuple, Protocol

import msgspec

from event_store.transport.record_format import Message
from event_store.transport.transport import Partition, TransportUnavailable

ClientName = Literal["kafka-python", "confluent-kafka"]

BOOTSTRAP_TIMEOUT_MS: Final = 3_000
KNOCK_TIMEOUT_S: Final = 2.0
RECONNECT_BACKOFF_MAX_MS: Final = 1_000
REQUEST_TIMEOUT_MS: Final = 5_000
DELIVERY_TIMEOUT_MS: Final = 7_000
"""After this a record counts as failed: a stopping relay must be gone within ten seconds."""
LINGER_MS: Final = 1_000
"""Nothing waits for it, since every round is flushed: without it a round is sent in many small batches."""
BATCH_BYTES: Final = 512 * 1024
MESSAGE_BYTES_MAX: Final = 8 * 1024 * 1024
"""Largest batch of records; an event is at most the 4 MiB of its request, and a little more in transit."""
NEWEST_TIMEOUT_S: Final = 10.0
FETCH_WAIT_MS: Final = 500
"""How long the broker keeps a fetch that finds nothing; what arrives meanwhile is answered at once."""
METADATA_AGE_MS: Final = 5_000
"""How long a deleted and recreated topic may go unnoticed."""
SESSION_TIMEOUT_MS: Final = 10_000
HEARTBEAT_INTERVAL_MS: Final = 2_000
POLL_INTERVAL_MAX_MS: Final = 60_000
"""How long a member may be busy with what it polled before its partitions go to another."""
CLOSE_TIMEOUT_S: Final = 5.0


class Fetched(Protocol):
    """One message as the broker stores it."""

    @property
    def offset(self) -> int:
        """Its place in the partition."""

    @property
    def key(self) -> bytes | None:
        """The partition key; None where no relay wrote it."""

    @property
    def value(self) -> bytes | None:
        """The payload; None where no relay wrote it."""

    @property
    def headers(self) -> Sequence[tuple[str, bytes]]:
        """In the order they were written in."""


class Ensured(NamedTuple):
    """A topic that exists: whether it had to be created, and its number of partitions."""

    created: bool
    partitions: int


class LogDirectory(NamedTuple):
    """A directory of records of one broker: bytes by topic, and of its disk (None where the broker does not say)."""

    broker: int
    path: str
    topics: dict[str, int]
    total_bytes: int | None
    free_bytes: int | None


class Hint(NamedTuple):
    """A group's commit for a partition: the next offset, and a text of ours."""

    offset: int
    metadata: str


class Change(NamedTuple):
    """Partitions that a rebalance brought (`won`) or took."""

    won: bool
    partitions: frozenset[Partition]


class Polled(msgspec.Struct):
    """The result of one poll of a member: rebalances in order, and messages in the order of offsets."""

    messages: dict[Partition, Sequence[Fetched]]
    changes: list[Change]


class Producer(Protocol):
    """An idempotent producer. Not shared between threads; to be thrown away after any failure."""

    def send(self, topic: str, messages: Iterable[tuple[Partition, Message]]) -> None:
        """Send all in one flush and check every report: a returning flush is no success.

        Raises:
            PublishFailed: at least one message was not acknowledged.
        """

    def close(self) -> None:
        """Abandon what is not acknowledged and end the client's threads."""


class Member(Protocol):
    """A member of a consumer group that neither commits nor starts anywhere by itself. One thread."""

    def poll(self, timeout_s: float, *, max_messages: int) -> Polled:
        """Wait up to `timeout_s` for messages of started partitions; raise TransportUnavailable when it gave up."""

    def start(self, offsets: Mapping[Partition, int | None]) -> None:
        """Fetch these partitions from an offset on, None: the oldest; pass over those that are not ours by now."""

    def committed(self, partitions: Iterable[Partition]) -> dict[Partition, Hint]:
        """Read what the group committed; raise TransportUnavailable when that cannot be known."""

    def commit_soon(self, hints: Mapping[Partition, Hint]) -> None:
        """Commit without waiting for the answer: it is only a hint."""

    def close(self) -> None:
        """Leave the group, within CLOSE_TIMEOUT_S."""


class KafkaClient(Protocol):
    """A client library, with the addresses of one cluster.

    Each method raises TransportUnavailable when no broker answers in time.
    """

    def ensure_topic(self, name: str, *, partitions: int, configs: Mapping[str, str]) -> Ensured:
        """Create a topic if it is missing and wait until every partition has a leader."""

    def producer(self) -> Producer:
        """Connect a producer."""

    def newest(self, topic: str, *, partitions: int) -> dict[Partition, Fetched]:
        """Read the newest message of every partition that holds one."""

    def join(self, topic: str, *, group: str, instance_id: str | None) -> Member:
        """Join a consumer group of one topic."""

    def log_directories(self) -> list[LogDirectory] | None:
        """Ask all brokers what their directories hold; None when the library cannot ask."""


def knock(bootstrap_servers: Sequence[str]) -> None:
    """Find out at once that nobody listens at any of these addresses; clients go on trying for longer.

    Raises:
        TransportUnavailable: nobody does.
    """
    for address in bootstrap_servers:
        host, _, port = address.strip().rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=KNOCK_TIMEOUT_S).close()
        except OSError:
            continue
        return
    raise TransportUnavailable(f"no server listens at {','.join(bootstrap_servers)}")


def not_acknowledged(failed: int, *, of: int, reason: object) -> str:
    """The error for a flush in which some messages failed."""
    return f"{failed} of {of} records were not acknowledged: {reason}"
