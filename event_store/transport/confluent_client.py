"""The adapter of confluent-kafka: librdkafka, whose threads fetch, send and keep the group outside the interpreter."""

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
import structlog
from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka import Message as RawMessage
from confluent_kafka import Producer as RawProducer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from event_store.transport import kafka_client
from event_store.transport.kafka_client import (
    Change,
    Ensured,
    Fetched,
    Hint,
    LogDirectory,
    Member,
    Polled,
    Producer,
)
from event_store.transport.kafka_security import Security
from event_store.transport.record_format import Headers, Message
from event_store.transport.transport import Partition, PublishFailed, TransportUnavailable

REQUEST_TIMEOUT_S: Final = kafka_client.REQUEST_TIMEOUT_MS / 1000
DELIVERY_TIMEOUT_S: Final = kafka_client.DELIVERY_TIMEOUT_MS / 1000
FLUSH_GRACE_S: Final = 2.0
"""librdkafka looks for records whose time is over once a second; then their reports must still be served."""
TOPIC_WAIT_S: Final = 0.05
QUEUED_MESSAGES: Final = 10_000
"""Fetched messages per partition from which on no more are fetched before some were polled."""
QUEUED_KBYTES: Final = 32 * 1024
QUEUE_BACKOFF_MS: Final = 50
"""How long the next fetch waits once as much is queued."""
READER_GROUP: Final = "counterfoil.newest"
"""librdkafka wants a group's name even where nothing is committed and nobody joins."""
_REFUSED: Final = frozenset({
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.FENCED_INSTANCE_ID,
})  # fmt: skip
"""Errors that no waiting cures."""
_PASSING: Final = frozenset({
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
})  # fmt: skip
"""Errors of a broker about a partition that was just created, or is moving."""

log = structlog.get_logger()

_LOGGER: Final = logging.getLogger("kafka.librdkafka")
"""Takes librdkafka's lines into the log of the process."""


class _Record(msgspec.Struct, gc=False):
    """A fetched message without the client's object around it."""

    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers


class ConfluentClient:
    """confluent-kafka, with the addresses of one cluster."""

    def __init__(self, bootstrap_servers: Sequence[str], *, security: Security) -> None:
        self._servers = bootstrap_servers
        self._settings: dict[str, str | int | float | bool] = {
            "bootstrap.servers": ",".join(bootstrap_servers),
            "client.id": "counterfoil",
            "allow.auto.create.topics": False,
            "reconnect.backoff.max.ms": kafka_client.RECONNECT_BACKOFF_MAX_MS,
            "socket.timeout.ms": kafka_client.REQUEST_TIMEOUT_MS,
            "topic.metadata.refresh.interval.ms": kafka_client.METADATA_AGE_MS,
            "enable.metrics.push": False,
            **security_settings(security),
        }

    def ensure_topic(self, name: str, *, partitions: int, configs: Mapping[str, str]) -> Ensured:
        """Create a topic if it is missing and wait until every partition has a leader."""
        kafka_client.knock(self._servers)
        admin = AdminClient(self._settings, logger=_LOGGER)
        deadline = time.monotonic() + REQUEST_TIMEOUT_S
        try:
            created = name not in self._answered(admin) and _create(admin, name, partitions, configs)
            while not (found := _with_leaders(admin, name)):
                if time.monotonic() > deadline:
                    raise TransportUnavailable(f"topic {name} has partitions without a leader")
                time.sleep(TOPIC_WAIT_S)
        except KafkaException as error:
            raise TransportUnavailable(f"topic {name} cannot be read: {error}") from error
        return Ensured(created, found)

    def log_directories(self) -> list[LogDirectory] | None:
        """None: librdkafka 2.16 has no such request."""
        return None

    def producer(self) -> Producer:
        """Connect a producer."""
        kafka_client.knock(self._servers)
        producer = _Producer({
            **self._settings,
            "enable.idempotence": True,
            "acks": "all",
            "linger.ms": kafka_client.LINGER_MS,
            "compression.type": "lz4",
            "batch.size": kafka_client.BATCH_BYTES,
            "message.max.bytes": kafka_client.MESSAGE_BYTES_MAX,
            "message.timeout.ms": kafka_client.DELIVERY_TIMEOUT_MS,
            "request.timeout.ms": kafka_client.REQUEST_TIMEOUT_MS,
        })  # fmt: skip
        try:
            self._answered(producer.raw)
        except BaseException:
            producer.close()
            raise
        return producer

    def newest(self, topic: str, *, partitions: int) -> dict[Partition, Fetched]:
        """Read the newest message of every partition that holds one."""
        kafka_client.knock(self._servers)
        consumer = Consumer(self._consuming(READER_GROUP), logger=_LOGGER)
        try:
            self._answered(consumer)
            return _newest(consumer, [TopicPartition(topic, number) for number in range(partitions)])
        except KafkaException as error:
            raise TransportUnavailable(f"the newest records cannot be read: {error}") from error
        finally:
            consumer.close()

    def join(self, topic: str, *, group: str, instance_id: str | None) -> Member:
        """Join a consumer group of one topic."""
        kafka_client.knock(self._servers)
        consumer = Consumer(
            {
                **self._consuming(group),
                **({"group.instance.id": instance_id} if instance_id is not None else {}),
                "partition.assignment.strategy": "cooperative-sticky",
                "session.timeout.ms": kafka_client.SESSION_TIMEOUT_MS,
                "heartbeat.interval.ms": kafka_client.HEARTBEAT_INTERVAL_MS,
                "max.poll.interval.ms": kafka_client.POLL_INTERVAL_MAX_MS,
            },
            logger=_LOGGER,
        )
        try:
            self._answered(consumer)
        except BaseException:
            consumer.close()
            raise
        return _Member(consumer, topic=topic)

    def _consuming(self, group: str) -> dict[str, Any]:
        return {
            **self._settings,
            "group.id": group,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "earliest",
            "fetch.min.bytes": 1,
            "fetch.wait.max.ms": kafka_client.FETCH_WAIT_MS,
            "fetch.queue.backoff.ms": QUEUE_BACKOFF_MS,
            "queued.min.messages": QUEUED_MESSAGES,
            "queued.max.messages.kbytes": QUEUED_KBYTES,
            "check.crcs": True,
        }

    def _answered(self, client: "AdminClient | Consumer | RawProducer") -> Mapping[str, object]:
        """Wait until a broker answers; the topics it knows."""
        try:
            topics: Mapping[str, object] = client.list_topics(
                timeout=kafka_client.BOOTSTRAP_TIMEOUT_MS / 1000
            ).topics
        except KafkaException as error:
            raise TransportUnavailable(f"no broker answers at {','.join(self._servers)}: {error}") from error
        return topics


def security_settings(security: Security) -> dict[str, str]:
    """Encryption and login as settings of librdkafka.

    Raises:
        TransportUnavailable: the file of authorities cannot be read or holds none.
    """
    found = {"security.protocol": security.protocol}
    if security.user is not None:
        found |= {
            "sasl.mechanism": security.mechanism or "",
            "sasl.username": security.user,
            "sasl.password": security.password or "",
        }
    if security.encrypted:
        security.trusted()  # says which file is wrong, and says it at once
        found["ssl.endpoint.identification.algorithm"] = "https"
        if security.authorities is not None:
            found["ssl.ca.location"] = str(security.authorities)
    return found


def _create(admin: AdminClient, name: str, partitions: int, configs: Mapping[str, str]) -> bool:
    wanted = NewTopic(name, num_partitions=partitions, config=dict(configs))
    future = admin.create_topics([wanted], request_timeout=REQUEST_TIMEOUT_S)[name]
    try:
        future.result(REQUEST_TIMEOUT_S)
    except KafkaException as error:
        if error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
            return False  # another process was faster
        raise
    return True


def _with_leaders(admin: AdminClient, name: str) -> int:
    """How many partitions the topic has; 0 while there is none or one of them has no leader."""
    topic = admin.list_topics(name, timeout=REQUEST_TIMEOUT_S).topics[name]
    if topic.error is not None or any(each.leader < 0 for each in topic.partitions.values()):
        return 0
    return len(topic.partitions)


def _newest(consumer: Consumer, partitions: Sequence[TopicPartition]) -> dict[Partition, Fetched]:
    deadline = time.monotonic() + kafka_client.NEWEST_TIMEOUT_S
    wanted = []
    for each in partitions:
        first, end = _ends(consumer, each, deadline=deadline)
        if end > first:
            wanted.append(TopicPartition(each.topic, each.partition, end - 1))
    if not wanted:
        return {}
    consumer.assign(wanted)
    found: dict[Partition, Fetched] = {}
    while len(found) < len(wanted):
        message = consumer.poll(0.2)
        if message is not None and message.error() is None:
            partition, record = _fetched(message)
            found[partition] = record
        if time.monotonic() > deadline:
            missing = {each.partition for each in wanted} - found.keys()
            raise TransportUnavailable(f"the newest record of {sorted(missing)} did not come")
    return found


def _ends(consumer: Consumer, partition: TopicPartition, *, deadline: float) -> tuple[int, int]:
    """The oldest offset of a partition, and the one behind its newest message."""
    while True:
        try:
            return consumer.get_watermark_offsets(partition, timeout=kafka_client.NEWEST_TIMEOUT_S)
        except KafkaException as error:
            if error.args[0].code() not in _PASSING or time.monotonic() > deadline:
                raise
            time.sleep(TOPIC_WAIT_S)


def _fetched(message: RawMessage) -> tuple[Partition, _Record]:
    partition, offset = message.partition(), message.offset()
    assert partition is not None, "a fetched message has a place"
    assert offset is not None, "a fetched message has a place"
    return partition, _Record(offset, message.key(), message.value(), message.headers() or [])  # type: ignore[arg-type]


class _Producer:
    """Counts what is acknowledged."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._acknowledged = 0
        self._failures: set[str] = set()
        self.raw = RawProducer({**settings, "on_delivery": self._report}, logger=_LOGGER)

    def send(self, topic: str, messages: Iterable[tuple[Partition, Message]]) -> None:
        """Send all in one flush; a report must have come for each."""
        produce, count = self.raw.produce, 0
        self._acknowledged = 0
        try:
            for partition, message in messages:
                produce(topic, message.value, message.key, partition, headers=message.headers)  # type: ignore[arg-type]
                count += 1
            self.raw.flush(DELIVERY_TIMEOUT_S + FLUSH_GRACE_S)
        except (KafkaException, BufferError) as error:
            raise PublishFailed(f"after {count} records nothing more was sent: {error}") from error
        if self._acknowledged != count:
            missing = count - self._acknowledged
            reason = "; ".join(self._failures) or "no report came in time"
            raise PublishFailed(kafka_client.not_acknowledged(missing, of=count, reason=reason))

    def close(self) -> None:
        """Abandon what is not acknowledged and end librdkafka's threads."""
        self.raw.purge()
        self.raw.close()

    def _report(self, error: KafkaError | None, _message: RawMessage) -> None:
        """Called once for every message, by `flush`."""
        if error is None:
            self._acknowledged += 1
        else:
            self._failures.add(str(error))


class _Member:
    """A consumer that takes a partition into its assignment when it is started, and not before."""

    def __init__(self, consumer: Consumer, *, topic: str) -> None:
        self._consumer = consumer
        self._topic = topic
        self._changes: list[Change] = []
        self._owned: set[Partition] = set()
        self._started: set[Partition] = set()
        consumer.subscribe([topic], on_assign=self._won, on_revoke=self._lost, on_lost=self._lost)

    def poll(self, timeout_s: float, *, max_messages: int) -> Polled:
        """Wait up to `timeout_s` for a message, then take what else is there.

        `consume` alone would wait for all it was asked for. Rebalances are noted meanwhile, by this thread.
        """
        found: dict[Partition, list[_Record]] = {}
        try:
            first = self._consumer.poll(timeout_s)
            more = (
                self._consumer.consume(max_messages - 1, 0) if first is not None and max_messages > 1 else []
            )
        except KafkaException as error:
            raise TransportUnavailable(f"polling ended: {error}") from error
        for message in [first, *more] if first is not None else more:
            if (problem := message.error()) is not None:
                _notice(problem)
                continue
            partition, record = _fetched(message)
            found.setdefault(partition, []).append(record)
        changes, self._changes = self._changes, []
        return Polled(messages=dict(found), changes=changes)

    def start(self, offsets: Mapping[Partition, int | None]) -> None:
        """Assign; what was fetched of a started partition before is outdated by taking it out first."""
        mine = {partition: offset for partition, offset in offsets.items() if partition in self._owned}
        try:
            if again := self._started & mine.keys():
                self._consumer.incremental_unassign(self._places(again))
                self._started -= again
            self._consumer.incremental_assign([
                TopicPartition(self._topic, partition, OFFSET_BEGINNING if offset is None else offset)
                for partition, offset in mine.items()
            ])  # fmt: skip
        except KafkaException as error:
            raise TransportUnavailable(f"partitions cannot be started: {error}") from error
        self._started |= mine.keys()

    def committed(self, partitions: Iterable[Partition]) -> dict[Partition, Hint]:
        """Ask the group's coordinator, once for all."""
        try:
            found = self._consumer.committed(self._places(partitions), timeout=REQUEST_TIMEOUT_S)
        except KafkaException as error:
            raise TransportUnavailable(f"committed offsets cannot be read: {error}") from error
        return {
            each.partition: Hint(each.offset, each.metadata or "")
            for each in found
            if each.error is None and each.offset >= 0
        }

    def commit_soon(self, hints: Mapping[Partition, Hint]) -> None:
        """Commit what is still ours."""
        offsets = [
            TopicPartition(self._topic, partition, hint.offset, hint.metadata)
            for partition, hint in hints.items()
            if partition in self._owned
        ]
        if offsets:
            self._consumer.commit(offsets=offsets, asynchronous=True)

    def close(self) -> None:
        """Leave the group."""
        self._consumer.close()

    def _won(self, consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        won = frozenset(each.partition for each in partitions)
        self._owned |= won
        self._changes.append(Change(won=True, partitions=won))
        consumer.incremental_assign([])  # says that this is done; `start` assigns

    def _lost(self, consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        lost = frozenset(each.partition for each in partitions)
        self._owned -= lost
        self._changes.append(Change(won=False, partitions=lost))
        consumer.incremental_unassign(self._places(self._started & lost))
        self._started -= lost

    def _places(self, partitions: Iterable[Partition]) -> list[TopicPartition]:
        return [TopicPartition(self._topic, partition) for partition in partitions]


def _notice(problem: KafkaError) -> None:
    """Log what librdkafka gets over by itself.

    Raises:
        TransportUnavailable: it does not.
    """
    if problem.fatal() or problem.code() in _REFUSED:
        raise TransportUnavailable(f"polling ended: {problem}")
    log.warning("kafka_client_error", error=problem.name(), reason=problem.str())
