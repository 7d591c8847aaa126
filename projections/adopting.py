"""Taking builds over: what stands in the tables becomes what a worker feeds; old generations are read to their end."""

import threading
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

import structlog

from event_store.consumers import parking, skips
from event_store.log import reading
from event_store.transport import generations
from event_store.transport.transport import Generation, Partition
from projections import builds, catching_up, checkpoints
from projections.builds import Build
from projections.checkpoints import Cursor, SharedCheckpoints
from projections.folding import decoder_of
from projections.performing import Performer, moving
from projections.step import Following, step
from projections.storing import BuildId, Connection, Table
from projections.view import GLOBAL, View

_ENTER_LOCK: Final = "select pg_advisory_lock(hashtextextended('counterfoil.views.generation', 0))"
_ENTER_UNLOCK: Final = "select pg_advisory_unlock(hashtextextended('counterfoil.views.generation', 0))"

log = structlog.get_logger()


def fed_builds(conn: Connection, views: Sequence[View[Any]]) -> dict[BuildId, Build]:
    """The builds that workers of these views feed: declared in this shape, and past their rebuild."""
    declared = {(view.name, view.shape) for view in views}
    return {
        each.id: each
        for each in builds.listed(conn)
        if each.state == "following" and (each.id.view, each.id.shape) in declared
    }


def say_what_is_not_built(conn: Connection, views: Sequence[View[Any]]) -> None:
    """Log new shapes: they are not built by themselves, the live build of the old one may be needed a while longer."""
    built = {(build.view, build.shape) for build in fed_builds(conn, views)}
    for view in views:
        if (view.name, view.shape) not in built:
            log.warning("view_shape_not_built", view=view.name, shape=view.shape, hint="rebuild the view")


def followings(
    conn: Connection,
    views: Sequence[View[Any]],
    *,
    generation: int,
    sources: Collection[Partition] | None,
    shared: SharedCheckpoints | None = None,
) -> list[Following]:
    """Every build to feed in these partitions (None: in all), as it stands; contradicted ones are stopped.

    `shared` are the checkpoints that these builds share from now on with each other and with nobody else.
    """
    fed = fed_builds(conn, views)
    with conn.transaction():
        if shared is not None:
            moved = [build for build, stands in fed.items() if stands.stopped is None]
            shared.claim(conn, moved, sources=sources)
        cursors = checkpoints.read(conn, list(fed), generation=generation)
    by_name = {(view.name, view.shape): view for view in views}
    adopted = []
    for build, stands in fed.items():
        view = by_name[build.view, build.shape]
        ours = {s: cursor for s, cursor in cursors[build].items() if sources is None or s in sources}
        parked = {key: each.queued for key, each in parking.of_scope(conn, build.scope).items()}
        following = Following(
            Table(view, build),
            cursors=ours,
            parked=parked,
            skips=skips.read(conn, view.name, shape=view.shape),
            stopped=stands.stopped,
        )
        adopted.append(following)
        if shared is not None:
            shared.adopted(build, ours)
    if _stop_contradicted(conn, adopted) and shared is not None:
        return followings(conn, views, generation=generation, sources=sources, shared=shared)
    return adopted


def starts(adopted: Iterable[Following]) -> dict[Partition, Cursor]:
    """From where each partition is to be followed: where the build that came furthest stands."""
    furthest: dict[Partition, Cursor] = {}
    for following in adopted:
        if following.stopped is not None:
            continue
        for source, cursor in following.cursors.items():
            if source not in furthest or cursor.position > furthest[source].position:
                furthest[source] = cursor
    return furthest


def enter_generation(
    conn: Connection, views: Sequence[View[Any]], *, generation: Generation, stop: threading.Event
) -> None:
    """Give every keyed build its checkpoints of a generation, once its old partitions are read to their end.

    The rest of an old generation comes from the log; then one transaction makes all rows of the new one, at its
    start - 1. Workers that come at the same time wait for each other here.

    Raises:
        UnknownEventVersion: an event is newer than this program.
    """
    conn.execute(_ENTER_LOCK)
    try:
        behind = {
            build: known[-1]
            for build in fed_builds(conn, [view for view in views if view.kind is not GLOBAL])
            if (known := checkpoints.generations(conn, build)) and known[-1] < generation.generation
        }
        for old in set(behind.values()):
            checkpoints.separate(conn, generation=old)  # each build is read to the end by itself
        for build, old in behind.items():
            view = next(v for v in views if (v.name, v.shape) == (build.view, build.shape))
            _enter(conn, view, build, old=old, generation=generation, stop=stop)
    finally:
        conn.execute(_ENTER_UNLOCK)


def _enter(
    conn: Connection,
    view: View[Any],
    build: BuildId,
    *,
    old: int,
    generation: Generation,
    stop: threading.Event,
) -> None:
    end = generations.generation_numbered(conn, generation=old + 1).start_position - 1
    (following,) = [
        each for each in followings(conn, [view], generation=old, sources=None) if each.build == build
    ]
    _finish(conn, following, old=old, end=end, stop=stop)
    if following.stopped is not None or stop.is_set():
        return
    if old + 1 < generation.generation:
        middle = generations.generation_numbered(conn, generation=old + 1)
        _create(conn, build, generation=middle)
        _enter(conn, view, build, old=old + 1, generation=generation, stop=stop)
        return
    _create(conn, build, generation=generation)
    log.info("view_entered_generation", build=str(build), generation=generation.generation)


def _finish(conn: Connection, following: Following, *, old: int, end: int, stop: threading.Event) -> None:
    """Read what is left of an old generation from the log."""
    partitions = generations.generation_numbered(conn, generation=old).partitions
    decoder = decoder_of([following.view])
    apart = SharedCheckpoints(str(following.build), generation=old)  # of which none is claimed
    performer = Performer(conn, moving(conn, apart))
    ends = dict.fromkeys(following.cursors, end)
    while (behind := catching_up.targets_behind([following], ends)) and not stop.is_set():
        feed, _ = catching_up.page(conn, behind, ends, partitions=partitions, decoder=decoder)
        performer.run(step([following], feed))


def _create(conn: Connection, build: BuildId, *, generation: Generation) -> None:
    position = generation.start_position - 1
    with conn.transaction():
        checkpoints.create(
            conn,
            build,
            numbering=generation,
            position=position,
            leaf=reading.leaf_at(conn, position) if position else None,
        )


def _stop_contradicted(conn: Connection, adopted: Sequence[Following]) -> bool:
    """A build that folded what the log no longer holds is not fed any more: it must be rebuilt, never patched.

    Whether there was any.
    """
    cursors = [cursor for each in adopted for cursor in each.cursors.values() if cursor.leaf is not None]
    found = reading.leaves_at(conn, {cursor.position for cursor in cursors})
    stopped = False
    for following in adopted:
        wrong = [
            cursor.position
            for cursor in following.cursors.values()
            if cursor.leaf is not None and found.get(cursor.position) != cursor.leaf
        ]
        if wrong and following.stopped is None:
            reason = (
                f"the log does not hold the event at position {max(wrong)} that was folded: rebuild the view"
            )
            following.stopped = reason
            builds.set_stopped(conn, following.build, reason)
            log.error("view_contradicted", build=str(following.build), position=max(wrong))
            stopped = True
    return stopped
