"""Defects planted on purpose, each found by the seeded schedulers of relay, consumer and processes within a bound.

Process managers and the link rule have theirs next to their own simulations.
"""

import pytest
from msgspec import structs

from counterfoil.testing.scheduling import FIXED_SEED, FOUND_WITHIN, first_problem
from event_store.transport import relay
from tests.chaos import mutants
from tests.chaos.laboratory import PROJECT
from tests.commands.processes import deciding
from tests.simulation import carrying
from tests.simulation.exploring import keep_outcomes_outside_the_transaction, silence

HARMLESS_SCHEDULES = 300
STILL_OPEN = 0.2


@pytest.fixture
def late_commits(monkeypatch):
    """A log whose rows are numbered before they are committed: for a while some are not to be seen."""

    def rows_after(self, position, *, limit):
        self.world.border()
        rows = self.world.log.read_after(position, limit=limit)
        return [row for row in rows if not self.world.roll(STILL_OPEN)]

    monkeypatch.setattr(carrying.Ledger, "rows_after", rows_after)


@pytest.fixture(autouse=True)
def _silence(monkeypatch):
    silence(monkeypatch, relay)


def test_a_relay_waits_for_positions_that_are_not_there_yet(late_commits):
    assert [] == [seed for seed in range(HARMLESS_SCHEDULES) if carrying.run(FIXED_SEED + seed)]


def test_a_reader_that_passes_over_positions_not_yet_committed_is_found(late_commits, monkeypatch):
    true_carry = relay.carry

    def carry(state, *, rows, frame):
        records = []
        for row in rows:
            carried = true_carry(structs.replace(state, position=row.position - 1), rows=[row], frame=frame)
            records += carried.records
            state = carried.state
        return relay.Carried(records=records, state=state)

    monkeypatch.setattr(relay, "carry", carry)

    assert first_problem(carrying.run) < FOUND_WITHIN


def test_a_checkpoint_in_a_transaction_of_its_own_is_found(monkeypatch):
    def round_in_two(self):
        followed = self.follower.poll(0.0)
        for source in followed.assigned:
            self.follower.start(source, position=self.world.checkpoints[source], leaf=None)
        for source, records in followed.records.items():
            self.world.applied[source] += [record.position for record in records]
            self.world.border()
            self.world.checkpoints[source] = records[-1].position

    monkeypatch.setattr(carrying.ConsumerActor, "_round", round_in_two)

    assert first_problem(carrying.run) < FOUND_WITHIN


def test_a_checkpoint_before_the_rows_is_found(monkeypatch):
    def round_in_two(self):
        followed = self.follower.poll(0.0)
        for source in followed.assigned:
            self.follower.start(source, position=self.world.checkpoints[source], leaf=None)
        for source, records in followed.records.items():
            self.world.checkpoints[source] = records[-1].position
            self.world.border()
            self.world.applied[source] += [record.position for record in records]

    monkeypatch.setattr(carrying.ConsumerActor, "_round", round_in_two)

    assert first_problem(carrying.run) < FOUND_WITHIN


def test_an_outcome_kept_outside_the_transaction_of_its_events_is_found(monkeypatch):
    keep_outcomes_outside_the_transaction(monkeypatch)

    assert first_problem(deciding.run) < FOUND_WITHIN


@pytest.mark.parametrize("mutant", mutants.MUTANTS, ids=lambda mutant: mutant.name)
def test_every_defect_for_the_laboratory_can_still_be_planted(mutant, tmp_path):
    tree = mutants.plant(mutant, tmp_path / "tree")

    for name, _, _ in mutant.edits():
        assert (tree / name).read_text() != (PROJECT / name).read_text()
        if name.endswith(".py"):
            compile((tree / name).read_text(), name, "exec")
