"""The topic of a generation: its name, and creating it explicitly, as often as it is found missing."""

from typing import Any, Final

import structlog
from kafka import KafkaAdminClient, TopicPartition
from kafka.errors import KafkaError, TopicAlreadyExistsError
from prometheus_client import Counter

from event_store.transport import kafka_clients
from event_store.transport.transport import Generation, Partition, TransportUnavailable

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


class Topic:
    """What a generation's topic is called."""

    def __init__(self, generation: Generation) -> None:
        self.generation = generation
        self.name = f"{prefix(generation)}.events.g{generation.generation}"

    def topic_partition(self, partition: Partition) -> TopicPartition:
        """Return a partition in Kafka's terms."""
        return TopicPartition(self.name, partition)


def ensure_topic(topic: Topic, *, connection: dict[str, Any], created: Counter) -> None:
    """Create a generation's topic if it is missing and wait until every partition has a leader.

    `created` counts topics that had to be created: more than one a generation means that somebody deletes them.

    Raises:
        TransportUnavailable: no broker answers, or the topic exists with another number of partitions.
    """
    try:
        admin = kafka_clients.connect(KafkaAdminClient, **connection, request_timeout_ms=REQUEST_TIMEOUT_MS)
        try:
            if topic.name not in admin.list_topics():
                _create(admin, topic, created)
            admin.wait_for_topics([topic.name], timeout_ms=REQUEST_TIMEOUT_MS)
            _check_count(admin, topic)
        finally:
            admin.close()
    except KafkaError as error:
        raise TransportUnavailable(f"topic {topic.name} cannot be looked at: {error!r}") from error


def _create(admin: KafkaAdminClient, topic: Topic, created: Counter) -> None:
    count = topic.generation.partitions
    try:
        admin.create_topics({topic.name: {"num_partitions": count, "configs": _CONFIGS}})
    except TopicAlreadyExistsError:
        return  # another process was faster
    created.inc()
    log.info("topic_created", topic=topic.name, partitions=count)


def _check_count(admin: KafkaAdminClient, topic: Topic) -> None:
    (described,) = admin.describe_topics([topic.name])
    wanted, found = topic.generation.partitions, len(described["partitions"])
    if wanted != found:
        raise TransportUnavailable(f"topic {topic.name} has {found} partitions, not {wanted}: delete it")
