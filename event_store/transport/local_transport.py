"""The local transport: subscribers tail the log itself, where Kafka would carry it. Needs nothing but Postgres.

Records are linked by construction. All partitions belong to the one subscriber of a group that holds its
lease. The relay runs here too, with nothing to publish: its rows tell readers how far each partition goes, as
with Kafka.
"""

import math
import time
from collections.abc import Callable, Sequence
from typing import Final

import psycopg

from event_store.consumers.lease import Lease, new_owner
from event_store.consumers.news import News
from event_store.log import paging
from event_store.log.envelope import RecordedEvent
from event_store.log.hints import HINT_PAUSE_S
from event_store.transport import generations, partition_log
from event_store.transport.generations import Connection, Frame
from event_store.transport.partitioning import partition_of
from event_store.transport.transport import (
    POLL_RECORDS_MAX,
    Batch,
    Carrier,
    Generation,
    Partition,
    Record,
    RefusedByWitness,
    TransportUnavailable,
)
from runtime import database

BUSY_WAIT_S: Final = 0.003
IDLE_WAIT_S: Final = 0.020
IDLE_WAIT_GROWTH: Final = 1.25
"""The waits between two readings that found nothing, growing up to the longest."""
HINTED_WAIT_S: Final = 0.025
"""The same while a hint may be held back; behind that, hints end the wait."""
ROWS_PER_READ: Final = 2_000


class LocalTransport:
    """Carries events by reading them."""

    carrier: Carrier = "local"

    def __init__(
        self,
        database_url: str,
        *,
        role: database.Role = "counterfoil_projector",
        news: News | None = None,
    ) -> None:
        """`news` ends the waits of its subscriptions."""
        self._database_url = database_url
        self._role: database.Role = role
        self._news = news or News()

    def publisher(self, generation: Generation) -> "LocalPublisher":  # noqa: ARG002  # the seam's
        """Open a publisher: the log has every record already."""
        return LocalPublisher()

    def subscribe(self, group: str, *, generation: Generation) -> "LocalSubscription":
        """Join a group; of all its members, the one with the lease gets every partition."""
        try:
            conn = database.connect(self._database_url, role=self._role, name=f"tail {group}")
        except psycopg.OperationalError as error:
            raise TransportUnavailable(f"the log cannot be reached: {error}") from error
        lease = Lease(conn, name=f"local:{group}", owner=new_owner())
        return LocalSubscription(conn, lease=lease, generation=generation, news=self._news)


class LocalPublisher:
    """Acknowledges at once: what is in the log can be read there."""

    def publish(self, records: Sequence[Record]) -> None:
        """Nothing is left to do."""

    def last_records(self) -> None:
        """No partition holds anything of its own that could differ from the log, or be lost."""

    def close(self) -> None:
        """There is nothing to release."""


class LocalSubscription:
    """Tails the log by position. One thread."""

    def __init__(
        self,
        conn: Connection,
        *,
        lease: Lease,
        generation: Generation,
        news: News,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._conn = conn
        self._lease = lease
        self._generation = generation
        self._news = news
        self._clock = clock
        self._sources = frozenset(range(generation.partitions))
        self._assigned = False
        self._last: dict[Partition, int] = {}
        self._position: int | None = None
        self._found_s = float("-inf")

    def poll(self, timeout_s: float, *, max_records: int = POLL_RECORDS_MAX) -> Batch:
        """Wait up to `timeout_s` for records of the partitions that were started."""
        try:
            return self._poll(timeout_s, max_records)
        except psycopg.OperationalError as error:
            raise TransportUnavailable(f"the log cannot be read: {error}") from error

    def start_at(self, source: Partition, *, position: int) -> int:
        """Deliver a partition from the first record after `position` on."""
        assert source in self._sources, "only partitions of the subscription can be started"
        self._last[source] = position
        # One reader serves all partitions: it goes back to the one that is furthest behind.
        self._position = position if self._position is None else min(self._position, position)
        return position

    def commit(self, source: Partition, *, position: int) -> None:
        """Nobody needs the hint: a position of the log is found by its index."""

    def close(self) -> None:
        """Leave the group at once, so that the next member need not wait."""
        try:
            if not self._conn.broken:
                self._lease.give_back()
        except psycopg.OperationalError:
            return  # the connection just broke: the lease runs out by itself
        finally:
            self._conn.close()

    def _poll(self, timeout_s: float, max_records: int) -> Batch:
        deadline = self._clock() + timeout_s
        wait_s: float | None = None
        while True:
            seen = self._news.count
            batch = self._assignment() or self._read(max_records)
            now_s = self._clock()
            if batch.records:
                self._found_s = now_s
            if batch.records or batch.assigned or batch.revoked or now_s >= deadline:
                return batch
            wait_s = self._wait_s(wait_s, now_s)
            heard = self._news.wait_beyond(seen, timeout_s=min(wait_s, deadline - now_s))
            if not heard and now_s + wait_s >= deadline:
                return batch  # the next poll reads

    def _wait_s(self, before_s: float | None, now_s: float) -> float:
        """How long to wait behind a reading that found nothing; `before_s` is the wait before, if there was one."""
        if self._news.hinted:
            return HINTED_WAIT_S if now_s - self._found_s < HINT_PAUSE_S else math.inf
        return BUSY_WAIT_S if before_s is None else min(IDLE_WAIT_S, before_s * IDLE_WAIT_GROWTH)

    def _assignment(self) -> Batch | None:
        """Follow the lease; all partitions come and go with it."""
        held = self._lease.hold()
        if held == self._assigned:
            return None
        self._assigned = held
        self._last, self._position = {}, None
        sources = set(self._sources)
        return Batch(records={}, assigned=sources if held else set(), revoked=set() if held else sources)

    def _read(self, max_records: int) -> Batch:
        """Read one page of the log."""
        batch = Batch(records={}, assigned=set(), revoked=set())
        if self._position is None:
            return batch
        events = paging.page_after(self._conn, self._position, rows_max=min(ROWS_PER_READ, max_records))
        batch.drained = not events
        frame = generations.frame(self._conn, generation=self._generation.generation) if events else None
        if frame is not None and frame.refusal is not None:
            raise RefusedByWitness(frame.refusal)
        for event in events:
            assert frame is not None, "read behind the events"
            if frame.end is not None and event.position >= frame.end:
                break
            self._take(event, frame, into=batch.records)
            self._position = event.position
        return batch

    def _take(self, event: RecordedEvent, frame: Frame, *, into: dict[Partition, list[Record]]) -> None:
        partition = partition_of(event.key, self._generation.partitions)
        prev = self._last.get(partition)
        if prev is None or event.position <= prev:
            return  # not started, or already delivered before another partition was started further back
        epoch = frame.epochs.at(event.position)
        record = partition_log.as_record(event, partition=partition, prev=prev, epoch=epoch)
        into.setdefault(partition, []).append(record)
        self._last[partition] = event.position
