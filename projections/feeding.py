"""The builds that one session feeds, and what is the same whether a transport or the log feeds them.

A step folds and commits; documents and metrics follow the commit; between two steps builds may come and go, and
operators ask for retries and skips.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from event_store.consumers.metrics import ConsumerMetrics
from event_store.log import reading
from event_store.transport.transport import Numbering, Partition
from projections import adopting, catching_up
from projections.checkpoints import Cursor, SharedCheckpoints
from projections.folding import decoder_of
from projections.metrics import ProjectionMetrics
from projections.mirroring import Mirror
from projections.performing import Performer, moving
from projections.retry_requests import RetryRequests
from projections.step import Feed, Following, Plan, step
from projections.storing import Connection
from projections.view import KEYED, View


class Feeding:
    """Builds of some views with checkpoints of one numbering. One thread, one connection."""

    def __init__(
        self,
        conn: Connection,
        views: Sequence[View[Any]],
        *,
        numbering: Numbering,
        group: str,
        metrics: ProjectionMetrics,
        consumer_metrics: ConsumerMetrics,
        mirror: Mirror | None,
    ) -> None:
        """`numbering` is a generation of the transport, or the whole log; `group` names whom it is shared with.

        Nothing is fed before `adopt`.
        """
        self.followings: list[Following] = []
        self.decoder = decoder_of(views)
        self._checkpoints = SharedCheckpoints(group, generation=numbering.generation)
        self.performer = Performer(conn, moving(conn, self._checkpoints))
        self._conn = conn
        self._views = views
        self._numbering = numbering
        self._metrics = metrics
        self._consumer_metrics = consumer_metrics
        self._mirror = mirror
        self._counts = any(view.kind is KEYED for view in views)
        self._measured: dict[Partition, int] = {}
        self._requests = RetryRequests(conn, numbering=numbering, decoder=self.decoder, mirror=mirror)

    def adopt(self, sources: Collection[Partition] | None) -> dict[Partition, Cursor]:
        """Take over what stands in the tables, dropping everything remembered; from where to feed each partition.

        `sources` None: all partitions.
        """
        self.followings = adopting.followings(
            self._conn,
            self._views,
            generation=self._numbering.generation,
            sources=sources,
            shared=self._checkpoints,
        )
        if self._mirror is not None:
            self._mirror.adopt(self._conn, self.followings, history=reading.history(self._conn))
        for following in _oldest(self.followings):
            for source, cursor in following.cursors.items():
                self._measured[source] = max(cursor.position, self._measured.get(source, 0))
        return self.starts()

    def starts(self) -> dict[Partition, Cursor]:
        """From where to feed each partition: where the build that came furthest stands."""
        return adopting.starts(self.followings)

    def feed(self, feed: Feed) -> None:
        """Fold and commit one step.

        Raises:
            CheckpointConflict: another worker was here: adopt anew.
        """
        committed = self.performer.run(step(self.followings, feed))
        self._follow_commit(committed)
        if self._counts:
            self._measure(committed, feed)

    def catch_up(self, ends: Mapping[Partition, int]) -> bool:
        """Feed one page of the log to builds that stand before these positions; whether there was any.

        Raises:
            CheckpointConflict: another worker was here: adopt anew.
            UnknownEventVersion: an event is newer than this program.
        """
        behind = catching_up.targets_behind(self.followings, ends)
        if not behind:
            return False
        feed, events = catching_up.page(
            self._conn, behind, ends, partitions=self._numbering.partitions, decoder=self.decoder
        )
        self._metrics.read_from_log.inc(events)
        self.feed(feed)
        return bool(feed)

    def builds_changed(self) -> bool:
        """Whether builds came, went, were stopped or let go on since they were adopted."""
        fed = adopting.fed_builds(self._conn, self._views)
        return {each.build: each.stopped for each in self.followings} != {
            build: stands.stopped for build, stands in fed.items()
        }

    def execute_requests(self) -> None:
        """Do what operators asked for."""
        for plans in self._requests.execute(self.followings, self.performer):
            self._follow_commit(plans)

    def mirror_step(self) -> bool:
        """Write some documents again, if any are to be; whether there may be more."""
        return self._mirror is not None and self._mirror.step(self._conn)

    def show(self, reached: Callable[[Following], int], *, head: int) -> None:
        """Show where each build stands: the lowest position of what is fed here of it, and what of it is parked."""
        for following in self.followings:
            build = following.build
            self._metrics.shown(build, stopped=following.stopped is not None)
            self._consumer_metrics.stands(
                build.view,
                build=build.label,
                lag_events=max(0, head - reached(following)),
                parked_keys=len(following.parked),
            )

    def close(self) -> None:
        """Show nothing of the builds any more."""
        for following in self.followings:
            self._metrics.left(following.build)
            self._consumer_metrics.left(following.build.view, build=following.build.label)

    def _measure(self, committed: Sequence[Plan], feed: Feed) -> None:
        """Count the events that a build has now and that none had before: once, however many builds fold them."""
        for move in (move for plan in committed for move in plan.moves):
            measured = self._measured.get(move.source, 0)
            if move.position <= measured:
                continue
            self._measured[move.source] = move.position
            for decoded in feed[move.source].decoded_events:
                if measured < decoded.position <= move.position:
                    self._metrics.measures.count(decoded.event)

    def _follow_commit(self, committed: Sequence[Plan]) -> None:
        self._metrics.committed(committed)
        if self._mirror is not None:
            self._mirror.after_commit(committed)


def _oldest(followings: Sequence[Following]) -> Iterable[Following]:
    """The oldest build of each view: a newer one may have been folded ahead of it, by a rebuild that counts nothing."""
    oldest: dict[str, Following] = {}
    for following in followings:
        known = oldest.setdefault(following.view.name, following)
        if following.build.build < known.build.build:
            oldest[following.view.name] = following
    return oldest.values()
