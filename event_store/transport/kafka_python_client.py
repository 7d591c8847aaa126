"""The adapter of kafka-python: a client in Python, with one thread of its own for its connections."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

from kafka import (
    ConsumerRebalanceListener,
    KafkaAdminClient,
    KafkaConsumer,
    KafkaProducer,
    OffsetAndMetadata,
    TopicPartition,
)
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.errors import KafkaConfigurationError, KafkaError, TopicAlreadyExistsError
from kafka.net.compat import KafkaNetClient
from kafka.structs import MemberState
from kafka.util import Timer

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
from event_store.transport.record_format import Message
from event_store.transport.transport import Partition, PublishFailed, TransportUnavailable

PRODUCER_CLOSE_TIMEOUT_S: Final = 1.0
COMMITTED_TIMEOUT_MS: Final = 5_000
EMPTY_ROUND_S: Final = 0.005
"""A round of the consumer that brought nothing in less than this did not wait for anything."""
SPIN_PAUSE_FIRST_S: Final = 0.001
SPIN_PAUSE_MAX_S: Final = 0.050

Client = TypeVar("Client")


def security_settings(security: Security) -> dict[str, Any]:
    """Encryption and login as settings of kafka-python's clients.

    Raises:
        TransportUnavailable: the file of authorities cannot be read or holds none.
    """
    found: dict[str, Any] = {"security_protocol": security.protocol}
    if security.user is not None:
        found |= {
            "sasl_mechanism": security.mechanism,
            "sasl_plain_username": security.user,
            "sasl_plain_password": security.password,
        }
    if security.encrypted:
        found["ssl_context"] = security.trusted()
    return found


def connect(
    make: Callable[..., Client],
    *,
    bootstrap_servers: Sequence[str],
    timeout_ms: int | None = None,
    **settings: Any,
) -> Client:
    """Construct a client of kafka-python and wait `timeout_ms` for a broker to answer, BOOTSTRAP_TIMEOUT_MS if None.

    When no broker answers, the constructor of kafka-python 3.0.12 raises and leaves its thread and sockets running;
    a relay that waits for its broker would gather them for as long as the outage lasts. So we knock before, and
    close what a failed attempt left.

    Raises:
        TransportUnavailable: nobody listens at `bootstrap_servers` (`host:port`), or no broker answered there.
    """
    kafka_client.knock(bootstrap_servers)
    networks: list[KafkaNetClient] = []

    def remembered(**configs: Any) -> KafkaNetClient:
        networks.append(KafkaNetClient(**configs))
        return networks[-1]

    try:
        return make(
            **settings,
            bootstrap_servers=list(bootstrap_servers),
            kafka_client=remembered,
            bootstrap_timeout_ms=kafka_client.BOOTSTRAP_TIMEOUT_MS if timeout_ms is None else timeout_ms,
            reconnect_backoff_max_ms=kafka_client.RECONNECT_BACKOFF_MAX_MS,
        )
    except KafkaError as error:
        for network in networks:
            network.close()
        if isinstance(error, KafkaConfigurationError):
            raise
        raise TransportUnavailable(
            f"no broker answers at {','.join(bootstrap_servers)}: {error!r}"
        ) from error


class KafkaPythonClient:
    """kafka-python, with the addresses of one cluster."""

    def __init__(self, bootstrap_servers: Sequence[str], *, security: Security) -> None:
        self._connection: dict[str, Any] = {
            "bootstrap_servers": list(bootstrap_servers),
            **security_settings(security),
        }

    def ensure_topic(self, name: str, *, partitions: int, configs: Mapping[str, str]) -> Ensured:
        """Create a topic if it is missing and wait until every partition has a leader."""
        timeout_ms = kafka_client.REQUEST_TIMEOUT_MS
        try:
            admin = connect(KafkaAdminClient, **self._connection, request_timeout_ms=timeout_ms)
            try:
                created = name not in admin.list_topics() and _create(admin, name, partitions, configs)
                admin.wait_for_topics([name], timeout_ms=timeout_ms)
                (described,) = admin.describe_topics([name])
            finally:
                admin.close()
        except KafkaError as error:
            raise TransportUnavailable(f"topic {name} cannot be read: {error!r}") from error
        return Ensured(created, len(described["partitions"]))

    def log_directories(self) -> list[LogDirectory] | None:
        """Ask all brokers what their directories hold."""
        try:
            timeout_ms = kafka_client.REQUEST_TIMEOUT_MS
            admin = connect(KafkaAdminClient, **self._connection, request_timeout_ms=timeout_ms)
            try:
                answers = admin.describe_log_dirs()
            finally:
                admin.close()
        except KafkaError as error:
            raise TransportUnavailable(f"log directories cannot be read: {error!r}") from error
        found = [
            _log_directory(answer["broker"], each)
            for answer in answers
            for each in answer["log_dirs"]
            if not each["error_code"]
        ]
        if not found:  # what a login sees that may not describe the cluster
            raise TransportUnavailable(
                "no broker shows its log directories: the login needs the right to describe the cluster"
            )
        return found

    def producer(self) -> Producer:
        """Connect a producer."""
        return _Producer(
            connect(
                KafkaProducer,
                **self._connection,
                enable_idempotence=True,
                acks="all",
                linger_ms=kafka_client.LINGER_MS,
                compression_type="lz4",
                batch_size=kafka_client.BATCH_BYTES,
                max_request_size=kafka_client.MESSAGE_BYTES_MAX,
                allow_auto_create_topics=False,
                delivery_timeout_ms=kafka_client.DELIVERY_TIMEOUT_MS,
                request_timeout_ms=kafka_client.REQUEST_TIMEOUT_MS,
                max_block_ms=kafka_client.REQUEST_TIMEOUT_MS,
            )
        )

    def newest(self, topic: str, *, partitions: int) -> dict[Partition, Fetched]:
        """Read the newest message of every partition that holds one."""
        try:
            consumer = connect(
                KafkaConsumer,
                **self._connection,
                enable_auto_commit=False,
                fetch_max_wait_ms=kafka_client.FETCH_WAIT_MS,
            )
            try:
                return _newest(consumer, [TopicPartition(topic, number) for number in range(partitions)])
            finally:
                consumer.close()
        except KafkaError as error:
            raise TransportUnavailable(f"the newest records cannot be read: {error!r}") from error

    def join(self, topic: str, *, group: str, instance_id: str | None) -> Member:
        """Join a consumer group of one topic."""
        consumer = connect(
            KafkaConsumer,
            **self._connection,
            group_id=group,
            group_instance_id=instance_id,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            partition_assignment_strategy=[CooperativeStickyAssignor()],
            fetch_min_bytes=1,
            fetch_max_wait_ms=kafka_client.FETCH_WAIT_MS,
            allow_auto_create_topics=False,
            metadata_max_age_ms=kafka_client.METADATA_AGE_MS,
            session_timeout_ms=kafka_client.SESSION_TIMEOUT_MS,
            heartbeat_interval_ms=kafka_client.HEARTBEAT_INTERVAL_MS,
            max_poll_interval_ms=kafka_client.POLL_INTERVAL_MAX_MS,
        )
        return _Member(consumer, topic=topic)


def _log_directory(broker: int, answer: Mapping[str, Any]) -> LogDirectory:
    topics = {
        topic["name"]: sum(partition["partition_size"] for partition in topic["partitions"])
        for topic in answer["topics"]
    }
    total, free = (answer.get(name, -1) for name in ("total_bytes", "usable_bytes"))
    return LogDirectory(
        broker,
        answer["log_dir"],
        topics,
        total_bytes=total if total >= 0 else None,
        free_bytes=free if free >= 0 else None,
    )


def _create(admin: KafkaAdminClient, name: str, partitions: int, configs: Mapping[str, str]) -> bool:
    try:
        admin.create_topics({name: {"num_partitions": partitions, "configs": dict(configs)}})
    except TopicAlreadyExistsError:
        return False  # another process was faster
    return True


def _newest(consumer: KafkaConsumer, partitions: Sequence[TopicPartition]) -> dict[Partition, Fetched]:
    timeout_ms = kafka_client.NEWEST_TIMEOUT_S * 1000
    consumer.assign(partitions)
    first = consumer.beginning_offsets(partitions, timeout_ms=timeout_ms)
    end = consumer.end_offsets(partitions, timeout_ms=timeout_ms)
    wanted = {each for each in partitions if end[each] > first[each]}
    consumer.assign(sorted(wanted))
    for each in wanted:
        consumer.seek(each, end[each] - 1)
    found: dict[Partition, Fetched] = {}
    deadline = time.monotonic() + kafka_client.NEWEST_TIMEOUT_S
    while wanted:
        for each, messages in consumer.poll(timeout_ms=200).items():
            wanted.discard(each)
            found[each.partition] = messages[-1]
        if time.monotonic() > deadline:
            raise TransportUnavailable(f"the newest record of {sorted(wanted)} did not come")
    return found


class _Producer:
    """Counts only what is acknowledged."""

    def __init__(self, producer: KafkaProducer) -> None:
        self._producer = producer

    def send(self, topic: str, messages: Iterable[tuple[Partition, Message]]) -> None:
        """Send all in one flush and check every future."""
        futures = []
        try:
            for partition, message in messages:
                future = self._producer.send(
                    topic,
                    value=message.value,
                    key=message.key,
                    headers=message.headers,
                    partition=partition,
                )
                futures.append(future)
            self._producer.flush(timeout=kafka_client.DELIVERY_TIMEOUT_MS / 1000)
        except KafkaError as error:
            raise PublishFailed(f"after {len(futures)} records nothing more was sent: {error!r}") from error
        failed = [future for future in futures if not future.succeeded()]
        if failed:
            reason = repr(failed[0].exception)
            raise PublishFailed(kafka_client.not_acknowledged(len(failed), of=len(futures), reason=reason))

    def close(self) -> None:
        """Abandon what is not acknowledged and end the producer's thread."""
        try:
            self._producer.close(timeout=PRODUCER_CLOSE_TIMEOUT_S)
        except KafkaError:
            # `close` gives up when its flush runs out of time and leaves the sending thread running.
            self._producer._sender.force_close()  # noqa: SLF001


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    """Notes rebalances, on the consumer's own loop: it must not block, so it only notes them, in order."""

    def __init__(self, changes: "deque[Change]") -> None:
        self._changes = changes

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self._changes.append(Change(won=True, partitions=frozenset(each.partition for each in assigned)))

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        self._changes.append(Change(won=False, partitions=frozenset(each.partition for each in revoked)))

    def on_partitions_lost(self, lost: Iterable[TopicPartition]) -> None:
        self.on_partitions_revoked(lost)


class _Member:
    """A consumer whose partitions stay paused until they are started."""

    def __init__(self, consumer: KafkaConsumer, *, topic: str) -> None:
        self._consumer = consumer
        self._topic = topic
        self._changes: deque[Change] = deque()
        self._pause_s = SPIN_PAUSE_FIRST_S
        consumer.subscribe([topic], listener=_Listener(self._changes))

    def poll(self, timeout_s: float, *, max_messages: int) -> Polled:
        """Wait up to `timeout_s` for messages."""
        try:
            polled = self._poll(Timer(timeout_s * 1000), max_messages)
        except KafkaError as error:
            raise TransportUnavailable(f"polling ended: {error!r}") from error
        self._finish_joining()
        changes = [self._changes.popleft() for _ in range(len(self._changes))]
        return Polled(messages={each.partition: found for each, found in polled.items()}, changes=changes)

    def start(self, offsets: Mapping[Partition, int | None]) -> None:
        """Seek."""
        assigned = self._consumer.assignment()
        for partition, offset in offsets.items():
            place = TopicPartition(self._topic, partition)
            if place not in assigned:
                continue  # revoked meanwhile, which the next poll tells
            if offset is None:
                self._consumer.seek_to_beginning(place)
            else:
                self._consumer.seek(place, offset)

    def committed(self, partitions: Iterable[Partition]) -> dict[Partition, Hint]:
        """Ask the group's coordinator, partition by partition."""
        found = {}
        for partition in partitions:
            try:
                committed = self._consumer.committed(
                    TopicPartition(self._topic, partition), metadata=True, timeout_ms=COMMITTED_TIMEOUT_MS
                )
            except KafkaError as error:
                raise TransportUnavailable(f"committed offsets cannot be read: {error!r}") from error
            if committed is not None:
                found[partition] = Hint(int(committed.offset), committed.metadata or "")
        return found

    def commit_soon(self, hints: Mapping[Partition, Hint]) -> None:
        """Commit what is still ours."""
        assigned = self._consumer.assignment()
        offsets = {
            place: OffsetAndMetadata(hint.offset, hint.metadata, -1)
            for partition, hint in hints.items()
            if (place := TopicPartition(self._topic, partition)) in assigned
        }
        if offsets:
            self._consumer.commit_async(offsets)

    def close(self) -> None:
        """Leave the group."""
        self._consumer.close(autocommit=False, timeout_ms=kafka_client.CLOSE_TIMEOUT_S * 1000)

    def _poll(self, timer: Timer, max_messages: int) -> Mapping[TopicPartition, Sequence[Fetched]]:
        """`KafkaConsumer.poll` with a growing pause behind rounds that did not wait.

        While a connection is made again, every round of kafka-python 3.0.12 fails at once, and its `poll` tries for as
        long as it has time: a worker whose broker is away would use half a core.
        """
        while True:
            began_s = time.monotonic()
            polled = self._consumer._poll_once(timer, max_messages)  # noqa: SLF001  # `poll` is the spinning loop
            waited_s = time.monotonic() - began_s
            if polled or waited_s >= EMPTY_ROUND_S:
                self._pause_s = SPIN_PAUSE_FIRST_S
            elif not timer.expired:
                time.sleep(min(self._pause_s, timer.timeout_ms / 1000))
                self._pause_s = min(self._pause_s * 2, SPIN_PAUSE_MAX_S)
            if polled or timer.expired:
                return polled  # type: ignore[no-any-return]

    def _finish_joining(self) -> None:
        """Keep a join that the last poll had no time for from being forgotten.

        A join caused by changed topic metadata is due only until its own assignment is made; a poll that runs
        out of time in between leaves the member without partitions and without heartbeats for ever
        (kafka-python 3.0.12; the Java client had this as KAFKA-9815 and cured it likewise).
        """
        if self._consumer.group_metadata().state == MemberState.REBALANCING:
            self._consumer._coordinator.request_rejoin()  # noqa: SLF001  # there is no public way
