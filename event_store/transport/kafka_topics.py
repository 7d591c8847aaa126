"""The topic of a generation: its name, and creating it explicitly, as often as it is found missing."""

from typing import Final

import structlog
from prometheus_client import Counter

from event_store.transport.kafka_client import MESSAGE_BYTES_MAX, KafkaClient
from event_store.transport.transport import Generation, TransportUnavailable

RETENTION_MS: Final = 7 * 24 * 60 * 60 * 1000
"""How long Kafka keeps records: consumers that come later read the log."""

_CONFIGS: Final = {
    "cleanup.policy": "delete",
    "retention.ms": str(RETENTION_MS),
    "max.message.bytes": str(MESSAGE_BYTES_MAX),
}

log = structlog.get_logger()


def prefix(generation: Generation) -> str:
    """What the names of an installation's topics and consumer groups begin with, and those of no other."""
    return installation_prefix(generation.installation)


def installation_prefix(installation: str) -> str:
    """The same, where only the id of the installation is known."""
    return f"counterfoil.{installation}"


class Topic:
    """The name of a generation's topic."""

    def __init__(self, generation: Generation) -> None:
        self.generation = generation
        self.name = f"{prefix(generation)}.events.g{generation.generation}"


def ensure_topic(topic: Topic, *, client: KafkaClient, created: Counter) -> None:
    """Create a generation's topic if it is missing.

    `created` counts topics that had to be created: more than one a generation means that somebody deletes them.

    Raises:
        TransportUnavailable: no broker answers, or the topic exists with another number of partitions.
    """
    wanted = topic.generation.partitions
    ensured = client.ensure_topic(topic.name, partitions=wanted, configs=_CONFIGS)
    if ensured.created:
        created.inc()
        log.info("topic_created", topic=topic.name, partitions=wanted)
    if ensured.partitions != wanted:
        raise TransportUnavailable(
            f"topic {topic.name} has {ensured.partitions} partitions, not {wanted}: delete it"
        )
