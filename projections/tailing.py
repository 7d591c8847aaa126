"""Feeding global views: one owner, by lease, tails the log itself, because a sum over all keys needs its exact order.

Nothing of the transport is needed: no partition, no generation, no relay. A checkpoint is a position of the log and the
leaf there; it moves in the transaction that writes the rows, from where this worker left it, so an owner that was
paused and lost its lease writes nothing more.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import structlog

from event_store.consumers.driver import Consumer, ConsumerSession, Waits
from event_store.consumers.errors import OpenAgain
from event_store.log import reading
from event_store.transport.transport import WHOLE_LOG, Partition
from projections import adopting, builds
from projections.errors import CheckpointConflict
from projections.feeding import Feeding
from projections.metrics import ProjectionMetrics
from projections.performing import SESSION
from projections.view import View

LEASE_NAME: Final = "projections:global"
WAITS: Final = Waits(pace_s=0.25, backlog=1_000)
"""Sums over all keys are written again in every round, so there are fewer of them than of keyed views."""
CHECK_EVERY_S: Final = 0.5
"""How often builds, requests and lag are read."""

THE_LOG: Final[Partition] = 0
"""The one partition of the whole log."""

log = structlog.get_logger()


class Tail:
    """The builds of global views while the lease is held. One thread."""

    def __init__(
        self,
        session: ConsumerSession,
        *,
        views: Sequence[View[Any]],
        metrics: ProjectionMetrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take over the builds as they stand."""
        self.feeding = Feeding(
            session.conn,
            views,
            numbering=WHOLE_LOG,
            group=LEASE_NAME,
            metrics=metrics,
            consumer_metrics=session.metrics,
            mirror=None,
        )
        self._conn = session.conn
        self._metrics = metrics
        self._clock = clock
        self._checked_at = float("-inf")
        self._adopt()

    def round(self) -> int:
        """Fold and commit one page of the log; how far the builds were behind it, 0 when there was nothing to fold.

        Raises:
            OpenAgain: another worker wrote a build.
            UnknownEventVersion: an event is newer than this program: nobody can go on.
            psycopg.Error: start a new session.
        """
        head = reading.head(self._conn).position
        fed = [each.cursors[THE_LOG].position for each in self.feeding.followings if each.stopped is None]
        behind = head - min(fed, default=head)
        try:
            busy = self.feeding.catch_up({THE_LOG: head})
            self._check_requests(head)
        except CheckpointConflict as conflict:
            self._metrics.conflicts.inc()
            raise OpenAgain(str(conflict)) from conflict
        return max(1, behind) if busy else 0

    def close(self) -> None:
        """Remove its metrics: another process feeds the builds."""
        self.feeding.close()

    def _check_requests(self, head: int) -> None:
        """Now and then: new or dropped builds, requests of operators, lag."""
        now = self._clock()
        if now - self._checked_at < CHECK_EVERY_S:
            return
        self._checked_at = now
        if self.feeding.builds_changed():
            self._adopt()
        self.feeding.execute_requests()
        self.feeding.show(lambda following: following.cursors[THE_LOG].position, head=head)

    def _adopt(self) -> None:
        self.feeding.adopt(None)
        log.info("projections_tail_the_log", builds=[str(each.build) for each in self.feeding.followings])


def consumer(views: Sequence[View[Any]], *, metrics: ProjectionMetrics) -> Consumer:
    """The consumer that feeds these global views."""

    def begin(session: ConsumerSession) -> Tail:
        builds.ensure_builds(session.conn, views)
        adopting.say_what_is_not_built(session.conn, views)
        return Tail(session, views=views, metrics=metrics)

    return Consumer(
        name="global-views",
        role="counterfoil_projector",
        open=begin,
        lease=LEASE_NAME,
        waits=WAITS,
        settings=SESSION,
    )
