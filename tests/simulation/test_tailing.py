"""The tail of global views under a seeded scheduler, and defects planted in each of its guards."""

import pytest

from counterfoil.testing.scheduling import FIXED_SEED, FOUND_WITHIN, first_problem
from event_store.consumers import driver, parking
from event_store.log import paging, reading
from projections import adopting, catching_up, step, tailing
from tests.simulation import projecting
from tests.simulation import tailing as simulated
from tests.simulation.exploring import crashed_at_each_step, silence
from tests.simulation.test_projecting import batch_of_everything
from tests.sizes import TAILING

SCHEDULES = TAILING.chosen


@pytest.fixture(autouse=True)
def _in_memory(monkeypatch):
    """What the tail reads of the log and of the tables, it reads of those in memory."""
    monkeypatch.setattr(reading, "head", simulated.head)
    monkeypatch.setattr(reading, "leaves_at", projecting.leaves_at)
    monkeypatch.setattr(paging, "page_after", projecting.page_after)
    monkeypatch.setattr(adopting, "followings", simulated.followings)
    monkeypatch.setattr(adopting, "fed_builds", simulated.fed_builds)
    monkeypatch.setattr(parking, "pending", lambda *_, **__: [])
    monkeypatch.setattr(catching_up, "EVENTS_PER_PAGE", simulated.PAGE_EVENTS)
    monkeypatch.setattr(catching_up, "POSITIONS_PER_PAGE", simulated.PAGE_POSITIONS)
    silence(monkeypatch, driver, tailing)


@pytest.mark.slow
def test_every_event_is_in_every_build_once_and_in_the_order_of_the_log_whatever_happens(explored):
    assert {} == explored(simulated.run, schedules=SCHEDULES)


def test_a_crash_at_any_single_step_changes_nothing(monkeypatch):
    found = crashed_at_each_step(monkeypatch, simulated.run)

    assert {} == {step: problems for step, problems in found.items() if problems}
    assert len(found) > 100


def test_two_builds_are_fed_and_two_owners_meet(monkeypatch):
    worlds = []
    true_init = simulated.Books.__init__

    def init(self, seed, *, crash_at=None):
        true_init(self, seed, crash_at=crash_at)
        worlds.append(self)

    monkeypatch.setattr(simulated.Books, "__init__", init)
    before = simulated.METRICS.conflicts._value.get()
    for seed in range(20):
        simulated.run(FIXED_SEED + seed)

    assert sum(len(world.cursors) == 2 for world in worlds) > len(worlds) / 2
    assert simulated.METRICS.conflicts._value.get() > before


def test_folding_whatever_the_page_holds_is_found(monkeypatch):
    monkeypatch.setattr(step, "_batch", batch_of_everything)

    assert first_problem(simulated.run) < FOUND_WITHIN


def test_passing_over_what_a_page_had_no_room_for_is_found(monkeypatch):
    monkeypatch.setattr(paging, "reached_by", lambda _events, *, upto, rows_max: upto)  # noqa: ARG005

    assert first_problem(simulated.run) < FOUND_WITHIN


def test_a_checkpoint_moved_from_wherever_it_is_is_found(monkeypatch):
    def commit(self, plans):
        for plan in plans:
            self.world.move(plan)
            self.world.write(plan)

    monkeypatch.setattr(simulated.TailActor, "commit", commit)

    assert first_problem(simulated.run) < FOUND_WITHIN


def test_a_checkpoint_after_the_commit_is_found(monkeypatch):
    def commit(self, plans):
        before = dict(self.world.cursors)
        self.world.commit(plans)
        self.world.cursors |= before
        self.world.border()
        for plan in plans:
            self.world.move(plan)

    monkeypatch.setattr(simulated.TailActor, "commit", commit)

    assert first_problem(simulated.run) < FOUND_WITHIN


def test_a_checkpoint_before_the_rows_is_found(monkeypatch):
    def commit(self, plans):
        for plan in plans:
            self.world.move(plan)
        self.world.border()
        for plan in plans:
            self.world.write(plan)

    monkeypatch.setattr(simulated.TailActor, "commit", commit)

    assert first_problem(simulated.run) < FOUND_WITHIN


def test_going_on_with_remembered_rows_after_a_conflict_is_found(monkeypatch):
    open_anew = simulated.TailActor._open

    def open_once(self, session):
        """A planted defect: what stands in the tables is read at the start only."""
        self.kept = self.kept or open_anew(self, session)
        return self.kept

    monkeypatch.setattr(simulated.TailActor, "_open", open_once)

    assert first_problem(simulated.run) < FOUND_WITHIN
