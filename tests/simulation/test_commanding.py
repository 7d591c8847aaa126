"""Command APIs under a seeded scheduler, and the defects planted in what they believe and remember."""

import asyncio
import os
import random

import pytest

from commands import limits
from commands.execution import Execution
from event_store import reading
from event_store.envelope import Accepted
from event_store.memory import MemoryLog
from tests.simulation import commanding
from tests.simulation.exploring import explore

SCHEDULES = 300
PLANTED_FOUND_WITHIN = 2_000
FIXED_SEED = 20_101_201


@pytest.fixture(autouse=True)
def _in_memory(monkeypatch):
    monkeypatch.setattr(reading, "load_streams_async", commanding.load_streams)
    monkeypatch.setattr(limits, "RETRY_PAUSE_MAX_S", 0.0)


@pytest.fixture
def loop():
    made = asyncio.new_event_loop()
    yield made
    made.close()


@pytest.fixture(params=["fixed", "fresh"])
def first_seed(request):
    seed = FIXED_SEED if request.param == "fixed" else random.SystemRandom().randrange(2**32)
    return int(os.environ.get("SIMULATION_SEED", seed))


@pytest.mark.slow
def test_every_command_has_one_outcome_and_every_refusal_was_right_while_its_caller_waited(
    first_seed, loop, capsys
):
    def run(seed):
        return commanding.run(seed, loop=loop)

    assert {} == explore(run, first_seed, schedules=SCHEDULES, capsys=capsys)


def test_a_refusal_from_the_cache_is_found(loop, monkeypatch):
    true_view = Execution._view

    async def view(self, work):
        state, _ = await true_view(self, work)
        return state, True

    monkeypatch.setattr(Execution, "_view", view)

    assert first_problem(loop) < PLANTED_FOUND_WITHIN


def test_a_refusal_without_looking_for_an_outcome_is_found(loop, monkeypatch):
    async def refused(self, work, problem, *, epoch):
        raise problem

    monkeypatch.setattr(Execution, "_refused", refused)

    assert first_problem(loop) < PLANTED_FOUND_WITHIN


def test_an_outcome_kept_outside_the_transaction_of_its_events_is_found(loop, monkeypatch):
    true_append, chance = MemoryLog._append, random.Random(FIXED_SEED)

    def append(self, request, broken):
        verdict = true_append(self, request, broken)
        if isinstance(verdict, Accepted) and chance.random() < 0.05:
            del self._outcomes[request.key]
        return verdict

    monkeypatch.setattr(MemoryLog, "_append", append)

    assert first_problem(loop) < PLANTED_FOUND_WITHIN


def first_problem(loop):
    """How many schedules it takes to see the defect; a defect may also show as a broken assertion."""
    for number in range(PLANTED_FOUND_WITHIN):
        try:
            if commanding.run(FIXED_SEED + number, loop=loop):
                return number
        except AssertionError:
            return number
    return PLANTED_FOUND_WITHIN
