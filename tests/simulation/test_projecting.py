"""Projection workers, cache and readers under a seeded scheduler, and defects planted in each of their guards."""

import pytest

from counterfoil.testing.scheduling import FIXED_SEED, FOUND_WITHIN, first_problem
from event_store.log import paging, reading
from event_store.transport import following, relay
from projections import mirroring, step
from projections.step import BuildBatch, Move
from read_api.reading.mirror import MirroredDocuments
from tests.simulation import carrying, projecting
from tests.simulation.exploring import crashed_at_each_step, silence
from tests.sizes import PROJECTING

SCHEDULES = PROJECTING.chosen


@pytest.fixture(autouse=True)
def _in_memory(monkeypatch):
    """What the steps read of the log, they read of the one in memory."""
    monkeypatch.setattr(paging, "page_after", projecting.page_after)
    monkeypatch.setattr(reading, "leaves_at", projecting.leaves_at)
    monkeypatch.setattr(reading, "leaf_at", projecting.leaf_at)
    monkeypatch.setattr(mirroring, "ROWS_PER_STEP", 2)
    silence(monkeypatch, relay, mirroring)


@pytest.mark.slow
def test_rows_and_documents_are_the_fold_and_no_answer_is_older_than_it_says_whatever_happens(
    explored,
):
    assert {} == explored(projecting.run, schedules=SCHEDULES)


def test_a_crash_at_any_single_step_changes_nothing(monkeypatch):
    found = crashed_at_each_step(monkeypatch, projecting.run)

    assert {} == {step: problems for step, problems in found.items() if problems}
    assert len(found) > 200


def test_readers_do_get_answers_from_the_cache(monkeypatch):
    readers = []
    true_init = projecting.Reader.__init__

    def init(self, world):
        true_init(self, world)
        readers.append(self)

    monkeypatch.setattr(projecting.Reader, "__init__", init)
    for seed in range(20):
        projecting.run(FIXED_SEED + seed)

    assert sum(reader.answered for reader in readers) > len(readers)
    assert sum(reader.from_memory for reader in readers) > len(readers) / 2
    assert any(reader.filled for reader in readers)


def test_believing_a_cache_that_was_restarted_is_found(monkeypatch):
    monkeypatch.setattr(MirroredDocuments, "required", lambda *_: -1)

    assert first_problem(projecting.run) < FOUND_WITHIN


def test_a_document_put_back_whatever_the_checkpoint_says_is_found(monkeypatch):
    monkeypatch.setattr(projecting.Cache, "may_fill", lambda *_: True)

    assert first_problem(projecting.run) < FOUND_WITHIN


def test_announcements_behind_the_replies_are_found(monkeypatch):
    """As in broadcasting mode, or over two connections."""
    monkeypatch.setattr(projecting.Reader, "hear_before_reply", lambda _: None)

    assert first_problem(projecting.run) < FOUND_WITHIN


def test_a_checkpoint_after_the_commit_is_found(monkeypatch):
    def commit(self, plans):
        before = dict(self.world.cursors)
        self.world.commit(plans)
        self.world.cursors = before
        self.world.border()
        for plan in plans:
            self.world.move(plan)

    monkeypatch.setattr(projecting.Projector, "commit", commit)

    assert first_problem(projecting.run) < FOUND_WITHIN


def test_a_checkpoint_before_the_rows_is_found(monkeypatch):
    def commit(self, plans):
        for plan in plans:
            self.world.move(plan)
        self.world.border()
        for plan in plans:
            self.world.rows |= plan.rows

    monkeypatch.setattr(projecting.Projector, "commit", commit)

    assert first_problem(projecting.run) < FOUND_WITHIN


def test_a_checkpoint_moved_from_wherever_it_is_is_found(monkeypatch):
    def commit(self, plans):
        for plan in plans:
            self.world.move(plan)
            self.world.rows |= plan.rows

    monkeypatch.setattr(projecting.Projector, "commit", commit)

    assert first_problem(projecting.run) < FOUND_WITHIN


def batch_of_everything(following, feed):
    """A planted defect: whatever the feed holds is folded, wherever the build stands."""
    moves = [
        Move(following.build, source, cursor, feed[source].position, feed[source].leaf)
        for source, cursor in following.cursors.items()
        if source in feed
    ]
    return BuildBatch(
        following,
        moves=moves,
        decoded_events={move.source: feed[move.source].decoded_events for move in moves},
    )


def test_taking_any_mark_for_ones_own_while_documents_are_written_again_is_found(monkeypatch):
    monkeypatch.setattr(mirroring, "_new_mark", lambda: mirroring._NOTHING.value)

    assert first_problem(projecting.run) < FOUND_WITHIN


def test_folding_whatever_is_delivered_is_found(monkeypatch):
    monkeypatch.setattr(following, "link", carrying.broken_link_that_applies_repeats)
    monkeypatch.setattr(step, "_batch", batch_of_everything)

    assert first_problem(projecting.run) < FOUND_WITHIN
