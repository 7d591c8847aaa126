"""A member of a Kafka consumer group: decodes what its client fetched, and starts partitions where the log says.

No thread of ours stands between the client and the consumer: both clients send heartbeats from threads of their own,
and a round of a consumer is short.
"""

import time
from collections import deque
from collections.abc import Sequence
from typing import Final

import structlog
from prometheus_client import Counter

from event_store.transport.kafka_client import Change, Fetched, Hint, Member
from event_store.transport.record_format import decode_record
from event_store.transport.transport import (
    POLL_RECORDS_MAX,
    Batch,
    MalformedRecord,
    Partition,
    Record,
    TransportUnavailable,
)

COMMIT_EVERY_S: Final = 1.0
OFFSETS_KEPT: Final = 256
"""Polls per partition whose last position and offset are remembered for commits."""

log = structlog.get_logger()


class KafkaSubscription:
    """Hands over what the client fetched of the partitions that were started. One thread."""

    def __init__(self, member: Member, *, malformed: Counter) -> None:
        self._member = member
        self._malformed = malformed
        self._owned: set[Partition] = set()
        self._started: set[Partition] = set()
        self._to_start: dict[Partition, int] = {}
        self._offsets: dict[Partition, deque[tuple[int, int]]] = {}
        self._hints: dict[Partition, Hint] = {}
        self._committed_at = 0.0

    def poll(self, timeout_s: float, *, max_records: int = POLL_RECORDS_MAX) -> Batch:
        """Wait up to `timeout_s` for what the client fetches."""
        self._start_partitions()
        self._commit()
        polled = self._member.poll(timeout_s, max_messages=max_records)
        batch = Batch(records={}, assigned=set(), revoked=set())
        for change in polled.changes:
            self._note(change, batch)
        count = 0
        for source, messages in polled.messages.items():
            count += len(messages)
            if source in self._started and (records := self._decoded(source, messages)):
                batch.records[source] = records
                self._remember(source, records, messages[-1].offset + 1)
        batch.drained = count < max_records
        return batch

    def start_at(self, source: Partition, *, position: int) -> int:
        """Deliver from the hint of an earlier commit that does not lie behind `position`, else from the oldest."""
        self._started.discard(source)
        self._offsets.pop(source, None)
        self._hints.pop(source, None)
        self._to_start[source] = position
        return position

    def commit(self, source: Partition, *, position: int) -> None:
        """Commit the offset of the newest poll that `position` covers, with its position as metadata."""
        known = self._offsets.get(source, deque())
        covered = None
        while known and known[0][0] <= position:
            covered = known.popleft()
        if covered is not None:
            upto, offset = covered
            self._hints[source] = Hint(offset, str(upto))

    def close(self) -> None:
        """Leave the group."""
        self._member.close()

    def _note(self, change: Change, batch: Batch) -> None:
        """Fold the rebalances since the last poll into one change; a partition lost and won again is both."""
        for source in change.partitions:
            self._started.discard(source)
            for kept in (self._to_start, self._offsets, self._hints):
                kept.pop(source, None)
        if change.won:
            self._owned |= change.partitions
            batch.assigned |= change.partitions
        else:
            self._owned -= change.partitions
            batch.assigned -= change.partitions
            batch.revoked |= change.partitions

    def _decoded(self, source: Partition, messages: Sequence[Fetched]) -> list[Record]:
        records = []
        for message in messages:
            try:
                records.append(
                    decode_record(message.headers, key=message.key, value=message.value, partition=source)
                )
            except MalformedRecord as error:
                self._malformed.inc()
                log.warning("foreign_message_dropped", offset=message.offset, reason=str(error))
        return records

    def _remember(self, source: Partition, records: Sequence[Record], offset: int) -> None:
        highest = max(record.position for record in records)
        self._offsets.setdefault(source, deque(maxlen=OFFSETS_KEPT)).append((highest, offset))

    def _start_partitions(self) -> None:
        wanted = {source: position for source, position in self._to_start.items() if source in self._owned}
        self._to_start.clear()
        if not wanted:
            return
        hints = self._hints_for(wanted)
        offsets = {source: _offset_within(hints.get(source), position) for source, position in wanted.items()}
        self._member.start(offsets)
        self._started |= wanted.keys()

    def _hints_for(self, wanted: dict[Partition, int]) -> dict[Partition, Hint]:
        try:
            return self._member.committed(wanted)
        except TransportUnavailable as error:
            log.warning("committed_offset_unknown", reason=str(error))
            return {}

    def _commit(self) -> None:
        """Commit what was asked for, once in a while and without waiting: it is only a hint."""
        if not self._hints or time.monotonic() - self._committed_at < COMMIT_EVERY_S:
            return
        self._committed_at = time.monotonic()
        hints, self._hints = self._hints, {}
        self._member.commit_soon(hints)


def _offset_within(hint: Hint | None, position: int) -> int | None:
    """The committed offset if what lies before it is at or below `position`."""
    if hint is None or not hint.metadata.isdecimal() or int(hint.metadata) > position:
        return None
    return hint.offset
