"""The projection worker: follows the transport and feeds every build of every keyed view, one transaction a batch.

A round polls once, performs one step (see `step`), helps builds that stand behind with one page of the log, executes
what operators asked for, and writes documents behind the commit. A fold's failure parks a key; any other failure
begins anew, from the checkpoints; an unknown event version ends the process. Global views are fed from the log (see
`tailing`).
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import structlog
from msgspec import structs

from event_store.consumers.driver import NO_WAITS, Consumer, ConsumerSession
from event_store.consumers.errors import OpenAgain
from event_store.log import reading
from event_store.transport import generations
from event_store.transport.following import Follower, FollowerMetrics
from event_store.transport.partition_log import PartitionLog
from event_store.transport.transport import Generation, Partition, Transport
from projections import adopting, builds, catching_up
from projections.errors import CheckpointConflict
from projections.feeding import Feeding
from projections.metrics import ProjectionMetrics
from projections.mirroring import Mirror
from projections.performing import SESSION
from projections.step import Following
from projections.view import DEFERRED, View
from runtime.documents import Documents

GROUP: Final = "projections"
RECORDS_PER_BATCH_MAX: Final = 5_000
"""Records that one step folds at most."""
WAITS: Final = structs.replace(NO_WAITS, pace_s=0.02)
"""Rounds that find nothing wait for records themselves."""
MANY: Final = 1_000
"""What a round answers that left something to do: a backlog for every pace."""
DEFERRED_WAITS: Final = structs.replace(NO_WAITS, pace_s=0.25, backlog=MANY)
"""A round has a price of its own, so one with many events costs less than many with few."""
POLL_S: Final = 0.25
"""How long an idle worker waits for records before it looks around."""
CHECK_EVERY_S: Final = 0.5
"""How often builds, requests and lag are read."""
HINT_EVERY_S: Final = 5.0
"""How often checkpoints are committed to the broker."""

log = structlog.get_logger()


class Worker:
    """One session: a connection, a subscription, and the builds of keyed views. One thread."""

    def __init__(
        self,
        session: ConsumerSession,
        *,
        generation: Generation,
        follower: Follower,
        views: Sequence[View[Any]],
        metrics: ProjectionMetrics,
        group: str = GROUP,
        mirror: Mirror | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`mirror` None: no documents are kept. Nothing is fed before the transport assigns partitions."""
        self.feeding = Feeding(
            session.conn,
            views,
            numbering=generation,
            group=group,
            metrics=metrics,
            consumer_metrics=session.metrics,
            mirror=mirror,
        )
        self._news = session.news
        self._conn = session.conn
        self._generation = generation
        self._follower = follower
        self._metrics = metrics
        self._clock = clock
        self._sources: set[Partition] = set()
        self._checked_at = self._hinted_at = float("-inf")
        self._busy = False

    @property
    def followings(self) -> list[Following]:
        """The builds that are fed."""
        return self.feeding.followings

    def round(self, timeout_s: float = POLL_S) -> int:
        """Poll, fold and commit once; how many records were applied, many where there is more to do at once.

        A batch that met another worker is read again.

        Raises:
            GenerationEnded: a newer generation exists, to be entered by another worker.
            UnknownEventVersion: an event is newer than this program: nobody can go on.
            Fork: the transport carries what the log does not hold.
            psycopg.Error, TransportUnavailable: start a new session.
        """
        try:
            return self._round(timeout_s)
        except CheckpointConflict as conflict:
            log.warning("projections_conflict", reason=str(conflict))
            self._metrics.conflicts.inc()
            self._adopt()
            return 0

    def close(self) -> None:
        """Leave the group."""
        self.feeding.close()
        self._follower.close()

    def _round(self, timeout_s: float) -> int:
        followed = self._follower.poll(0 if self._busy else timeout_s, max_records=RECORDS_PER_BATCH_MAX)
        if followed.assigned or followed.revoked:
            self._sources = (self._sources - followed.revoked) | followed.assigned
            log.info("projections_assigned", partitions=len(self._sources))
            self._adopt()
            return 0
        if followed.records:
            began = self._clock()
            self.feeding.feed(catching_up.from_records(followed.records, decoder=self.feeding.decoder))
            self._metrics.batch_seconds.observe(self._clock() - began)
            self._news.announce()
        # A build behind what was delivered reads the log; so does the worker.
        self._busy = self.feeding.catch_up(self._follower.positions)
        self._check_requests()
        self._busy = self.feeding.mirror_step() or self._busy
        return MANY if self._busy else sum(map(len, followed.records.values()))

    def _check_requests(self) -> None:
        """Now and then: new or dropped builds, requests of operators, lag, hints."""
        now = self._clock()
        if now - self._checked_at < CHECK_EVERY_S:
            return
        self._checked_at = now
        if self.feeding.builds_changed():
            self._adopt()
        self.feeding.execute_requests()
        self._show_lag()
        if now - self._hinted_at >= HINT_EVERY_S:
            self._hinted_at = now
            for source, cursor in self.feeding.starts().items():
                self._follower.commit(source, position=cursor.position)

    def _adopt(self) -> None:
        """Take over what stands in the tables and follow from there."""
        starts = self.feeding.adopt(self._sources)
        head = reading.head(self._conn).position
        for source in self._sources:
            cursor = starts.get(source)
            position = head if cursor is None else cursor.position
            leaf = None if cursor is None else cursor.leaf
            self._follower.start(source, position=position, leaf=leaf)

    def _show_lag(self) -> None:
        published = generations.published(self._conn, generation=self._generation.generation)
        head = reading.head(self._conn).position

        def reached(following: Following) -> int:
            positions = [
                max(cursor.position, published.position)
                if cursor.position >= published.partitions.get(source, cursor.position + 1)
                else cursor.position
                for source, cursor in following.cursors.items()
            ]
            return min(positions, default=head)

        self.feeding.show(reached, head=head)


def consumer(
    views: Sequence[View[Any]],
    *,
    transport: Transport,
    metrics: ProjectionMetrics,
    followed: FollowerMetrics,
    documents: Documents | None = None,
    group: str = GROUP,
) -> Consumer:
    """The consumer that feeds these views, which are all keyed, or all deferred.

    Args:
        views: what to feed.
        transport: where events come from; the same for keyed and deferred views, who share what it brings.
        metrics: where folds are counted.
        followed: where faults of the transport are counted.
        documents: where document views are mirrored, None for nowhere.
        group: whom partitions are divided with: workers of other processes.
    """
    deferred = views[0].kind is DEFERRED
    checkpoints_of = f"{group}-deferred" if deferred else group
    mirror = None if documents is None else Mirror(documents, metrics=metrics)

    def begin(session: ConsumerSession) -> Worker:
        generation = generations.current_generation(session.conn)
        if generation.carrier is None:
            raise OpenAgain("no relay has said yet what carries the log")
        builds.ensure_builds(session.conn, views)
        adopting.say_what_is_not_built(session.conn, views)
        adopting.enter_generation(session.conn, views, generation=generation, stop=session.stop)
        follower = Follower(
            transport.subscribe(group, generation=generation),
            log=PartitionLog(session.conn, generation=generation),
            metrics=followed,
            compares=generation.carrier != "local",
        )
        return Worker(
            session,
            generation=generation,
            follower=follower,
            views=views,
            metrics=metrics,
            group=checkpoints_of,
            mirror=mirror,
        )

    return Consumer(
        name="deferred-views" if deferred else "keyed-views",
        role="counterfoil_projector",
        open=begin,
        waits=DEFERRED_WAITS if deferred else WAITS,
        settings=SESSION,
    )
