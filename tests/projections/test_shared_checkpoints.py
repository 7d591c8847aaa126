"""Builds that one worker feeds share checkpoints: whichever join or leave, no event is lost or folded twice."""

import random
import threading
from typing import Final

import psycopg
import pytest

from event_store.consumers import parking
from event_store.transport.partitioning import PARTITIONS, partition_of
from projections import builds, catching_up, checkpoints, rebuild
from projections.checkpoints import Cursor, Move, SharedCheckpoints
from projections.errors import CheckpointConflict
from projections.storing import BuildId
from projections.view import Key, Row, View
from projections.worker import GROUP
from read_api import checkpoints as read_checkpoints
from runtime import database
from tests import sizes
from tests.projections.counting import Counted, counts
from tests.projections.feeding import (
    Feeder,
    append,
    assert_views_hold_the_log,
    feeding,
    let_builds_stand_apart,
    settle,
)

ACTS: Final = 60
NAMES: Final = "abcdefgh"


class Numbers(Row, frozen=True):
    counter: str
    numbers: tuple[int, ...]


def numbers(name, *, poison=None):
    """A view that keeps each number as often as it was folded."""
    view = View(name=name, row=Numbers, key=("counter",), shape=1, category="counter")

    @view.on(Counted)
    def counted(row: Numbers | None, event: Counted) -> Numbers | None:
        if event.number == poison:
            raise RuntimeError("cannot be folded")
        return Numbers(event.counter, (*(row.numbers if row else ()), event.number))

    return view


def rare(name):
    """A view that is concerned by no event of the test."""
    view = View(name=name, row=Numbers, key=("counter",), shape=1, category="counter")

    @view.on(Counted, keys=nothing)
    def counted(row: Numbers | None, event: Counted) -> Numbers | None:
        raise AssertionError(f"{row} {event}")

    return view


def nothing(_: Counted) -> list[Key]:
    return []


@pytest.fixture
def url(database_url):
    settle(database_url)
    return database_url


@pytest.fixture
def conn(url):
    with database.connect(url, role="counterfoil_projector", name="test") as connection:
        yield connection


def revisions(conn, table):
    return sum(row[0] for row in conn.execute(f"select revision from views.{table}"))


def test_a_step_writes_one_checkpoint_for_each_partition_however_many_views_there_are(url, conn):
    views = [numbers("one"), numbers("two"), *(rare(f"rare_{number}") for number in range(5))]
    append(url, counts(*((name, 1) for name in NAMES)))
    with feeding(url, views) as feeder:
        feeder.catch_up()  # they are new, and join
        feeder.round()
        of_builds, of_all = revisions(conn, "build_checkpoint"), revisions(conn, "shared_checkpoint")
        append(url, counts(*((name, 2) for name in NAMES)))
        feeder.catch_up()
        moved = revisions(conn, "shared_checkpoint") - of_all
        partitions = {source for (_, source) in feeder.positions()}

    assert of_builds == revisions(conn, "build_checkpoint")
    assert 1 <= moved <= len(partitions)
    assert_views_hold_the_log(url, views)


def test_a_build_that_is_behind_joins_when_it_is_where_the_others_are(url, conn):
    views = [numbers("one"), numbers("two")]
    append(url, counts(*((name, 1) for name in NAMES)))
    with feeding(url, views) as feeder:
        feeder.catch_up()
        *_, last = rebuild.rebuild(url, views[0])
        append(url, counts(*((name, 2) for name in NAMES)))
        feeder.catch_up()
        apart = conn.execute("select count(*) from views.checkpoint where shared is null and build = 2")
        rebuild.promote(url, views[0], last.build)

    (count,) = apart.fetchone()
    moved = {partition_of(f"counter-{name}", PARTITIONS) for name in NAMES}
    assert count == PARTITIONS - len(moved)
    assert_views_hold_the_log(url, [views[0]], build=2)
    assert_views_hold_the_log(url, views)


def test_a_build_of_other_workers_is_not_moved_by_who_does_not_feed_it(url):
    one, two = numbers("one"), numbers("two")
    append(url, counts(*((name, 1) for name in NAMES)))
    with feeding(url, [one, two]) as both:
        both.catch_up()
    with feeding(url, [one]) as half:
        append(url, counts(*((name, 2) for name in NAMES)))
        half.catch_up()
    with feeding(url, [one, two]) as both:
        both.catch_up()

    assert_views_hold_the_log(url, [one, two])


def test_a_build_that_joined_while_another_worker_waited_for_its_claim_leaves(url, conn):
    """The claim waits for a transaction that lets a build join, and sees what it did."""
    joining, claimed = BuildId("joining", 1, 1), BuildId("claimed", 1, 1)
    builds.ensure_builds(conn, [rare("joining"), rare("claimed")])
    shared = SharedCheckpoints(GROUP, generation=1)
    with conn.transaction():
        shared.claim(conn, [joining], sources=[0])
    join = Move(joining, 0, Cursor(0, None, 0), 5, b"leaf")
    other = database.connect(url, role="counterfoil_projector", name="claim")
    claims = threading.Thread(target=claim, args=(other, claimed))
    with conn.transaction():
        placed = moved(conn, shared, join)
        claims.start()
        wait_for_lock(url)
    claims.join(60)
    other.close()

    assert placed.shared == GROUP
    assert checkpoints.read(conn, [joining], generation=1)[joining][0] == Cursor(5, b"leaf", 2)


def claim(conn, build):
    with conn.transaction():
        SharedCheckpoints(GROUP, generation=1).claim(conn, [build], sources=[0])


def wait_for_lock(url):
    with psycopg.connect(url, autocommit=True) as admin:
        waits = "select count(*) from pg_locks where not granted"
        for _ in range(6_000):
            if admin.execute(waits).fetchone() != (0,):
                return
            threading.Event().wait(0.01)
    raise AssertionError("nobody waits")


def test_who_moved_the_checkpoints_before_a_claim_finds_that_they_are_taken(url, conn):
    build = BuildId("one", 1, 1)
    builds.ensure_builds(conn, [rare("one")])
    before, after = SharedCheckpoints(GROUP, generation=1), SharedCheckpoints(GROUP, generation=1)
    cursors = {}
    for each in (before, after):
        with conn.transaction():
            each.claim(conn, [build], sources=[0])
            cursors = checkpoints.read(conn, [build], generation=1)[build]
    move = Move(build, 0, cursors[0], 5, b"leaf")

    with pytest.raises(CheckpointConflict), conn.transaction():
        moved(conn, before, move)
    with conn.transaction():
        moved(conn, after, move)


def moved(conn, shared, move):
    """A step of one build."""
    pending = shared.pending([move])
    placed = pending.place(move, apart=False, noted=False)
    shared.move(conn, pending)()
    return placed


def test_a_build_of_two_names_stands_where_its_own_worker_left_it(url, conn):
    """Workers of another name feed the same view: each is refused what the other holds."""
    view = numbers("one")
    build = BuildId("one", 1, 1)
    append(url, counts(*((name, 1) for name in NAMES)))
    with feeding(url, [view]) as feeder:
        feeder.catch_up()
        with conn.transaction():
            SharedCheckpoints("others", generation=1).claim(conn, [build], sources=range(6))
        append(url, counts(*((name, 2) for name in NAMES)))
        feeder.catch_up()

    assert_views_hold_the_log(url, [view])


def test_a_view_that_a_release_defers_changes_hands_while_workers_of_the_release_before_still_feed_it(
    url, conn
):
    views = kept, deferred = numbers("kept"), numbers("deferred")
    with (
        feeding(url, views) as before,
        feeding(url, [deferred], group=f"{GROUP}-deferred") as after,
    ):
        for number in range(4):
            append(url, counts(*((name, number) for name in NAMES)))
            (before, after)[number % 2].catch_up()
    with feeding(url, [kept]) as feeder:
        feeder.catch_up()

    assert_views_hold_the_log(url, views)
    shared = "select distinct view, shared from views.build_checkpoint where shared is not null order by view"
    assert conn.execute(shared).fetchall() == [("deferred", f"{GROUP}-deferred"), ("kept", GROUP)]


def test_a_key_of_a_build_that_is_dropped_meanwhile_is_not_parked(url, conn):
    """Who drops a build waits for a worker that parks a key of it, so nothing of it is left behind."""
    view, fine = numbers("one", poison=2), numbers("two")
    append(url, counts(("a", 1)))
    with feeding(url, [view, fine]) as feeder:
        feeder.catch_up()
        list(rebuild.rebuild(url, view))
        feeder.catch_up()
        append(url, counts(("a", 1)))
        feeder.catch_up()  # rows of the key are at hand, so that nothing is loaded
        rebuild.promote(url, view)
        with conn.transaction():
            builds.remove(conn, view, BuildId("one", 1, 1))
        append(url, counts(("a", 2)))
        feeder.catch_up()

    left = {each.scope.build for each in parking.of_key(conn, "one", "counter-a")}
    assert left == {2}
    assert_views_hold_the_log(url, [fine])


def test_a_worker_of_an_earlier_release_is_refused(url, conn):
    builds.ensure_builds(conn, [rare("one")])
    for statement in (
        "update views.checkpoint c set position = 5, revision = revision + 1 where c.view = 'one'",
        "insert into views.checkpoint (view, shape, build, generation, partition) values ('one', 1, 1, 2, 0)",
    ):
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
            conn.execute(statement)


def test_readers_see_where_each_build_stands(url, conn):
    views = [rare(name) for name in ("together", "apart", "split")]
    ids = [BuildId(view.name, 1, 1) for view in views]
    builds.ensure_builds(conn, views)
    for name, of_it, position in ((GROUP, ids, 5), ("others", ids[2:], 3)):
        shared = SharedCheckpoints(name, generation=1)
        sources = range(PARTITIONS) if name == GROUP else range(6)
        with conn.transaction():
            shared.claim(conn, of_it, sources=sources)
            stand = checkpoints.read(conn, of_it, generation=1)
            moves = [
                Move(build, source, stand[build][source], position, None)
                for build in of_it
                for source in sources
            ]
            pending = shared.pending(moves)
            for move in moves:
                pending.place(move, apart=move.build == ids[1] and move.source == 4, noted=False)
            shared.move(conn, pending)()

    with database.connect(url, role="counterfoil_reader", name="test") as reader:
        (text,) = reader.execute(read_checkpoints.SNAPSHOT, {"parked_max": 10}).fetchone()
    seen = {
        name: each.checkpoints
        for name, each in read_checkpoints.read_snapshot(text, seen_at=0.0).builds.items()
    }
    stored = {
        build.view: {source: cursor.position for source, cursor in cursors.items()}
        for build, cursors in checkpoints.read(conn, ids, generation=1).items()
    }

    assert stored["split"] == {source: 3 if source < 6 else 5 for source in range(PARTITIONS)}
    assert {name: each.positions for name, each in seen.items()} == stored
    assert seen["together"].positions is not seen["apart"].positions
    assert {each.generation for each in seen.values()} == {1}


@pytest.mark.parametrize("number", range(sizes.SHARED_CHECKPOINTS.chosen))
def test_every_event_is_folded_once_by_workers_that_feed_some_of_the_same_views(
    url, conn, number, monkeypatch
):
    monkeypatch.setattr(catching_up, "EVENTS_PER_PAGE", 3)
    seed = random.SystemRandom().getrandbits(32)
    print(f"schedule {number}: seed {seed}")
    chance = random.Random(seed)
    views = [numbers(name) for name in ("one", "two", "three", "four")]
    workers = [worker(url, views, chance) for _ in range(3)]
    try:
        for act in range(ACTS):
            act_once(url, conn, views, workers, chance, act)
    finally:
        for each in workers:
            each.close()
    for view in views:
        builds.set_stopped(conn, BuildId(view.name, 1, 1), None)
    with feeding(url, views) as last:
        last.catch_up()

    assert_views_hold_the_log(url, views)


def worker(url, views, chance):
    """One that feeds some of the views, in some of the partitions."""
    some = chance.sample(views, chance.randint(1, len(views)))
    sources = None if chance.random() < 0.5 else chance.sample(range(PARTITIONS), 6)
    return Feeder(url, some, sources=sources)


def act_once(url, conn, views, workers, chance, act):
    match chance.choices(("append", "round", "restart", "stop", "go on", "apart"), (6, 12, 2, 1, 2, 1))[0]:
        case "append":
            append(url, counts(*((chance.choice(NAMES), act) for _ in range(chance.randint(1, 6)))))
        case "round":
            chance.choice(workers).round()
        case "restart":
            workers.remove(left := chance.choice(workers))
            left.close()
            workers.append(worker(url, views, chance))
        case "stop":
            builds.set_stopped(conn, BuildId(chance.choice(views).name, 1, 1), "for the test")
        case "go on":
            builds.set_stopped(conn, BuildId(chance.choice(views).name, 1, 1), None)
        case "apart":
            let_builds_stand_apart(conn)


def test_a_step_announces_that_views_moved_and_one_that_is_taken_back_does_not(url, conn):
    views = [numbers("one")]
    with feeding(url, views) as feeder, database.connect(url, role=None, name="listener") as listener:
        feeder.catch_up()
        feeder.round()
        listener.execute(f'listen "{checkpoints.MOVED}"')
        append(url, counts(("a", 1)))
        conn.execute("update views.shared_checkpoint set revision = revision + 1")  # another was here
        feeder.round()
        taken_back = list(listener.notifies(timeout=0))
        feeder.catch_up()
        moved = list(listener.notifies(timeout=60, stop_after=1))

    assert not taken_back
    assert [each.channel for each in moved] == [checkpoints.MOVED]
