"""Topics of a generation: their names, and creating them explicitly, as often as they are found missing."""

from typing import Any, Final

import structlog
from kafka import KafkaAdminClient, TopicPartition
from kafka.errors import KafkaError, TopicAlreadyExistsError
from prometheus_client import Counter

from event_store import kafka_clients
from event_store.transport import (
    EVENTS,
    ORDERED,
    Channel,
    ChannelPartition,
    Generation,
    TransportUnavailable,
)

RETENTION_MS: Final = 7 * 24 * 60 * 60 * 1000
"""How long Kafka keeps records: consumers that come later read the log."""
MESSAGE_BYTES_MAX: Final = 8 * 1024 * 1024
"""Largest batch of records; an event is at most the 4 MiB of its request, and a little more in transit."""
REQUEST_TIMEOUT_MS: Final = 5_000

_CONFIGS: Final = {
    "cleanup.policy": "delete",
    "retention.ms": str(RETENTION_MS),
    "max.message.bytes": str(MESSAGE_BYTES_MAX),
}

log = structlog.get_logger()


def prefix(generation: Generation) -> str:
    """What the names of an installation's topics and consumer groups begin with, and those of no other."""
    return f"counterfoil.{generation.installation}"


class Topics:
    """Names of one generation's topics."""

    def __init__(self, generation: Generation) -> None:
        self.generation = generation
        self._names: dict[Channel, str] = {
            channel: f"{prefix(generation)}.{channel}.g{generation.generation}"
            for channel in (EVENTS, ORDERED)
        }
        self._channels = {name: channel for channel, name in self._names.items()}

    def name(self, channel: Channel) -> str:
        """Return the topic of a channel."""
        return self._names[channel]

    def topic_partition(self, source: ChannelPartition) -> TopicPartition:
        """Return a partition in Kafka's terms."""
        return TopicPartition(self._names[source[0]], source[1])

    def source(self, topic_partition: TopicPartition) -> ChannelPartition:
        """Return a partition in ours."""
        return self._channels[topic_partition.topic], topic_partition.partition

    @property
    def partition_counts(self) -> dict[str, int]:
        """Number of partitions by topic name."""
        return {self._names[EVENTS]: self.generation.partitions, self._names[ORDERED]: 1}


def ensure_topics(topics: Topics, *, connection: dict[str, Any], created: Counter) -> None:
    """Create what is missing of a generation's topics and wait until every partition has a leader.

    `created` counts topics that had to be created: more than twice a generation means that somebody deletes
    them.

    Raises:
        TransportUnavailable: no broker answers, or a topic exists with another number of partitions.
    """
    try:
        admin = kafka_clients.connect(KafkaAdminClient, **connection, request_timeout_ms=REQUEST_TIMEOUT_MS)
        try:
            _create_missing(admin, topics, created)
            admin.wait_for_topics(list(topics.partition_counts), timeout_ms=REQUEST_TIMEOUT_MS)
            _check_counts(admin, topics)
        finally:
            admin.close()
    except KafkaError as error:
        raise TransportUnavailable(f"topics cannot be looked at: {error!r}") from error


def _create_missing(admin: KafkaAdminClient, topics: Topics, created: Counter) -> None:
    existing = set(admin.list_topics())
    for name, count in topics.partition_counts.items():
        if name in existing:
            continue
        try:
            admin.create_topics({name: {"num_partitions": count, "configs": _CONFIGS}})
        except TopicAlreadyExistsError:
            continue  # another process was faster
        created.inc()
        log.info("topic_created", topic=name, partitions=count)


def _check_counts(admin: KafkaAdminClient, topics: Topics) -> None:
    described = admin.describe_topics(list(topics.partition_counts))
    for topic in described:
        wanted, found = topics.partition_counts[topic["name"]], len(topic["partitions"])
        if wanted != found:
            raise TransportUnavailable(
                f"topic {topic['name']} has {found} partitions, not {wanted}: delete it"
            )
