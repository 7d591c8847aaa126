"""Command APIs under a seeded scheduler, and the defects planted in what they trust and remember."""

import asyncio
import functools

import pytest

from commands import execution, limits
from commands.execution import Execution
from counterfoil.testing.scheduling import FOUND_WITHIN, first_problem
from event_store.log import reading
from tests.simulation import commanding
from tests.simulation.exploring import keep_outcomes_outside_the_transaction
from tests.sizes import COMMANDING

SCHEDULES = COMMANDING.chosen


@pytest.fixture(autouse=True)
def _in_memory(monkeypatch):
    monkeypatch.setattr(reading, "load_streams_async", commanding.load_streams)
    monkeypatch.setattr(limits, "RETRY_PAUSE_MAX_S", 0.0)


@pytest.fixture
def run():
    """One schedule of a seed; all of a test in one loop, which takes longer to make than a schedule."""
    loop = asyncio.new_event_loop()
    yield functools.partial(commanding.run, loop=loop)
    loop.close()


@pytest.mark.slow
def test_every_command_has_one_outcome_and_every_refusal_was_right_while_its_caller_waited(explored, run):
    assert {} == explored(run, schedules=SCHEDULES)


def test_a_refusal_from_the_cache_is_found(run, monkeypatch):
    monkeypatch.setattr(execution._Attempt, "fresh", property(lambda _: True))

    assert first_problem(run) < FOUND_WITHIN


def test_a_refusal_without_looking_for_an_outcome_is_found(run, monkeypatch):
    async def refused(self, work, problem, *, epoch):
        raise problem

    monkeypatch.setattr(Execution, "_refused", refused)

    assert first_problem(run) < FOUND_WITHIN


def test_an_outcome_kept_outside_the_transaction_of_its_events_is_found(run, monkeypatch):
    keep_outcomes_outside_the_transaction(monkeypatch)

    assert first_problem(run) < FOUND_WITHIN
