"""Two policy workers under a seeded scheduler: crashes, repeats, lost answers and other writers at every step."""

import random

import pytest
from msgspec import structs

from commands.policies import pipeline, progress, trigger
from commands.policies.pipeline import Pipeline
from commands.policies.states import StateTable
from event_store.envelope import ANY, Expectation
from tests.commands.policies import deciding
from tests.simulation.exploring import FIXED_SEED, FOUND_WITHIN, explore, first_problem

SCHEDULES = 700


@pytest.mark.slow
def test_every_trigger_has_one_outcome_and_nothing_is_oversold_whatever_crashes_repeats_or_conflicts(
    first_seed, capsys
):
    assert {} == explore(deciding.run, first_seed, schedules=SCHEDULES, capsys=capsys)


def test_refusing_from_the_cache_is_found(monkeypatch):
    monkeypatch.setattr(Pipeline, "_is_settled", lambda _self, _trigger: True)

    assert first_problem(deciding.run) < FOUND_WITHIN


def test_a_key_for_each_branch_is_found(monkeypatch):
    def request_of(cause, decision, **given):
        request = trigger.request_of(cause, decision, **given)
        if decision.refused_by or not decision.events:
            return structs.replace(request, key=bytes(reversed(request.key)))
        return request

    monkeypatch.setattr(pipeline, "request_of", request_of)

    assert first_problem(deciding.run) < FOUND_WITHIN


def test_a_key_for_each_attempt_is_found(monkeypatch):
    chance = random.Random(FIXED_SEED)

    def request_of(cause, decision, **given):
        return structs.replace(trigger.request_of(cause, decision, **given), key=chance.randbytes(16))

    monkeypatch.setattr(pipeline, "request_of", request_of)

    assert first_problem(deciding.run) < FOUND_WITHIN


def test_ignoring_the_chain_is_found(monkeypatch):
    def request_of(cause, decision, **given):
        return structs.replace(trigger.request_of(cause, decision, **given), chain=None)

    monkeypatch.setattr(pipeline, "request_of", request_of)

    assert first_problem(deciding.run) < FOUND_WITHIN


def test_expecting_no_version_is_found(monkeypatch):
    def request_of(cause, decision, **given):
        request = trigger.request_of(cause, decision, **given)
        anything = tuple(Expectation(each.stream, ANY) for each in request.expectations)
        return structs.replace(request, expectations=anything)

    monkeypatch.setattr(pipeline, "request_of", request_of)

    assert first_problem(deciding.run) < FOUND_WITHIN


def test_keeping_hope_after_a_broken_chain_is_found(monkeypatch):
    monkeypatch.setattr(StateTable, "drop_hope", lambda _self: None)

    assert first_problem(deciding.run) < FOUND_WITHIN


def test_a_checkpoint_before_the_outcome_is_found(monkeypatch):
    def reached(self):
        return dict(self._delivered)

    monkeypatch.setattr(progress.Progress, "reached", reached)

    assert first_problem(deciding.run) < FOUND_WITHIN


def test_parking_without_looking_for_an_outcome_is_found(monkeypatch):
    monkeypatch.setattr(Pipeline, "_fail", Pipeline._park)

    assert first_problem(deciding.run) < FOUND_WITHIN


def test_a_table_of_states_far_too_small_only_costs_readings(monkeypatch):
    monkeypatch.setattr(StateTable.__init__, "__kwdefaults__", {"states_max": 2})

    assert first_problem(deciding.run, within=100) == 100
