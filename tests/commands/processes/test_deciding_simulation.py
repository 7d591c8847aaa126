"""Two workers of process managers under a seeded scheduler: crashes, repeats, lost answers, others at every step."""

import random

import pytest
from msgspec import structs

from commands import limits, recording
from commands.processes import deciding as product
from commands.processes.deciding import Decider
from commands.processes.process import Rejected
from counterfoil.testing.scheduling import FIXED_SEED, FOUND_WITHIN, first_problem
from event_store.consumers.backlog import Progress
from event_store.log.envelope import ANY, Expectation
from tests.commands.processes import deciding
from tests.sizes import BUYING, DECIDING

SCHEDULES = DECIDING.chosen


def expecting_no_version(decision, view, **given):
    """An append that goes through whatever happened to its streams meanwhile."""
    request = recording.append_request(decision, view, **given)
    anything = tuple(Expectation(each.stream, ANY) for each in request.expectations)
    return structs.replace(request, expectations=anything)


@pytest.mark.slow
def test_every_trigger_has_one_outcome_and_nothing_is_oversold_whatever_crashes_repeats_or_conflicts(
    explored,
):
    assert {} == explored(deciding.run, schedules=SCHEDULES)


@pytest.mark.slow
def test_of_64_buyers_of_the_last_10_units_exactly_10_win(explored):
    assert {} == explored(deciding.sell_the_last_units, schedules=BUYING.chosen)


def test_selling_the_last_units_twice_is_found(monkeypatch):
    monkeypatch.setattr(product, "append_request", expecting_no_version)

    assert first_problem(deciding.sell_the_last_units) < FOUND_WITHIN


def test_refusing_from_the_cache_is_found(monkeypatch):
    monkeypatch.setattr(Decider, "_is_settled", lambda _self, _trigger, _batch: True)

    assert first_problem(deciding.run) < FOUND_WITHIN


def test_a_key_for_each_branch_is_found(monkeypatch):
    def append_request(decision, view, **given):
        request = recording.append_request(decision, view, **given)
        if isinstance(decision, Rejected) or not decision.events:
            return structs.replace(request, key=bytes(reversed(request.key)))
        return request

    monkeypatch.setattr(product, "append_request", append_request)

    assert first_problem(deciding.run) < FOUND_WITHIN


def test_a_key_for_each_attempt_is_found(monkeypatch):
    chance = random.Random(FIXED_SEED)

    def append_request(decision, view, **given):
        return structs.replace(recording.append_request(decision, view, **given), key=chance.randbytes(16))

    monkeypatch.setattr(product, "append_request", append_request)

    assert first_problem(deciding.run) < FOUND_WITHIN


def test_ignoring_the_chain_is_found(monkeypatch):
    def append_request(decision, view, **given):
        return structs.replace(recording.append_request(decision, view, **given), chain=None)

    monkeypatch.setattr(product, "append_request", append_request)

    assert first_problem(deciding.run) < FOUND_WITHIN


def test_expecting_no_version_is_found(monkeypatch):
    monkeypatch.setattr(product, "append_request", expecting_no_version)

    assert first_problem(deciding.run) < FOUND_WITHIN


def test_keeping_speculative_states_of_a_broken_chain_is_found(monkeypatch):
    true_answered = Decider.answered

    def answered(self, answers, *, at_s):
        for decided in self._flight.decided:
            self._states.settle(decided.decision, decided.view, first=0)
        true_answered(self, answers, at_s=at_s)

    monkeypatch.setattr(Decider, "answered", answered)

    assert first_problem(deciding.run) < FOUND_WITHIN


def test_a_checkpoint_before_the_outcome_is_found(monkeypatch):
    monkeypatch.setattr(Progress, "reached", property(lambda self: self.read))

    assert first_problem(deciding.run) < FOUND_WITHIN


def test_parking_without_looking_for_an_outcome_is_found(monkeypatch):
    true_loaded = Decider.loaded

    def loaded(self, number, found):
        true_loaded(self, number, structs.replace(found, outcomes={}))

    monkeypatch.setattr(Decider, "loaded", loaded)

    assert first_problem(deciding.run) < FOUND_WITHIN


def test_a_table_of_states_far_too_small_only_costs_readings(monkeypatch):
    monkeypatch.setattr(limits, "STATES_MAX", 2)

    assert first_problem(deciding.run, within=60) == 60
