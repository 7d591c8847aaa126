"""The projection worker: follows the transport and feeds every build of every view, one transaction a batch.

`run_projections` is the driver: it connects, subscribes and runs rounds until told to stop. A round polls once,
performs one turn (see `turn`), helps builds that stand behind with one page of the log, executes what operators
asked for, and writes documents behind the commit. A failure of Postgres or of the transport starts the session
anew, from the checkpoints; a fold's failure parks a key; an unknown event version ends the worker.
"""

import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import psycopg
import structlog
from prometheus_client import CollectorRegistry

from event_store import generations, reading
from event_store.following import Follower, FollowerMetrics
from event_store.partition_log import PartitionLog
from event_store.transport import (
    EVENTS,
    ORDERED,
    ChannelPartition,
    Generation,
    GenerationEnded,
    Subscription,
    Transport,
    TransportUnavailable,
)
from projections import adopting, builds, catching_up
from projections.errors import CheckpointConflict
from projections.folding import Decoder
from projections.metrics import ProjectionMetrics
from projections.mirroring import Mirror
from projections.performing import SESSION, Performer
from projections.requests import Requests
from projections.storing import Connection
from projections.turn import Feed, Following, Turn, turn
from projections.view import View
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
RETRY_FIRST_S: Final = 0.1
RETRY_MAX_S: Final = 5.0
"""Pauses after a failed session: doubled up to the second, with jitter, without end."""

log = structlog.get_logger()


class ProjectionHealth:
    """Whether the worker follows the transport."""

    def __init__(self) -> None:
        self.ready = False


class Worker:
    """One session: a connection, a subscription, and the builds that are fed. One thread."""

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
        self.followings: list[Following] = []
        self.performer = Performer(conn, generation=generation.generation)
        self._conn = conn
        self._generation = generation
        self._follower = follower
        self._views = views
        self._decoder = Decoder(views)
        self._metrics = metrics
        self._mirror = mirror
        self._requests = Requests(conn, generation=generation, decoder=self._decoder, mirror=mirror)
        self._clock = clock
        self._sources: set[ChannelPartition] = set()
        self._looked_at = self._hinted_at = float("-inf")
        self._busy = False

    def round(self, timeout_s: float = POLL_S) -> None:
        """Poll, fold and commit once; a batch that another worker was in the way of is read again.

        Raises:
            GenerationEnded: a newer generation exists; enter it with a new session.
            UnknownEventVersion: an event is newer than this program: nobody can go on.
            Fork: the transport carries what the log does not hold.
            psycopg.Error, TransportUnavailable: start a new session.
        """
        try:
            self._round(timeout_s)
        except CheckpointConflict as conflict:
            log.warning("projections_conflict", reason=str(conflict))
            self._metrics.conflicts.inc()
            self._adopt()

    def _round(self, timeout_s: float) -> None:
        followed = self._follower.poll(0 if self._busy else timeout_s, max_records=RECORDS_PER_BATCH_MAX)
        if followed.assigned or followed.revoked:
            self._sources = (self._sources - followed.revoked) | followed.assigned
            log.info("projections_assigned", partitions=len(self._sources))
            self._adopt()
            return
        if followed.records:
            began = self._clock()
            self._feed(catching_up.from_records(followed.records, decoder=self._decoder))
            self._metrics.batch_seconds.observe(self._clock() - began)
        self._busy = self._catch_up()
        self._look_around()
        if self._mirror is not None:
            self._busy = self._mirror.step(self._conn) or self._busy

    def _feed(self, feed: Feed) -> None:
        self._run(turn(self.followings, feed))

    def _run(self, work: Turn) -> None:
        committed = self.performer.run(work)
        self._metrics.committed(committed)
        if self._mirror is not None:
            self._mirror.after_commit(committed)

    def _catch_up(self) -> bool:
        """Feed one page of the log to builds behind what was delivered; whether there was any."""
        ends = self._follower.positions
        behind = catching_up.targets_behind(self.followings, ends)
        if not behind:
            return False
        feed, events = catching_up.page(
            self._conn, behind, ends, partitions=self._generation.partitions, decoder=self._decoder
        )
        self._metrics.caught_up.inc(events)
        self._feed(feed)
        return bool(feed)

    def _look_around(self) -> None:
        """Now and then: new or dropped builds, requests of operators, lag, hints."""
        now = self._clock()
        if now - self._looked_at < LOOK_EVERY_S:
            return
        self._looked_at = now
        fed = adopting.fed_builds(self._conn, self._views)
        if {each.build: each.stopped for each in self.followings} != {
            build: stands.stopped for build, stands in fed.items()
        }:
            self._adopt()
        for plans in self._requests.execute(self.followings, self.performer):
            self._metrics.committed(plans)
            if self._mirror is not None:
                self._mirror.after_commit(plans)
        self._show_lag()
        if now - self._hinted_at >= HINT_EVERY_S:
            self._hinted_at = now
            for source, cursor in adopting.starts(self.followings).items():
                self._follower.commit(source, position=cursor.position)

    def _adopt(self) -> None:
        """Take over what stands in the tables, dropping everything remembered, and follow from there."""
        self.followings = adopting.followings(
            self._conn, self._views, generation=self._generation.generation, sources=self._sources
        )
        starts = adopting.starts(self.followings)
        head = reading.head(self._conn).position
        for source in self._sources:
            cursor = starts.get(source)
            position = head if cursor is None else cursor.position
            leaf = None if cursor is None else cursor.leaf
            self._follower.start(source, position=position, leaf=leaf)
        if self._mirror is not None:
            self._mirror.adopt(self._conn, self.followings, history=reading.history(self._conn))

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
        transport: where events come from.
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
    metrics = ProjectionMetrics(kept_registry)
    session = _Session(
        database_url,
        subscribe=lambda generation: transport.subscribe(
            group, generation=generation, channels=[EVENTS, ORDERED]
        ),
        stop=stop,
        health=health or ProjectionHealth(),
        views=views,
        metrics=metrics,
        follower_metrics=FollowerMetrics(kept_registry),
        mirror=None if documents is None else Mirror(documents, metrics=metrics),
    )
    pause_s = RETRY_FIRST_S
    while not stop.is_set():
        try:
            session.run()
        except GenerationEnded as ended:
            log.info("projections_generation_ended", reason=str(ended))
        except (psycopg.Error, TransportUnavailable) as error:
            pause_s = RETRY_FIRST_S if session.worked else min(RETRY_MAX_S, pause_s * 2)
            log.warning("projections_interrupted", reason=str(error), pause_s=pause_s)
            stop.wait(pause_s * random.uniform(0.5, 1.0))


class _Session:
    """Connect, subscribe and run rounds, until something ends it."""

    def __init__(
        self,
        database_url: str,
        *,
        subscribe: Callable[[Generation], Subscription],
        stop: threading.Event,
        health: ProjectionHealth,
        views: Sequence[View[Any]],
        metrics: ProjectionMetrics,
        follower_metrics: FollowerMetrics,
        mirror: Mirror | None,
    ) -> None:
        self.worked = False
        self._database_url = database_url
        self._subscribe = subscribe
        self._stop = stop
        self._health = health
        self._views = views
        self._metrics = metrics
        self._follower_metrics = follower_metrics
        self._mirror = mirror

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
            self._say_what_is_not_built(conn)
            adopting.enter_generation(conn, self._views, generation=generation, stop=self._stop)
            follower = Follower(
                self._subscribe(generation),
                log=PartitionLog(conn, generation=generation),
                metrics=self._follower_metrics,
            )
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
                self._health.ready = False
                follower.close()

    def _rounds(self, worker: Worker) -> None:
        while not self._stop.is_set():
            worker.round()
            self.worked = self._health.ready = True

    def _say_what_is_not_built(self, conn: Connection) -> None:
        """A new shape is not built by itself: the live build of the old one may be needed a while longer."""
        built = {(build.view, build.shape) for build in adopting.fed_builds(conn, self._views)}
        for view in self._views:
            if (view.name, view.shape) not in built:
                log.warning("view_shape_not_built", view=view.name, shape=view.shape, hint="rebuild the view")

    def _settled(self, conn: Connection) -> Generation | None:
        """The current generation, once the relay has said what it carries; None when told to stop."""
        while not self._stop.is_set():
            generation = generations.current_generation(conn)
            if generation.carrier is not None:
                return generation
            self._stop.wait(SETTLE_POLL_S)
        return None
