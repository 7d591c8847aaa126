"""Erasures racing orders of the same customers under a seeded scheduler, and defects in what keeps them apart."""

import asyncio
import functools

import pytest

from commands import customers, limits, ordering
from commands.gateways.shredding import Destroyed, Shredder
from counterfoil.testing.scheduling import FOUND_WITHIN, first_problem
from event_store.log import reading
from tests.simulation import commanding, erasing
from tests.sizes import ERASING

SCHEDULES = ERASING.chosen


@pytest.fixture(autouse=True)
def _in_memory(monkeypatch):
    monkeypatch.setattr(reading, "load_streams_async", commanding.load_streams)
    monkeypatch.setattr(reading, "read_tagged_async", erasing.read_tagged)
    monkeypatch.setattr(limits, "RETRY_PAUSE_MAX_S", 0.0)


@pytest.fixture
def run():
    """One schedule of a seed; all of a test in one loop."""
    loop = asyncio.new_event_loop()
    yield functools.partial(erasing.run, loop=loop)
    loop.close()


@pytest.mark.slow
def test_an_order_and_an_erasure_at_once_leave_nothing_that_can_be_opened_and_nothing_lost(explored, run):
    assert {} == explored(run, schedules=SCHEDULES)


def test_an_order_that_does_not_read_its_customer_is_found(run, monkeypatch):
    monkeypatch.setattr(ordering, "_require_registered", lambda *_: None)

    assert first_problem(run) < FOUND_WITHIN


def test_an_erasure_that_reads_no_orders_is_found(run, monkeypatch):
    monkeypatch.setattr(customers, "_open_orders", lambda *_: [])

    assert first_problem(run) < FOUND_WITHIN


def test_an_erasure_that_is_recorded_before_keys_are_destroyed_is_found(run, monkeypatch):
    async def ask(self, _key, _intent):
        return Destroyed()

    monkeypatch.setattr(Shredder, "ask", ask)

    assert first_problem(run) < FOUND_WITHIN
