"""The projection worker: follows the transport and feeds every build of every view, one transaction a batch.

`run_projections` is the driver: it connects, subscribes and runs rounds until told to stop. A round polls once,
performs one turn (see `turn`), helps builds that stand behind with one page of the log, executes what operators
asked for, and writes documents behind the commit. A failure of Postgres or of the transport starts the session
anew, from the checkpoints; a fold's failure parks a key; an unknown event version ends the worker. Global views are
fed from the log, in a thread of their own (see `tailing`).
"""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import structlog
from prometheus_client import CollectorRegistry

from event_store import generations, reading
from event_store.following import Follower, FollowerMetrics
from event_store.partition_log import PartitionLog
from event_store.transport import Generation, Partition, Transport
from projections import adopting, builds, catching_up, sessions
from projections.errors import CheckpointConflict
from projections.feeding import Feeding
from projections.metrics import ProjectionMetrics
from projections.mirroring import Mirror
from projections.performing import SESSION
from projections.storing import Connection
from projections.tailing import TailThread
from projections.turn import Following
from projections.view import GLOBAL, KEYED, View
from runtime import database
from runtime.documents import Documents

GROUP: Final = "projections"
RECORDS_PER_BATCH_MAX: Final = 5_000
"""Records that one turn folds at most."""
POLL_S: Final = 0.25
"""How long an idle worker waits for records before it looks around."""
LOOK_EVERY_S: Final = 0.5
"""How often builds, requests and lag are looked at."""
HINT_EVERY_S: Final = 5.0
"""How often the broker is told where the checkpoints are."""
SETTLE_POLL_S: Final = 0.2
"""How often a worker that started before the relay looks whether the generation is settled."""

log = structlog.get_logger()


class ProjectionHealth:
    """Whether keyed views follow the transport, and whether global views are fed here or by another process."""

    def __init__(self) -> None:
        self.following = False
        self.tailing = False

    @property
    def ready(self) -> bool:
        """Both."""
        return self.following and self.tailing


class Worker:
    """One session: a connection, a subscription, and the builds of keyed views. One thread."""

    def __init__(
        self,
        conn: Connection,
        *,
        generation: Generation,
        follower: Follower,
        views: Sequence[View[Any]],
        metrics: ProjectionMetrics,
        mirror: Mirror | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`mirror` None: no documents are kept. Nothing is fed before the transport assigns partitions."""
        self.feeding = Feeding(conn, views, numbering=generation, metrics=metrics, mirror=mirror)
        self._conn = conn
        self._generation = generation
        self._follower = follower
        self._metrics = metrics
        self._clock = clock
        self._sources: set[Partition] = set()
        self._looked_at = self._hinted_at = float("-inf")
        self._busy = False

    @property
    def followings(self) -> list[Following]:
        """The builds that are fed."""
        return self.feeding.followings

    def round(self, timeout_s: float = POLL_S) -> bool:
        """Poll, fold and commit once; whether records were applied. A batch that met another worker is read again.

        Raises:
            GenerationEnded: a newer generation exists; enter it with a new session.
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
            return False

    def _round(self, timeout_s: float) -> bool:
        followed = self._follower.poll(0 if self._busy else timeout_s, max_records=RECORDS_PER_BATCH_MAX)
        if followed.assigned or followed.revoked:
            self._sources = (self._sources - followed.revoked) | followed.assigned
            log.info("projections_assigned", partitions=len(self._sources))
            self._adopt()
            return False
        if followed.records:
            began = self._clock()
            self.feeding.feed(catching_up.from_records(followed.records, decoder=self.feeding.decoder))
            self._metrics.batch_seconds.observe(self._clock() - began)
        # A build behind what was delivered reads the log; so does the worker.
        self._busy = self.feeding.catch_up(self._follower.positions)
        self._look_around()
        self._busy = self.feeding.mirror_step() or self._busy
        return bool(followed.records)

    def _look_around(self) -> None:
        """Now and then: new or dropped builds, requests of operators, lag, hints."""
        now = self._clock()
        if now - self._looked_at < LOOK_EVERY_S:
            return
        self._looked_at = now
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
        for following in self.followings:
            reached = [
                max(cursor.position, published.position)
                if cursor.position >= published.partitions.get(source, cursor.position + 1)
                else cursor.position
                for source, cursor in following.cursors.items()
            ]
            self._metrics.stands(
                following.build,
                lag_events=head - min(reached, default=head),
                parked=len(following.parked),
                stopped=following.stopped is not None,
            )


def run_projections(
    database_url: str,
    *,
    views: Sequence[View[Any]],
    transport: Transport,
    stop: threading.Event,
    registry: CollectorRegistry | None = None,
    health: ProjectionHealth | None = None,
    documents: Documents | None = None,
    group: str = GROUP,
) -> None:
    """Feed views until told to stop; a batch that was begun is finished.

    Args:
        database_url: a login that may take the role counterfoil_projector.
        views: what to feed.
        transport: where events of keyed views come from; those of global views come from the log.
        stop: set it to end.
        registry: where metrics are counted.
        health: told whether the worker follows.
        documents: where document views are mirrored, None for nowhere.
        group: whom partitions are shared with: workers of the same views.

    Raises:
        UnknownEventVersion: an event is newer than this program: deploy readers first.
        Fork: the transport carries what the log does not hold: run `counterfoil log fence`.
    """
    kept_registry = registry or CollectorRegistry()
    metrics, follower_metrics = ProjectionMetrics(kept_registry), FollowerMetrics(kept_registry)
    with TailThread(
        database_url, views=[view for view in views if view.kind is GLOBAL], metrics=metrics
    ) as tail:
        session = _Session(
            database_url,
            follow=lambda conn, generation: Follower(
                transport.subscribe(group, generation=generation),
                log=PartitionLog(conn, generation=generation),
                metrics=follower_metrics,
            ),
            stop=stop,
            health=health or ProjectionHealth(),
            views=[view for view in views if view.kind is KEYED],
            metrics=metrics,
            mirror=None if documents is None else Mirror(documents, metrics=metrics),
            tail=tail,
        )
        sessions.repeat(session, stop=stop)


class _Session:
    """Connect, subscribe and run rounds, until something ends it."""

    def __init__(
        self,
        database_url: str,
        *,
        follow: Callable[[Connection, Generation], Follower],
        stop: threading.Event,
        health: ProjectionHealth,
        views: Sequence[View[Any]],
        metrics: ProjectionMetrics,
        mirror: Mirror | None,
        tail: TailThread,
    ) -> None:
        self.worked = False
        self._database_url = database_url
        self._follow = follow
        self._stop = stop
        self._health = health
        self._views = views
        self._metrics = metrics
        self._mirror = mirror
        self._tail = tail

    def run(self) -> None:
        """One session; returns when told to stop."""
        self.worked = False
        with database.connect(
            self._database_url, role="counterfoil_projector", name="projections", settings=SESSION
        ) as conn:
            generation = self._settled(conn)
            if generation is None:
                return
            builds.ensure_builds(conn, self._views)
            adopting.say_what_is_not_built(conn, self._views)
            adopting.enter_generation(conn, self._views, generation=generation, stop=self._stop)
            follower = self._follow(conn, generation)
            worker = Worker(
                conn,
                generation=generation,
                follower=follower,
                views=self._views,
                metrics=self._metrics,
                mirror=self._mirror,
            )
            try:
                self._rounds(worker)
            finally:
                self._health.following = False
                follower.close()

    def _rounds(self, worker: Worker) -> None:
        while not self._stop.is_set():
            if worker.round():
                self._tail.news.set()
            self.worked = self._health.following = True
            self._health.tailing = self._tail.worked
            self._tail.raise_failure()

    def _settled(self, conn: Connection) -> Generation | None:
        """The current generation, once the relay has said what it carries; None when told to stop."""
        while not self._stop.is_set():
            self._tail.raise_failure()
            generation = generations.current_generation(conn)
            if generation.carrier is not None:
                return generation
            self._stop.wait(SETTLE_POLL_S)
        return None
