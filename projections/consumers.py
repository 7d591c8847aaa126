"""The consumers of views: one for each kind that there is, and one for snapshots of long streams."""

from collections.abc import Sequence
from typing import Any

from domain.aggregate import Aggregate
from event_store.consumers.driver import Consumer
from event_store.transport.following import FollowerMetrics
from event_store.transport.shared_transport import SharedTransport
from event_store.transport.transport import Transport
from projections import snapshots, tailing, worker
from projections.errors import DeclarationError
from projections.metrics import ProjectionMetrics
from projections.view import DEFERRED, GLOBAL, KEYED, Kind, View
from runtime.documents import Documents


def consumers(
    views: Sequence[View[Any]],
    *,
    transport: Transport,
    metrics: ProjectionMetrics,
    followed: FollowerMetrics,
    documents: Documents | None = None,
    group: str = worker.GROUP,
    aggregates: Sequence[Aggregate[Any]] = (),
) -> list[Consumer]:
    """The consumers that build views; none for kinds without views.

    Args:
        views: what to feed.
        transport: where events of keyed views come from; those of global views come from the log.
        metrics: where folds are counted.
        followed: where faults of the transport are counted.
        documents: where document views are mirrored, None for nowhere.
        group: whom partitions are divided with: workers of other processes.
        aggregates: kinds of streams; those that want snapshots get them.

    Raises:
        DeclarationError: shapes of a view are of different kinds.
    """
    if len({view.name for view in views}) != len({(view.name, view.kind) for view in views}):
        raise DeclarationError("all shapes of a view are of one kind")
    by_kind = {kind: [view for view in views if view.kind is kind] for kind in Kind}
    shared = SharedTransport(transport)
    hosted = [
        worker.consumer(
            some,
            transport=shared,
            metrics=metrics,
            followed=followed,
            documents=documents,
            group=group,
        )
        for some in (by_kind[KEYED], by_kind[DEFERRED])
        if some
    ]
    if global_views := by_kind[GLOBAL]:
        hosted.append(tailing.consumer(global_views, metrics=metrics))
    if any(aggregate.snapshot_every for aggregate in aggregates):
        hosted.append(snapshots.consumer(aggregates))
    return hosted
