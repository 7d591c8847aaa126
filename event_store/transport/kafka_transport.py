"""The Kafka transport: an idempotent producer for the relay, consumer groups for everybody else.

Kafka is taken as a lossy, duplicating transport: the log repairs what it loses (`following`), and nothing
here needs its transactions. Topics are named by installation and generation and created explicitly, so several
installations can share a cluster.
"""

import contextlib
import time
from collections.abc import Sequence
from typing import Any, Final

import structlog
from kafka import KafkaConsumer, KafkaProducer
from kafka.errors import KafkaError
from prometheus_client import CollectorRegistry, Counter

from event_store.transport import kafka_clients
from event_store.transport.kafka_security import PLAIN, Security
from event_store.transport.kafka_subscription import KafkaSubscription, new_consumer
from event_store.transport.kafka_topics import (
    MESSAGE_BYTES_MAX,
    REQUEST_TIMEOUT_MS,
    Topic,
    ensure_topic,
    prefix,
)
from event_store.transport.record_format import decode_record, encode_record, source_of
from event_store.transport.transport import (
    Carrier,
    Generation,
    MalformedRecord,
    Partition,
    PublishFailed,
    Record,
    TransportUnavailable,
)

DELIVERY_TIMEOUT_MS: Final = 7_000
"""After this a record counts as failed: a stopping relay must be gone within ten seconds."""
LINGER_MS: Final = 1_000
"""Nothing waits for it, since every round is flushed: without it a round is sent in many small batches."""
BATCH_BYTES: Final = 512 * 1024
CLOSE_TIMEOUT_S: Final = 1.0
LAST_RECORDS_TIMEOUT_S: Final = 10.0

log = structlog.get_logger()


class KafkaMetrics:
    """What happened at the broker."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.topics_created = Counter(
            "counterfoil_transport_topics_created", "Topics found missing and created", registry=registry
        )
        self.malformed = Counter(
            "counterfoil_transport_malformed", "Messages no relay wrote, dropped", registry=registry
        )


class KafkaTransport:
    """Carries events through Kafka topics.

    Args:
        bootstrap: `host:port`, several separated by commas.
        registry: where metrics go.
        security: encryption and login.
        group_instance_id: names a consumer that keeps its partitions across a quick restart; None for none.
    """

    carrier: Carrier = "kafka"

    def __init__(
        self,
        bootstrap: str,
        *,
        registry: CollectorRegistry,
        security: Security = PLAIN,
        group_instance_id: str | None = None,
    ) -> None:
        self._connection: dict[str, Any] = {
            "bootstrap_servers": bootstrap.split(","),
            **security.settings(),
        }
        self._group_instance_id = group_instance_id
        self._metrics = KafkaMetrics(registry)

    def publisher(self, generation: Generation) -> "KafkaPublisher":
        """Open an idempotent producer on a generation's topic, creating it where it is missing."""
        topic = Topic(generation)
        ensure_topic(topic, connection=self._connection, created=self._metrics.topics_created)
        return KafkaPublisher(topic, connection=self._connection)

    def subscribe(self, group: str, *, generation: Generation) -> KafkaSubscription:
        """Join a consumer group; its name carries installation and generation, so members of two never meet."""
        topic = Topic(generation)
        ensure_topic(topic, connection=self._connection, created=self._metrics.topics_created)
        consumer = new_consumer(
            connection=self._connection,
            group=f"{prefix(generation)}.{group}.g{generation.generation}",
            group_instance_id=self._group_instance_id,
        )
        return KafkaSubscription(consumer, topic=topic, malformed=self._metrics.malformed)


class KafkaPublisher:
    """An idempotent producer that counts only acknowledged batches. To be thrown away after any failure."""

    def __init__(self, topic: Topic, *, connection: dict[str, Any]) -> None:
        self._topic = topic
        self._source = source_of(topic.generation.installation)
        self._connection = connection
        self._producer = kafka_clients.connect(
            KafkaProducer,
            **connection,
            enable_idempotence=True,
            acks="all",
            linger_ms=LINGER_MS,
            compression_type="lz4",
            batch_size=BATCH_BYTES,
            max_request_size=MESSAGE_BYTES_MAX,
            allow_auto_create_topics=False,
            delivery_timeout_ms=DELIVERY_TIMEOUT_MS,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
            max_block_ms=REQUEST_TIMEOUT_MS,
        )

    def publish(self, records: Sequence[Record]) -> None:
        """Send all records in one flush and look at every single answer: a returning flush is no success."""
        producer, name = self._producer, self._topic.name
        futures = []
        try:
            for record in records:
                message = encode_record(record, source=self._source)
                future = producer.send(
                    name,
                    value=message.value,
                    key=message.key,
                    headers=message.headers,
                    partition=record.partition,
                )
                futures.append(future)
            producer.flush(timeout=DELIVERY_TIMEOUT_MS / 1000)
        except KafkaError as error:
            raise PublishFailed(f"{len(records)} records were not sent: {error!r}") from error
        failed = [future for future in futures if not future.succeeded()]
        if failed:
            reason = failed[0].exception
            raise PublishFailed(f"{len(failed)} of {len(records)} records were not acknowledged: {reason!r}")

    def last_records(self) -> dict[Partition, Record]:
        """Read the newest record of every partition that holds one."""
        try:
            with contextlib.closing(
                kafka_clients.connect(
                    KafkaConsumer, **self._connection, enable_auto_commit=False, fetch_max_wait_ms=100
                )
            ) as consumer:
                return self._read_last(consumer)
        except KafkaError as error:
            raise TransportUnavailable(f"the newest records cannot be read: {error!r}") from error

    def close(self) -> None:
        """Abandon what is not acknowledged and end the producer's thread."""
        try:
            self._producer.close(timeout=CLOSE_TIMEOUT_S)
        except KafkaError:
            # `close` gives up when its flush runs out of time and leaves the sending thread running.
            self._producer._sender.force_close()  # noqa: SLF001

    def _read_last(self, consumer: KafkaConsumer) -> dict[Partition, Record]:
        partitions = [
            self._topic.topic_partition(number) for number in range(self._topic.generation.partitions)
        ]
        consumer.assign(partitions)
        timeout_ms = LAST_RECORDS_TIMEOUT_S * 1000
        first = consumer.beginning_offsets(partitions, timeout_ms=timeout_ms)
        end = consumer.end_offsets(partitions, timeout_ms=timeout_ms)
        wanted = {each for each in partitions if end[each] > first[each]}
        consumer.assign(sorted(wanted))
        for each in wanted:
            consumer.seek(each, end[each] - 1)
        found: dict[Partition, Record] = {}
        deadline = time.monotonic() + LAST_RECORDS_TIMEOUT_S
        while wanted:
            for each, messages in consumer.poll(timeout_ms=200).items():
                wanted.discard(each)
                self._take_last(each.partition, messages[-1], into=found)
            if time.monotonic() > deadline:
                raise TransportUnavailable(f"the newest record of {sorted(wanted)} did not come")
        return found

    def _take_last(self, partition: Partition, message: Any, *, into: dict[Partition, Record]) -> None:
        try:
            into[partition] = decode_record(
                message.headers, key=message.key, value=message.value, partition=partition
            )
        except MalformedRecord as error:
            log.warning("newest_message_is_foreign", partition=partition, reason=str(error))
