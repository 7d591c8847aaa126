"""A member of a Kafka consumer group behind a bounded hand-over.

kafka-python's consumer belongs to one thread and must be polled even while its user is busy. So a thread of
its own polls and decodes; requests to it (where to start, what to commit) and what it brings cross in queues.
"""

import itertools
import queue
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import structlog
from kafka import ConsumerRebalanceListener, KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.errors import KafkaError
from kafka.structs import MemberState
from prometheus_client import Counter

from event_store.transport import kafka_clients
from event_store.transport.kafka_handover import Handed, Handover
from event_store.transport.kafka_topics import Topic
from event_store.transport.record_format import decode_record
from event_store.transport.transport import (
    POLL_RECORDS_MAX,
    Batch,
    MalformedRecord,
    Partition,
    Record,
    TransportUnavailable,
)

HANDOVER_RECORDS: Final = POLL_RECORDS_MAX
"""Records that may wait for the user before nothing more is polled: with one more poll, what bounds memory."""
POLL_TIMEOUT_MS: Final = 50
HANDOVER_WAIT_S: Final = 0.05
KEEPALIVE_S: Final = 10.0
"""How often the group is served while the user is busy."""
COMMIT_EVERY_S: Final = 1.0
COMMITTED_TIMEOUT_MS: Final = 5_000
CLOSE_TIMEOUT_S: Final = 5.0
OFFSETS_KEPT: Final = 256
"""Polls per partition whose last position and offset are remembered for commits."""
METADATA_AGE_MS: Final = 5_000
"""How long a deleted and recreated topic may go unnoticed."""

log = structlog.get_logger()


def new_consumer(
    *, connection: Mapping[str, Any], group: str, group_instance_id: str | None
) -> KafkaConsumer:
    """Connect a group member that neither commits nor starts anywhere by itself."""
    return kafka_clients.connect(
        KafkaConsumer,
        **connection,
        group_id=group,
        group_instance_id=group_instance_id,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        partition_assignment_strategy=[CooperativeStickyAssignor()],
        max_poll_records=POLL_RECORDS_MAX,
        fetch_min_bytes=1,
        fetch_max_wait_ms=100,
        allow_auto_create_topics=False,
        metadata_max_age_ms=METADATA_AGE_MS,
        session_timeout_ms=10_000,
        heartbeat_interval_ms=2_000,
    )


class _Start(msgspec.Struct, frozen=True):
    """A request to deliver a partition from behind a position."""

    source: Partition
    position: int
    number: int


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    """Notes rebalances, on the consumer's own loop: it must not block, so it only notes them, in order."""

    def __init__(self, changes: "deque[tuple[bool, set[TopicPartition]]]") -> None:
        self._changes = changes

    def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        self._changes.append((True, set(assigned)))

    def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        self._changes.append((False, set(revoked)))

    def on_partitions_lost(self, lost: set[TopicPartition]) -> None:
        self._changes.append((False, set(lost)))


class KafkaSubscription:
    """The user's side: hands over what the polling thread brought. One thread."""

    def __init__(self, consumer: KafkaConsumer, *, topic: Topic, malformed: Counter) -> None:
        self._handover = Handover(HANDOVER_RECORDS)
        self._offsets: dict[Partition, deque[tuple[int, int]]] = {}
        self._starts: dict[Partition, int] = {}
        self._start_numbers = itertools.count(1)
        self._rest = Batch(records={}, assigned=set(), revoked=set())
        self._poller = _Poller(consumer, topic=topic, handover=self._handover, malformed=malformed)
        consumer.subscribe([topic.name], listener=self._poller.listener)
        self._thread = threading.Thread(target=self._poller.run, name="kafka-poll", daemon=True)
        self._thread.start()

    def poll(self, timeout_s: float, *, max_records: int = POLL_RECORDS_MAX) -> Batch:
        """Wait up to `timeout_s` for what the polling thread brings; a larger batch comes in several parts.

        Polls that wait come together: what takes the user a while then costs it once.
        """
        if not self._rest.records:
            self._rest = self._next(timeout_s)
            self._add_waiting(max_records)
        batch = Batch(records={}, assigned=self._rest.assigned, revoked=self._rest.revoked)
        self._rest.assigned, self._rest.revoked = set(), set()
        room = max_records
        for source in list(self._rest.records):
            if room <= 0:
                break
            records = self._rest.records.pop(source)
            batch.records[source] = records[:room]
            if records[room:]:
                self._rest.records[source] = records[room:]
            room -= len(batch.records[source])
        batch.drained = self._rest.drained and not self._rest.records and self._handover.empty
        return batch

    def start_at(self, source: Partition, *, position: int) -> None:
        """Deliver from the hint of an earlier commit that does not lie behind `position`, else from the oldest."""
        self._starts[source] = number = next(self._start_numbers)
        self._rest.records.pop(source, None)
        self._poller.requests.put(_Start(source=source, position=position, number=number))

    def commit(self, source: Partition, *, position: int) -> None:
        """Commit the offset of the newest poll that `position` covers, with its position as metadata."""
        known = self._offsets.get(source, deque())
        covered = None
        while known and known[0][0] <= position:
            covered = known.popleft()
        if covered is not None:
            self._poller.commits[source] = covered

    def close(self) -> None:
        """Leave the group and end the polling thread."""
        self._poller.stop.set()
        self._thread.join(CLOSE_TIMEOUT_S)

    def _next(self, timeout_s: float) -> Batch:
        handed = self._handover.take(timeout_s=timeout_s)
        if handed is None:
            if self._poller.failure is not None:
                raise TransportUnavailable(
                    f"polling ended: {self._poller.failure!r}"
                ) from self._poller.failure
            return Batch(records={}, assigned=set(), revoked=set())
        for source in handed.batch.revoked | handed.batch.assigned:
            self._offsets.pop(source, None)
            self._starts.pop(source, None)
        self._keep_started(handed)
        return handed.batch

    def _add_waiting(self, max_records: int) -> None:
        """Add further polls up to the next rebalance, which is a batch of its own."""
        while self._rest.count < max_records and (handed := self._handover.take_more()) is not None:
            self._keep_started(handed)
            for source, records in handed.batch.records.items():
                self._rest.records.setdefault(source, []).extend(records)
            self._rest.drained = handed.batch.drained

    def _keep_started(self, handed: Handed) -> None:
        """Drop what was fetched before its partition was started anew; remember the offsets of the rest."""
        for source, number in handed.starts.items():
            if self._starts.get(source) != number:
                del handed.batch.records[source]
            else:
                self._offsets.setdefault(source, deque(maxlen=OFFSETS_KEPT)).append(handed.offsets[source])


class _Poller:
    """The polling thread's side: the only one that touches the consumer."""

    def __init__(
        self,
        consumer: KafkaConsumer,
        *,
        topic: Topic,
        handover: Handover,
        malformed: Counter,
    ) -> None:
        self.stop = threading.Event()
        self.failure: Exception | None = None
        self.requests: queue.SimpleQueue[_Start] = queue.SimpleQueue()
        self.commits: dict[Partition, tuple[int, int]] = {}
        self._changes: deque[tuple[bool, set[TopicPartition]]] = deque()
        self.listener = _Listener(self._changes)
        self._consumer = consumer
        self._topic = topic
        self._handover = handover
        self._malformed = malformed
        self._started: dict[Partition, int] = {}
        self._polled_at = 0.0
        self._committed_at = 0.0

    def run(self) -> None:
        """Poll until told to stop; whatever ends it early is shown to the user as a failure."""
        try:
            while not self.stop.is_set():
                self._start_partitions()
                self._commit()
                handed = self._poll()
                if handed is not None:
                    self._hand_over(handed)
        except Exception as error:  # whatever ends this thread is raised by the reader's next poll
            log.exception("kafka_poll_ended")
            self.failure = error
        finally:
            self._consumer.close(autocommit=False, timeout_ms=CLOSE_TIMEOUT_S * 1000)

    def _poll(self) -> Handed | None:
        polled = self._consumer.poll(timeout_ms=POLL_TIMEOUT_MS)
        self._polled_at = time.monotonic()
        self._finish_joining()
        batch = Batch(records={}, assigned=set(), revoked=set())
        self._note_changes(batch)
        handed = Handed(batch=batch, offsets={}, starts={})
        count = 0
        for topic_partition, messages in polled.items():
            count += len(messages)
            source = topic_partition.partition
            if source not in self._started:
                continue  # fetched before `start_at` said from where
            records = self._decoded(source, messages)
            if records:
                batch.records[source] = records
                highest = max(record.position for record in records)
                handed.offsets[source] = (highest, messages[-1].offset + 1)
                handed.starts[source] = self._started[source]
        batch.drained = count < POLL_RECORDS_MAX
        return handed if batch.records or batch.assigned or batch.revoked else None

    def _finish_joining(self) -> None:
        """Keep a join that the last poll had no time for from being forgotten.

        A join caused by changed topic metadata is due only until its own assignment is made; a poll that runs
        out of time in between leaves the member without partitions and without heartbeats for ever
        (kafka-python 3.0.12; the Java client had this as KAFKA-9815 and cured it likewise).
        """
        if self._consumer.group_metadata().state == MemberState.REBALANCING:
            self._consumer._coordinator.request_rejoin()  # noqa: SLF001  # there is no public way

    def _note_changes(self, batch: Batch) -> None:
        """Fold the rebalances since the last poll into one change; a partition lost and won again is both."""
        while self._changes:
            won, partitions = self._changes.popleft()
            sources = {each.partition for each in partitions}
            for source in sources:
                self._started.pop(source, None)
            if won:
                batch.assigned |= sources
            else:
                batch.assigned -= sources
                batch.revoked |= sources

    def _decoded(self, source: Partition, messages: Sequence[Any]) -> list[Record]:
        records = []
        for message in messages:
            try:
                records.append(
                    decode_record(
                        message.headers,
                        key=message.key,
                        value=message.value,
                        partition=source,
                    )
                )
            except MalformedRecord as error:
                self._malformed.inc()
                log.warning("foreign_message_dropped", offset=message.offset, reason=str(error))
        return records

    def _hand_over(self, handed: Handed) -> None:
        """Wait for room; meanwhile keep our place in the group by polling with everything paused."""
        while not self.stop.is_set():
            if self._handover.put(handed, timeout_s=HANDOVER_WAIT_S):
                return
            if time.monotonic() - self._polled_at >= KEEPALIVE_S:
                self._keep_alive()

    def _keep_alive(self) -> None:
        assigned = self._consumer.assignment()
        self._consumer.pause(*assigned)
        polled = self._consumer.poll(timeout_ms=0)
        assert not polled, "a paused partition delivers nothing"
        self._consumer.resume(*(assigned & self._consumer.assignment()))
        self._polled_at = time.monotonic()

    def _start_partitions(self) -> None:
        while not self.requests.empty():
            start = self.requests.get()
            topic_partition = self._topic.topic_partition(start.source)
            if topic_partition not in self._consumer.assignment():
                continue  # revoked meanwhile; the user is told with the next hand-over
            offset = self._hinted_offset(topic_partition, start.position)
            if offset is None:
                self._consumer.seek_to_beginning(topic_partition)
            else:
                self._consumer.seek(topic_partition, offset)
            self._started[start.source] = start.number

    def _hinted_offset(self, topic_partition: TopicPartition, position: int) -> int | None:
        """Return the committed offset if what lies before it is at or below `position`."""
        try:
            committed = self._consumer.committed(
                topic_partition, metadata=True, timeout_ms=COMMITTED_TIMEOUT_MS
            )
        except KafkaError as error:
            log.warning("committed_offset_unknown", reason=repr(error))
            return None
        metadata = (committed.metadata or "") if committed is not None else ""
        if not metadata.isdecimal() or int(metadata) > position:
            return None
        return int(committed.offset)

    def _commit(self) -> None:
        """Commit what was asked for, once in a while and without waiting: it is only a hint."""
        if not self.commits or time.monotonic() - self._committed_at < COMMIT_EVERY_S:
            return
        self._committed_at = time.monotonic()
        wanted, self.commits = self.commits, {}
        assigned = self._consumer.assignment()
        offsets = {
            topic_partition: OffsetAndMetadata(offset, str(position), -1)
            for source, (position, offset) in wanted.items()
            if (topic_partition := self._topic.topic_partition(source)) in assigned
        }
        if offsets:
            self._consumer.commit_async(offsets)
