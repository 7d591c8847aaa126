"""A worker may die between any two steps, and two may act as owner of a partition: rows are never wrong for long."""

import threading

import psycopg
import pytest

from counterfoil.contexts import CONTEXTS
from event_store.consumers import parking
from event_store.log import reading
from event_store.transport import generations
from projections import adopting, builds, checkpoints, rebuild, verifying
from projections.performing import SESSION, Performer
from projections.storing import BuildId
from runtime import database
from runtime.documents import MemoryDocuments
from tests.parked import request_retry
from tests.projections.counting import POISON, Faults, counting_views, counts
from tests.projections.feeding import (
    append,
    assert_views_hold_the_log,
    feeding,
    history,
    let_builds_stand_apart,
    settle,
    stored,
)

BY_NAME = {view.name: view for view in CONTEXTS.views}
LIVES_MAX = 200


class Died(Exception):
    """The process ended here."""


class Fate:
    """Lets a number of steps happen, then ends the process: before the next step, or right behind it."""

    def __init__(self, steps, *, behind):
        self.left = steps
        self.behind = behind

    def step(self, effect):
        if self.left == 0 and not self.behind:
            raise Died
        answer = effect()
        if self.left == 0:
            raise Died
        self.left -= 1
        return answer


class FatedDocuments:
    def __init__(self, kept):
        self.kept = kept
        self.fate = Fate(10**9, behind=False)

    def __getattr__(self, name):
        return lambda *given, **named: self.fate.step(lambda: getattr(self.kept, name)(*given, **named))


@pytest.mark.parametrize("behind", [False, True])
def test_a_worker_that_dies_at_every_step_still_folds_every_event_once(shop_url, monkeypatch, behind):
    fates: list[Fate] = []
    perform = Performer.perform
    monkeypatch.setattr(
        Performer, "perform", lambda self, effect: fates[-1].step(lambda: perform(self, effect))
    )
    documents = FatedDocuments(MemoryDocuments())
    events = history(20, steps=15)
    half = len(events) // 2
    lives = 0
    for part in (events[:half], events[half:]):
        append(shop_url, part)
        for steps in range(LIVES_MAX):
            lives += 1
            fates.append(Fate(steps, behind=behind))
            documents.fate = fates[-1]
            try:
                with feeding(shop_url, CONTEXTS.views, documents=documents) as feeder:
                    feeder.catch_up()
                break
            except Died:
                continue
        else:
            raise AssertionError("never got through")

    assert lives > 30
    assert_views_hold_the_log(shop_url, CONTEXTS.views)


def test_two_workers_on_the_same_partitions_never_write_an_event_twice(shop_url):
    events = history(21)
    with feeding(shop_url, CONTEXTS.views) as one, feeding(shop_url, CONTEXTS.views) as other:
        for number, first in enumerate(range(0, len(events), 30)):
            append(shop_url, events[first : first + 30])
            for worker in (one, other) if number % 2 else (other, one):
                worker.round()
                worker.round()
        one.catch_up()
        other.catch_up()
        conflicts = sum(each.count("counterfoil_projection_conflicts_total") for each in (one, other))

    assert conflicts > 0
    assert_views_hold_the_log(shop_url, CONTEXTS.views)


def test_a_zombie_with_cached_rows_does_not_overwrite_its_successor(database_url):
    views = counting_views(Faults())
    settle(database_url)
    append(database_url, counts(("a", 1)))
    with feeding(database_url, views) as zombie, feeding(database_url, views) as successor:
        zombie.catch_up()
        append(database_url, counts(("a", 2)))
        successor.catch_up()
        append(database_url, counts(("a", 3)))
        zombie.catch_up()
        with database.connect(database_url, role="counterfoil_projector", name="test") as conn:
            rows = stored(conn, views[0])

    (row,) = [each.row for each in rows.values()]
    assert getattr(row, "numbers", None) == (1, 2, 3)


def test_partitions_may_change_hands_back_and_forth(shop_url):
    events = history(22)
    with database.connect(shop_url, role="counterfoil_reader", name="test") as conn:
        sources = list(range(generations.current_generation(conn).partitions))
    half = set(sources[::2])
    with (
        feeding(shop_url, CONTEXTS.views, sources=half) as one,
        feeding(shop_url, CONTEXTS.views, sources=set(sources) - half) as other,
    ):
        for number, first in enumerate(range(0, len(events), 30)):
            append(shop_url, events[first : first + 30])
            moving = {sources[number % len(sources)]}
            giver, taker = (one, other) if moving <= one.worker._sources else (other, one)
            giver.carrier.revoke(moving)
            giver.round()
            taker.carrier.assign(moving)
            for worker in (taker, giver):
                worker.round()
                worker.round()
        one.catch_up()
        other.catch_up()

    assert_views_hold_the_log(shop_url, CONTEXTS.views)


def test_a_session_that_the_server_cut_off_starts_anew(shop_url):
    append(shop_url, history(23))
    with feeding(shop_url, CONTEXTS.views) as feeder:
        feeder.round()
        with database.connect(shop_url, role=None, name="test") as admin:
            admin.execute("select pg_terminate_backend(%s)", [feeder.conn.info.backend_pid])
        with pytest.raises(psycopg.OperationalError):
            feeder.catch_up()
    with feeding(shop_url, CONTEXTS.views) as feeder:
        feeder.catch_up()

    assert_views_hold_the_log(shop_url, CONTEXTS.views)


def test_a_transaction_left_open_is_ended_by_the_server():
    assert SESSION["idle_in_transaction_session_timeout"] == "5s"


def test_a_build_that_folded_what_the_log_no_longer_holds_is_stopped_and_rebuilt(shop_url):
    append(shop_url, history(24))
    with feeding(shop_url, CONTEXTS.views) as feeder:
        feeder.catch_up()
    view = BY_NAME["stock_level"]
    with database.connect(shop_url, role="counterfoil_projector", name="test") as conn:
        let_builds_stand_apart(conn)
        conn.execute(
            "update views.build_checkpoint set leaf = '\\x00' where view = 'stock_level' and partition = 0"
        )
        with feeding(shop_url, CONTEXTS.views) as feeder:
            feeder.catch_up()
            stopped = feeder.stopped()
            append(shop_url, history(25))
            *_, last = rebuild.rebuild(shop_url, view)
            feeder.catch_up()
            rebuild.promote(shop_url, view, last.build)

        assert "rebuild the view" in (stopped["stock_level"] or "")
        assert [name for name, reason in stopped.items() if reason] == ["stock_level"]
        assert verifying.verify(conn, [view])[0].matches
        assert builds.live(conn, "stock_level") == BuildId("stock_level", 1, 2)


def test_a_new_generation_is_entered_when_the_old_one_is_read_to_its_end(shop_url):
    events = history(26)
    append(shop_url, events[:100])
    with feeding(shop_url, CONTEXTS.views) as feeder:
        feeder.catch_up()
    append(shop_url, events[100:150])
    with database.connect(shop_url, role="counterfoil_owner", name="test") as conn:
        before = generations.current_generation(conn)
        generations.settle(conn, carrier="local", partitions=5)
    append(shop_url, events[150:200])
    with database.connect(shop_url, role="counterfoil_projector", name="test") as conn:
        current = generations.current_generation(conn)
        adopting.enter_generation(conn, CONTEXTS.views, generation=current, stop=threading.Event())
        cursors = checkpoints.read(conn, [BuildId("order_details", 1, 1)], generation=current.generation)
    positions = {cursor.position for cursor in cursors[BuildId("order_details", 1, 1)].values()}
    append(shop_url, events[200:])
    with feeding(shop_url, CONTEXTS.views) as feeder:
        feeder.catch_up()

    assert current.generation == before.generation + 1
    assert (len(cursors[BuildId("order_details", 1, 1)]), positions) == (5, {current.start_position - 1})
    assert_views_hold_the_log(shop_url, CONTEXTS.views)


def test_several_generations_may_have_passed(shop_url):
    events = history(27)
    with feeding(shop_url, CONTEXTS.views) as feeder:
        feeder.catch_up()
    for partitions in (5, 7, 3):
        append(shop_url, events[:40])
        events = events[40:]
        with database.connect(shop_url, role="counterfoil_owner", name="test") as conn:
            generations.settle(conn, carrier="local", partitions=partitions)
    with database.connect(shop_url, role="counterfoil_projector", name="test") as conn:
        current = generations.current_generation(conn)
        adopting.enter_generation(conn, CONTEXTS.views, generation=current, stop=threading.Event())
        assert reading.head(conn).position == 120
    append(shop_url, events)
    with feeding(shop_url, CONTEXTS.views) as feeder:
        feeder.catch_up()

    assert_views_hold_the_log(shop_url, CONTEXTS.views)


def test_a_first_start_in_a_later_generation_begins_at_the_beginning(database_url):
    settle(database_url)
    append(database_url, history(28))
    with database.connect(database_url, role="counterfoil_owner", name="test") as conn:
        generations.settle(conn, carrier="local", partitions=5)
    append(database_url, history(29))
    with feeding(database_url, CONTEXTS.views) as feeder:
        feeder.catch_up()

    assert_views_hold_the_log(database_url, CONTEXTS.views)


def test_a_build_that_stopped_in_an_earlier_generation_is_rebuilt(database_url, monkeypatch):
    monkeypatch.setattr(parking, "WAITING_PER_KEY_MAX", 0)
    faults = Faults()
    views = counting_views(faults)
    settle(database_url)
    append(database_url, counts(("a", 1), ("b", POISON), ("b", 2)))
    with feeding(database_url, views) as feeder:
        feeder.catch_up()
    with database.connect(database_url, role="counterfoil_owner", name="test") as conn:
        generations.settle(conn, carrier="local", partitions=5)
    append(database_url, counts(("a", 3)))
    with database.connect(database_url, role="counterfoil_projector", name="test") as conn:
        current = generations.current_generation(conn)
        adopting.enter_generation(conn, views, generation=current, stop=threading.Event())
        with feeding(database_url, views) as feeder:
            feeder.catch_up()
            faults.numbers.clear()
            keyed = request_retry(conn, "counters", "counter-b")
            summed = request_retry(conn, "totals", "counter-b")
            feeder.catch_up()
            *_, last = rebuild.rebuild(database_url, views[0])
            feeder.catch_up()
            rebuild.promote(database_url, views[0], last.build)

        assert "rebuild the view" in (parking.outcome_of(conn, keyed) or "")
        assert "continued" in (parking.outcome_of(conn, summed) or ""), "generations are not its concern"
        assert all(each.matches and each.stopped is None for each in verifying.verify(conn, views))
