"""The Kafka transport: an idempotent producer for the relay, consumer groups for everybody else.

Kafka is taken as a lossy, duplicating transport: the log repairs what it loses (`following`), and nothing
here needs its transactions. Topics are named by installation and generation and created explicitly, so several
installations can share a cluster. Which client library speaks to the brokers is a setting.
"""

from collections.abc import Sequence

import structlog
from prometheus_client import CollectorRegistry, Counter

from event_store.transport.kafka_client import ClientName, Fetched, KafkaClient
from event_store.transport.kafka_security import PLAIN, Security
from event_store.transport.kafka_subscription import KafkaSubscription
from event_store.transport.kafka_topics import Topic, ensure_topic, prefix
from event_store.transport.record_format import decode_record, encode_record, source_of
from event_store.transport.transport import Carrier, Generation, MalformedRecord, Partition, Record

log = structlog.get_logger()


class KafkaMetrics:
    """Rebalances at the broker."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.topics_created = Counter(
            "counterfoil_transport_topics_created", "Topics found missing and created", registry=registry
        )
        self.malformed = Counter(
            "counterfoil_transport_malformed", "Messages no relay wrote, dropped", registry=registry
        )


def client_of(name: ClientName, bootstrap: str, *, security: Security = PLAIN) -> KafkaClient:
    """A client library by name; the other one is not loaded.

    Raises:
        TransportUnavailable: the file of authorities cannot be read or holds none.
    """
    servers = [address.strip() for address in bootstrap.split(",")]
    if name == "confluent-kafka":
        from event_store.transport.confluent_client import ConfluentClient

        return ConfluentClient(servers, security=security)
    from event_store.transport.kafka_python_client import KafkaPythonClient

    return KafkaPythonClient(servers, security=security)


class KafkaTransport:
    """Carries events through Kafka topics.

    Args:
        bootstrap: `host:port`, several separated by commas.
        registry: where metrics go.
        client: the client library.
        security: encryption and login.
        group_instance_id: names a consumer that keeps its partitions across a quick restart; None for none.
    """

    carrier: Carrier = "kafka"

    def __init__(
        self,
        bootstrap: str,
        *,
        registry: CollectorRegistry,
        client: ClientName = "kafka-python",
        security: Security = PLAIN,
        group_instance_id: str | None = None,
    ) -> None:
        self._client = client_of(client, bootstrap, security=security)
        self._group_instance_id = group_instance_id
        self._metrics = KafkaMetrics(registry)

    def publisher(self, generation: Generation) -> "KafkaPublisher":
        """Open an idempotent producer on a generation's topic, creating it where it is missing."""
        return KafkaPublisher(self._ensured(generation), client=self._client)

    def subscribe(self, group: str, *, generation: Generation) -> KafkaSubscription:
        """Join a consumer group; its name carries installation and generation, so members of two never meet."""
        topic = self._ensured(generation)
        member = self._client.join(
            topic.name,
            group=f"{prefix(generation)}.{group}.g{generation.generation}",
            instance_id=self._group_instance_id,
        )
        return KafkaSubscription(member, malformed=self._metrics.malformed)

    def _ensured(self, generation: Generation) -> Topic:
        topic = Topic(generation)
        ensure_topic(topic, client=self._client, created=self._metrics.topics_created)
        return topic


class KafkaPublisher:
    """Publishes through an idempotent producer. To be thrown away after any failure."""

    def __init__(self, topic: Topic, *, client: KafkaClient) -> None:
        self._topic = topic
        self._source = source_of(topic.generation.installation)
        self._client = client
        self._producer = client.producer()

    def publish(self, records: Sequence[Record]) -> None:
        """Send all records in one flush; return when every one is acknowledged."""
        source = self._source
        messages = ((record.partition, encode_record(record, source=source)) for record in records)
        self._producer.send(self._topic.name, messages)

    def last_records(self) -> dict[Partition, Record]:
        """Read the newest record of every partition that holds one."""
        newest = self._client.newest(self._topic.name, partitions=self._topic.generation.partitions)
        found = {}
        for partition, message in newest.items():
            record = _decoded(partition, message)
            if record is not None:
                found[partition] = record
        return found

    def close(self) -> None:
        """Abandon what is not acknowledged and end the producer's threads."""
        self._producer.close()


def _decoded(partition: Partition, message: Fetched) -> Record | None:
    try:
        return decode_record(message.headers, key=message.key, value=message.value, partition=partition)
    except MalformedRecord as error:
        log.warning("newest_message_is_foreign", partition=partition, reason=str(error))
        return None
