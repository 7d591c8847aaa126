"""Timers under a seeded scheduler in virtual time, and defects planted in when they fire and what they decide on."""

import asyncio
import functools

import pytest
from msgspec import structs

from commands import limits, recording
from commands.processes import due, firing
from commands.processes.fulfilment import UNDECIDED
from counterfoil.testing.scheduling import FOUND_WITHIN, first_problem
from domain.ordering.events import OrderPlaced
from event_store.log import reading
from event_store.log.envelope import ANY, Expectation
from tests.simulation import commanding, timing
from tests.sizes import TIMING

SCHEDULES = TIMING.chosen


@pytest.fixture(autouse=True)
def _in_memory(monkeypatch):
    monkeypatch.setattr(reading, "load_streams_async", commanding.load_streams)
    monkeypatch.setattr(limits, "RETRY_PAUSE_MAX_S", 0.0)


@pytest.fixture
def run():
    """One schedule of a seed; all of a test in one loop."""
    loop = asyncio.new_event_loop()
    yield functools.partial(timing.run, loop=loop)
    loop.close()


@pytest.mark.slow
def test_every_order_is_decided_once_and_none_is_rejected_early_or_while_its_process_is_behind(explored, run):
    assert {} == explored(run, schedules=SCHEDULES)


def test_not_waiting_for_the_process_is_found(run, monkeypatch):
    monkeypatch.setattr(due.ProcessProgress, "is_behind", lambda _self, _due: False)

    assert first_problem(run) < FOUND_WITHIN


def test_counting_from_what_callers_claim_is_found(run, monkeypatch):
    monkeypatch.setitem(UNDECIDED.sets, OrderPlaced, lambda event, _recorded_at: event.placed_at)

    assert first_problem(run) < FOUND_WITHIN


def test_expecting_no_version_is_found(run, monkeypatch):
    def append_request(decision, view, **given):
        request = true_append_request(decision, view, **given)
        anything = tuple(Expectation(each.stream, ANY) for each in request.expectations)
        return structs.replace(request, expectations=anything)

    true_append_request = recording.append_request
    monkeypatch.setattr(recording, "append_request", append_request)

    assert first_problem(run) < FOUND_WITHIN


def test_a_key_that_does_not_follow_from_the_row_is_found(run, monkeypatch):
    def outcome_key(_process, _name, *, stream, set_at):
        return f"{set_at} {stream}".encode()[:16].ljust(16)

    monkeypatch.setattr(due, "outcome_key", outcome_key)

    assert first_problem(run) < FOUND_WITHIN


def test_deciding_whatever_the_stream_says_is_found(run, monkeypatch):
    def decision(timer, state, view, due_row, now):
        return true_decision(timer, structs.replace(state, status="placed"), view, due_row, now)

    true_decision = firing._decision
    monkeypatch.setattr(firing, "_decision", decision)

    assert first_problem(run) < FOUND_WITHIN
