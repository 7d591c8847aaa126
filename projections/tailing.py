"""Feeding global views: one owner, by lease, tails the log itself, because a sum over all keys needs its exact order.

Nothing of the transport is needed: no partition, no generation, no relay. A checkpoint is a position of the log and the
leaf there; it moves in the transaction that writes the rows, from where this worker left it, so an owner that was
paused and lost its lease writes nothing more.
"""

import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Final, Self

import structlog

from event_store import reading
from event_store.consumers.lease import Lease, new_owner
from event_store.reading import Head
from event_store.transport import WHOLE_LOG, Partition
from projections import adopting, builds, sessions
from projections.errors import CheckpointConflict
from projections.feeding import Feeding
from projections.metrics import ProjectionMetrics
from projections.performing import SESSION
from projections.storing import Connection
from projections.view import View
from runtime import database

LEASE_NAME: Final = "projections:global"
BUSY_WAIT_S: Final = 0.005
IDLE_WAIT_S: Final = 0.25
IDLE_WAIT_GROWTH: Final = 1.25
"""Waits between two looks at the log's head: short behind an event, growing while there is none."""
STANDBY_WAIT_S: Final = 0.5
LOOK_EVERY_S: Final = 0.5
"""How often builds, requests and lag are looked at."""

THE_LOG: Final[Partition] = 0
"""The one partition of the whole log."""

log = structlog.get_logger()


class Tail:
    """One session: a connection, a lease, and the builds of global views. One thread."""

    def __init__(
        self,
        conn: Connection,
        *,
        lease: Lease,
        views: Sequence[View[Any]],
        metrics: ProjectionMetrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing is read before the lease is ours."""
        self.feeding = Feeding(conn, views, numbering=WHOLE_LOG, metrics=metrics, mirror=None)
        self._conn = conn
        self._lease = lease
        self._metrics = metrics
        self._clock = clock
        self._adopted_term = 0
        self._looked_at = float("-inf")

    @property
    def active(self) -> bool:
        """Whether the last round found the lease to be ours."""
        return self._lease.held

    def round(self) -> bool:
        """Fold and commit one page of the log, if the lease is ours; whether there may be more to do at once.

        Raises:
            UnknownEventVersion: an event is newer than this program: nobody can go on.
            psycopg.Error: start a new session.
        """
        if not self._lease.hold():
            self._stand_by()
            return False
        try:
            return self._round()
        except CheckpointConflict as conflict:
            log.warning("projections_conflict", reason=str(conflict))
            self._metrics.conflicts.inc()
            self._adopted_term = 0
            return self._lease.renew()

    def close(self) -> None:
        """Let a standby take over at once."""
        self._stand_by()
        self._lease.give_back()

    def _round(self) -> bool:
        if self._adopted_term != self._lease.terms:
            self._adopt()
        head = reading.head(self._conn)
        busy = self.feeding.catch_up({THE_LOG: head.position})
        self._look_around(head)
        return busy

    def _look_around(self, head: Head) -> None:
        """Now and then: new or dropped builds, requests of operators, lag."""
        now = self._clock()
        if now - self._looked_at < LOOK_EVERY_S:
            return
        self._looked_at = now
        if self.feeding.builds_changed():
            self._adopt()
        self.feeding.execute_requests()
        for following in self.feeding.followings:
            self._metrics.stands(
                following.build,
                lag_events=head.position - min(following.cursors[THE_LOG].position, head.position),
                parked=len(following.parked),
                stopped=following.stopped is not None,
            )

    def _adopt(self) -> None:
        self.feeding.adopt(None)
        self._adopted_term = self._lease.terms
        self._metrics.tailing.set(1)
        log.info("projections_tail_the_log", builds=[str(each.build) for each in self.feeding.followings])

    def _stand_by(self) -> None:
        """Another feeds the builds, and shows where they stand."""
        if self._adopted_term:
            self._adopted_term = 0
            self._metrics.tailing.set(0)
            self._metrics.left([each.build for each in self.feeding.followings])


class TailThread:
    """Sessions of a tail in a thread, for as long as a block runs."""

    def __init__(self, database_url: str, *, views: Sequence[View[Any]], metrics: ProjectionMetrics) -> None:
        """Feed these global views; without any, nothing runs."""
        self.worked = not views
        """Whether the session that runs, or ran last, got as far as feeding or standing by."""
        self.news = threading.Event()
        """Set by whoever saw an event of the log, so that the next look comes at once."""
        self._failure: Exception | None = None
        self._stop = threading.Event()
        self._database_url = database_url
        self._views = views
        self._metrics = metrics
        self._owner = new_owner()
        self._thread = threading.Thread(target=self._run, name="tail", daemon=True)

    def __enter__(self) -> Self:
        """Start, if there is a view to feed."""
        if self._views:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop behind the page that was begun."""
        self._stop.set()
        self.news.set()
        if self._views:
            self._thread.join()

    def raise_failure(self) -> None:
        """Raise what ended the thread, if anything did."""
        if self._failure is not None:
            raise self._failure

    def run(self) -> None:
        """One session; returns when told to stop."""
        self.worked = False
        with database.connect(
            self._database_url, role="counterfoil_projector", name="projections tail", settings=SESSION
        ) as conn:
            builds.ensure_builds(conn, self._views)
            adopting.say_what_is_not_built(conn, self._views)
            lease = Lease(conn, name=LEASE_NAME, owner=self._owner)
            tail = Tail(conn, lease=lease, views=self._views, metrics=self._metrics)
            wait_s = BUSY_WAIT_S
            while not self._stop.is_set():
                busy = tail.round()
                self.worked = True
                wait_s = BUSY_WAIT_S if busy else min(IDLE_WAIT_S, wait_s * IDLE_WAIT_GROWTH)
                if not busy:
                    self._wait(wait_s, active=tail.active)
            tail.close()

    def _wait(self, wait_s: float, *, active: bool) -> None:
        if not active:
            self._stop.wait(STANDBY_WAIT_S)
        elif self.news.wait(wait_s):
            self.news.clear()

    def _run(self) -> None:
        try:
            sessions.repeat(self, stop=self._stop)
        except Exception as error:  # noqa: BLE001 - raised by whoever runs the worker
            self._failure = error
