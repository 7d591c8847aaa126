"""A new build next to the live one: folded from the log, taken over by the workers, promoted, rolled back, dropped.

`rebuild` folds up to the head of the moment it began, in transactions that each move the build's progress, so that
a killed rebuild goes on where it was. Then the workers find the build, fold what came since, and move it along with
the live one in one transaction; from then on the two can be compared in one snapshot.
"""

import threading
import time
from collections.abc import Generator, Iterator, Sequence
from typing import Any, Final, Literal

import msgspec

from event_store.consumers import parking, skips
from event_store.log import reading
from projections import builds, catching_up, checkpoints, verifying
from projections.errors import BuildBehind, BuildRefused, FoldFailed, NoSuchBuild, NotCaughtUp
from projections.folding import DecodedEvent, Poison, decoder_of
from projections.performing import SESSION, MovedPlans, Performer
from projections.step import BuildBatch, Following, Plan, commit, plans_of
from projections.storing import BuildId, Connection, Table
from projections.view import GLOBAL, View
from runtime import database
from runtime.documents import Documents, prefix

EVENTS_PER_BATCH: Final = 5_000
"""Events of the view folded and committed at a time."""
CATCH_UP_TIMEOUT_S: Final = 60.0
"""How long to wait for the workers to take a build over, without any progress."""
CATCH_UP_POLL_S: Final = 0.1
COMPARE_TRIES_MAX: Final = 50
"""How often two builds are read until a snapshot finds them at the same positions."""

Phase = Literal["folding", "catching up"]

_PROGRESS: Final = """
update views.build set folded_to = %(position)s, revision = revision + 1
where view = %(view)s and shape = %(shape)s and build = %(build)s
    and state = 'folding' and folded_to = %(expected)s
"""


class Progress(msgspec.Struct, frozen=True):
    """How far a rebuild is: positions of the log done and in all, events applied by this run."""

    build: BuildId
    phase: Phase
    done: int
    total: int
    applied: int


def rebuild(
    database_url: str, view: View[Any], *, stop: threading.Event | None = None
) -> Generator[Progress, None, None]:
    """Fold the log into a new build, or go on with one that was interrupted; yields progress batch by batch.

    The build is then handed to the workers: wait for them with `catch_up`. When `stop` is set, the iteration ends
    early and the next rebuild goes on.

    Raises:
        BuildRefused: the view has two builds already, or another rebuild of it runs.
        FoldFailed, UnknownEventVersion: see `fold`.
    """
    with database.connect(database_url, role="counterfoil_projector", name="rebuild") as conn:
        build = begun(conn, view)
    yield from fold(database_url, view, build, stop=stop)


def fold(
    database_url: str, view: View[Any], build: BuildId, *, stop: threading.Event | None = None
) -> Generator[Progress, None, None]:
    """Fold the log into a build that was begun, from where that was left; yields progress batch by batch.

    Raises:
        BuildRefused: another rebuild of it runs, or it was dropped.
        FoldFailed: a global view cannot fold an event; fixed, run it again.
        UnknownEventVersion: an event is newer than this program.
    """
    with (
        database.connect(
            database_url, role="counterfoil_projector", name="rebuild", settings=SESSION
        ) as conn,
        database.connect(database_url, role="counterfoil_projector", name="rebuild read") as log,
    ):
        yield from _folded(conn, log, view, build, stop=stop or threading.Event())


def begun(conn: Connection, view: View[Any]) -> BuildId:
    """The view's build that is being folded; a new one, up to the log's head, where there is none."""
    with conn.transaction():
        builds.lock(conn, view.name)
        for each in builds.listed(conn):
            if each.state == "folding" and (each.id.view, each.id.shape) == (view.name, view.shape):
                return each.id
        build = builds.next_number(conn, view)
        builds.add(conn, view, build, state="folding", fold_to=reading.head(conn).position)
        return build


def catch_up(
    database_url: str, view: View[Any], build: BuildId, *, timeout_s: float = CATCH_UP_TIMEOUT_S
) -> Iterator[Progress]:
    """Wait until the workers have brought a build to where the live one stands; yields progress.

    Raises:
        NotCaughtUp: nothing moved for `timeout_s`: does a projection worker run?
        BuildRefused: the build was stopped.
    """
    with database.connect(database_url, role="counterfoil_projector", name="rebuild wait") as conn:
        moved_at, last = time.monotonic(), -1
        while True:
            lowest, target = reached(conn, view, build)
            yield Progress(build, "catching up", lowest, max(lowest, target), 0)
            if lowest >= target:
                return
            if lowest > last:
                moved_at, last = time.monotonic(), lowest
            if time.monotonic() - moved_at > timeout_s:
                raise NotCaughtUp(
                    f"{build} stands at {lowest} of {target} and did not move for {timeout_s:.0f} s:"
                    " is a projection worker running?"
                )
            time.sleep(CATCH_UP_POLL_S)


def reached(conn: Connection, view: View[Any], build: BuildId) -> tuple[int, int]:
    """Lowest position of a build, and where the live one is, by one snapshot of their checkpoints.

    Raises:
        NoSuchBuild: it was dropped.
        BuildRefused: it is stopped, or still being folded.
    """
    stands = builds.found(conn, build)
    if stands.stopped is not None:
        raise BuildRefused(f"build {build} is stopped: {stands.stopped}")
    live = builds.live(conn, view.name)
    known = checkpoints.generations(conn, build)
    if not known:
        raise BuildRefused(f"build {build} is still being folded")
    read = checkpoints.read(conn, [build, live], generation=known[-1])
    behind = [
        cursor.position
        for source, cursor in read[build].items()
        if source in read[live] and cursor.position < read[live][source].position
    ]
    lowest = min((cursor.position for cursor in read[build].values()), default=0)
    return (min(behind), max(each.position for each in read[live].values())) if behind else (lowest, lowest)


def compare_with_live(database_url: str, view: View[Any], build: BuildId) -> verifying.Verification:
    """Compare a build that follows with the live one, at the same positions.

    Raises:
        BuildRefused: they were never found at the same positions, or have other shapes.
    """
    with database.connect(database_url, role="counterfoil_projector", name="compare") as conn:
        live = builds.live(conn, view.name)
        if live.shape != build.shape:
            raise BuildRefused(f"{build} and {live} have other shapes: their rows cannot be compared")
        for _ in range(COMPARE_TRIES_MAX):
            try:
                return verifying.compare(conn, view, left=build, right=live)
            except BuildRefused:
                time.sleep(CATCH_UP_POLL_S)
        return verifying.compare(conn, view, left=build, right=live)


def promote(database_url: str, view: View[Any], build: BuildId | None = None) -> BuildId:
    """Let a build answer queries (the one next to the live one if none is named); the old one stays.

    Raises:
        NoSuchBuild: there is no such build, or none next to the live one.
        BuildBehind: it stands behind the live one.
        BuildRefused: it is still folded, or is stopped.
    """
    with (
        database.connect(database_url, role="counterfoil_projector", name="promote") as conn,
        conn.transaction(),
    ):
        return let_answer(conn, view, build)


def let_answer(conn: Connection, view: View[Any], build: BuildId | None = None) -> BuildId:
    """The same inside a transaction."""
    builds.lock(conn, view.name)
    chosen = build or _other(conn, view)
    stands = builds.found(conn, chosen)
    if stands.live:
        raise BuildRefused(f"{chosen} is live already")
    _check_ready(conn, view, stands)
    builds.point(conn, view, chosen)
    return chosen


def rollback(database_url: str, view: View[Any]) -> BuildId:
    """Let the build answer again that was live before.

    Raises:
        NoSuchBuild: there was none, or it was dropped.
        BuildBehind: it stands behind the live one.
        BuildRefused: it is stopped.
    """
    with database.connect(database_url, role="counterfoil_projector", name="rollback") as conn:
        before = builds.previous(conn, view.name)
    if before is None:
        raise NoSuchBuild(f"view {view.name} has no build to roll back to")
    return promote(database_url, view, before)


def drop(
    database_url: str, view: View[Any], build: BuildId | None = None, *, documents: Documents | None = None
) -> BuildId:
    """Remove a build that is not live (the one next to it if none is named), its documents too.

    Raises:
        NoSuchBuild: there is no such build, or none next to the live one.
        BuildRefused: it is live.
        DocumentsUnavailable: the table is gone, its documents are not: nobody reads them any longer.
    """
    with database.connect(database_url, role="counterfoil_projector", name="drop") as conn:
        with conn.transaction():
            chosen = remove(conn, view, build)
        forget(conn, view, chosen, documents)
    return chosen


def remove(conn: Connection, view: View[Any], build: BuildId | None = None) -> BuildId:
    """The same inside a transaction, without documents."""
    builds.lock(conn, view.name)
    chosen = build or _other(conn, view)
    if builds.found(conn, chosen).live:
        raise BuildRefused(f"{chosen} is live: promote another build first")
    builds.remove(conn, view, chosen)
    return chosen


def forget(conn: Connection, view: View[Any], build: BuildId, documents: Documents | None) -> None:
    """Remove the documents of a build that is gone.

    Raises:
        DocumentsUnavailable: they live on for days; nobody reads them any longer.
    """
    if documents is None or view.document is None:
        return
    history = reading.history(conn)
    documents.forget(
        prefix(view.document, installation=history.installation, epoch=history.epoch, build=build.label)
    )


def _folded(
    conn: Connection, log: Connection, view: View[Any], build: BuildId, *, stop: threading.Event
) -> Iterator[Progress]:
    stands = builds.found(conn, build)
    folded_to = _FoldedTo(conn, stands.folded_to)
    performer = Performer(conn, folded_to.move)
    parked = {key: each.queued for key, each in parking.of_scope(conn, build.scope).items()}
    following = Following(
        Table(view, build), cursors={}, parked=parked, skips=skips.read(conn, view.name, shape=view.shape)
    )
    applied = 0
    for decoded_events, reached in _batches(log, view, after=stands.folded_to, upto=stands.fold_to):
        if stop.is_set():
            return
        folded_to.reached = reached
        applied += _fold(performer, following, decoded_events)
        if following.stopped is not None:
            raise BuildRefused(f"build {build}: {following.stopped}")
        yield Progress(build, "folding", reached, stands.fold_to, applied)
    with conn.transaction():
        builds.lock(conn, view.name)
        builds.start_following(conn, view, build, position=stands.fold_to)
    yield Progress(build, "folding", stands.fold_to, stands.fold_to, applied)


def _fold(performer: Performer, following: Following, decoded_events: list[DecodedEvent]) -> int:
    batch = BuildBatch(
        following, moves=[], decoded_events={0: decoded_events}
    )  # all partitions together, in the order of the log
    return _drive(performer, batch).applied


def _drive(performer: Performer, batch: BuildBatch) -> Plan:
    def work() -> Any:
        return (yield from commit([batch], (yield from plans_of([batch]))))

    (committed,) = performer.run(work())
    return committed


class _FoldedTo:
    """How far a rebuild has come, moved by its commits instead of checkpoints."""

    def __init__(self, conn: Connection, folded_to: int) -> None:
        self.reached = folded_to
        """Where the next commit moves it."""
        self._conn = conn
        self._folded_to = folded_to

    def move(self, plans: Sequence[Plan]) -> MovedPlans:
        """Note how far the log was folded; refused when another rebuild of this build was here."""
        (plan,) = plans
        if plan.stopped is not None and plan.following.view.kind is GLOBAL:
            ((key, poison),) = plan.parked.items()
            raise _failure(plan.following, key, poison)
        parameters = {
            "view": plan.build.view,
            "shape": plan.build.shape,
            "build": plan.build.build,
            "position": self.reached,
            "expected": self._folded_to,
        }
        cursor = self._conn.execute(_PROGRESS, parameters)

        def check() -> None:
            if cursor.rowcount != 1:
                raise BuildRefused(f"another rebuild of {plan.build} is running, or it was dropped")

        return MovedPlans(check=check, committed=self._go_on)

    def _go_on(self) -> None:
        self._folded_to = self.reached


def _failure(following: Following, key: str, poison: Poison) -> FoldFailed:
    return FoldFailed(
        view=following.view.name, partition_key=key, position=poison.decoded.position, reason=poison.reason
    )


def _batches(
    log: Connection, view: View[Any], *, after: int, upto: int
) -> Iterator[tuple[list[DecodedEvent], int]]:
    """Facts of a view in batches, each with the position up to which it holds all of them."""
    decoder = decoder_of([view])
    batch: list[DecodedEvent] = []
    for event in reading.copy_segments(log, after=after, upto=upto, types=decoder.types):
        batch.append(catching_up.decode(event, decoder=decoder))
        if len(batch) == EVENTS_PER_BATCH:
            yield batch, event.position
            batch = []
    if batch:
        yield batch, upto


def _check_ready(conn: Connection, view: View[Any], stands: builds.Build) -> None:
    if stands.state != "following":
        raise BuildRefused(f"{stands.id} is still being folded: run its rebuild to the end first")
    lowest, target = reached(conn, view, stands.id)
    if lowest < target:
        raise BuildBehind(stands.id, position=lowest, live=target)


def _other(conn: Connection, view: View[Any]) -> BuildId:
    others = [each.id for each in builds.listed(conn) if each.id.view == view.name and not each.live]
    if not others:
        raise NoSuchBuild(f"view {view.name} has no build next to the live one")
    return others[-1]
