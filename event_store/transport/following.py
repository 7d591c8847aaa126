"""Following a subscription: every record once per partition and in order, whatever the transport does.

A follower applies the link rule to what the transport brings, reads from the log what it lost, and compares
what it brought with the log. Workers get records they may apply; their own checkpoint stays the truth about
what they did.
"""

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

import msgspec
from prometheus_client import CollectorRegistry, Counter

from event_store.transport.generations import Published
from event_store.transport.link import Gap, link
from event_store.transport.partition_log import PartitionPage
from event_store.transport.transport import (
    POLL_RECORDS_MAX,
    Batch,
    GenerationEnded,
    Partition,
    Record,
    Subscription,
)

WAITING_RECORDS_MAX: Final = 20_000
"""Records that may wait for the log before the transport is asked for more."""
STALE_AFTER_S: Final = 2.0
"""How long a partition may stand still behind what the relay published before the log is read."""
PUBLISHED_EVERY_S: Final = 0.5
"""How often the relay's row is read."""

_Delivered = dict[Partition, list[Record]]


class Log(Protocol):
    """A follower's access to the log; `partition_log.PartitionLog` implements it."""

    def page(self, source: Partition, *, after: int, upto: int) -> PartitionPage:
        """Read the next records of a partition."""

    def published(self) -> Published:
        """Read how far the relay came."""

    def verify(self, carried: Mapping[int, bytes]) -> None:
        """Raise Fork unless the log holds each leaf at its position."""


class Followed(msgspec.Struct):
    """The records of one round, per partition, from its position on."""

    records: dict[Partition, list[Record]]
    assigned: set[Partition]
    revoked: set[Partition]


class FollowerMetrics:
    """Counters of the transport's faults."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.duplicates = Counter(
            "counterfoil_transport_duplicates", "Records delivered again", registry=registry
        )
        self.gaps = Counter(
            "counterfoil_transport_gaps",
            "Losses or reorderings found by a record's prev",
            registry=registry,
        )
        self.stale = Counter(
            "counterfoil_transport_stale",
            "Losses found by staying behind the relay",
            registry=registry,
        )
        self.repaired = Counter(
            "counterfoil_transport_repaired_records",
            "Records read from the log instead",
            registry=registry,
        )


class _Cursor(msgspec.Struct):
    """Where one partition stands: last delivered position, and what must come from the log first.

    `behind_since` is when the transport was first seen to have nothing more although the relay published
    more.
    """

    last: int
    missing: Gap | None = None
    waiting: tuple[Record, ...] = ()
    behind_since: float | None = None


class Follower:
    """Follows one subscription. One thread; `poll` is to be called again after its records were applied."""

    def __init__(
        self,
        subscription: Subscription,
        *,
        log: Log,
        metrics: FollowerMetrics,
        compares: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`compares` False: what the subscription brings was read from the log, so it is not compared with it again."""
        self._subscription = subscription
        self._log = log
        self._metrics = metrics
        self._compares = compares
        self._clock = clock
        self._cursors: dict[Partition, _Cursor] = {}
        self._published: Published | None = None
        self._checked_at = float("-inf")

    @property
    def positions(self) -> dict[Partition, int]:
        """The last delivered position of every partition that was started."""
        return {source: cursor.last for source, cursor in self._cursors.items()}

    def start(self, source: Partition, *, position: int, leaf: bytes | None) -> None:
        """Follow an assigned partition from a checkpoint; `leaf` is None where no event was applied yet.

        To be called again from the checkpoint when applying failed. `positions` is ahead of it where the subscription
        delivers from a later position on; what lies between is to be read from the log.

        Raises:
            Fork: the log does not hold the checkpoint's event; the build must be made anew.
        """
        if leaf is not None:
            self._log.verify({position: leaf})
        self._cursors[source] = _Cursor(last=self._subscription.start_at(source, position=position))

    def poll(self, timeout_s: float, *, max_records: int = POLL_RECORDS_MAX) -> Followed:
        """Wait for records up to `timeout_s`.

        Raises:
            Fork: a record is not what the log holds; nothing of this round was delivered.
            GenerationEnded: a newer generation exists; read the rest of this one from the log and enter that.
            TransportUnavailable: the carrier is gone; try again.
        """
        published = self._check_relay()
        batch = self._bring(timeout_s, max_records=max_records)
        for source in batch.revoked:
            self._cursors.pop(source, None)
        brought = {source: records for source, records in batch.records.items() if source in self._cursors}
        if self._compares:
            self._compare(brought)
        # On copies: were reading the log to fail half-way, everything of this round would count as not
        # delivered, and the link rule would find it missing in the next.
        cursor = {source: copy.copy(before) for source, before in self._cursors.items()}
        delivered: dict[Partition, list[Record]] = {}
        for source, records in brought.items():
            self._link(source, cursor[source], records, into=delivered)
        for source, each in cursor.items():
            if each.missing is not None:
                self._repair(source, each, into=delivered)
        self._notice_silence(cursor, set(delivered), published, drained=batch.drained)
        self._cursors = cursor
        return Followed(records=delivered, assigned=batch.assigned, revoked=batch.revoked)

    def commit(self, source: Partition, *, position: int) -> None:
        """Pass the hint on."""
        self._subscription.commit(source, position=position)

    def close(self) -> None:
        """Leave the group."""
        self._subscription.close()

    def _bring(self, timeout_s: float, *, max_records: int) -> Batch:
        """Poll the transport, without waiting while the log has something for us, bounded by what may wait."""
        if any(cursor.missing for cursor in self._cursors.values()):
            timeout_s = 0.0
        if sum(len(cursor.waiting) for cursor in self._cursors.values()) >= WAITING_RECORDS_MAX:
            return Batch(records={}, assigned=set(), revoked=set(), drained=False)
        return self._subscription.poll(timeout_s, max_records=max_records)

    def _compare(self, brought: Mapping[Partition, Sequence[Record]]) -> None:
        """Compare the ends of what was brought: a forked history differs from some position to its end."""
        ends = [records[index] for records in brought.values() if records for index in (0, -1)]
        self._log.verify({record.position: record.leaf for record in ends})

    def _link(
        self, source: Partition, cursor: _Cursor, records: Sequence[Record], *, into: _Delivered
    ) -> None:
        if cursor.missing is not None:
            cursor.waiting = (*cursor.waiting, *records)
            return
        linked = link(cursor.last, records=records)
        if linked.duplicates:
            self._metrics.duplicates.inc(linked.duplicates)
        if linked.apply:
            into.setdefault(source, []).extend(linked.apply)
            cursor.last = linked.apply[-1].position
        if linked.missing is not None:
            self._metrics.gaps.inc()
            cursor.missing, cursor.waiting = linked.missing, tuple(linked.rest)

    def _repair(self, source: Partition, cursor: _Cursor, *, into: _Delivered) -> None:
        """Read one page of what is missing; link what waited once it is complete."""
        assert cursor.missing is not None, "called for partitions that miss something"
        upto = cursor.missing.upto
        page = self._log.page(source, after=cursor.missing.after, upto=upto)
        if page.records:
            self._metrics.repaired.inc(len(page.records))
            into.setdefault(source, []).extend(page.records)
            cursor.last = page.records[-1].position
        if page.reached < upto:
            cursor.missing = Gap(after=page.reached, upto=upto)
            return
        waited, cursor.missing, cursor.waiting = cursor.waiting, None, ()
        self._link(source, cursor, waited, into=into)

    def _check_relay(self) -> Published:
        now = self._clock()
        if self._published is None or now - self._checked_at >= PUBLISHED_EVERY_S:
            self._published, self._checked_at = self._log.published(), now
        published = self._published
        if published.newest > published.generation:
            raise GenerationEnded(f"generation {published.generation} ended, {published.newest} began")
        return published

    def _notice_silence(
        self,
        cursor: Mapping[Partition, _Cursor],
        moved: set[Partition],
        published: Published,
        *,
        drained: bool,
    ) -> None:
        """Find partitions whose newest records may be what was lost: no later record would show it.

        A transport that has more to bring may hold their records behind others; that is no silence.
        """
        now = self._clock()
        behind = stale_partitions(published, positions={source: each.last for source, each in cursor.items()})
        for source, each in cursor.items():
            if not drained or each.missing is not None or source not in behind:
                each.behind_since = None
            elif source in moved or each.behind_since is None:
                each.behind_since = now
            elif now - each.behind_since >= STALE_AFTER_S:
                self._metrics.stale.inc()
                each.missing = Gap(after=each.last, upto=published.partitions[source])
                each.behind_since = None


def stale_partitions(published: Published, *, positions: Mapping[Partition, int]) -> list[Partition]:
    """Name the partitions that stand behind what the relay published to them."""
    return [
        source
        for source, position in positions.items()
        if position < published.partitions.get(source, position)
    ]
