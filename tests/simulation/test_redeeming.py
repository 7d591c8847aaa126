"""Coupons of checkouts under a seeded scheduler, and the defects planted in what they are limited by."""

import asyncio
import functools

import pytest

from commands import decision, limits
from counterfoil.testing.scheduling import FOUND_WITHIN, first_problem
from event_store.log import reading
from event_store.log.envelope import Condition
from tests.simulation import commanding, redeeming
from tests.sizes import REDEEMING


@pytest.fixture(autouse=True)
def _in_memory(monkeypatch):
    monkeypatch.setattr(reading, "load_streams_async", commanding.load_streams)
    monkeypatch.setattr(reading, "read_tagged_async", redeeming.read_tagged)
    monkeypatch.setattr(limits, "RETRY_PAUSE_MAX_S", 0.0)


@pytest.fixture
def run():
    """One schedule of a seed; all of a test in one loop."""
    loop = asyncio.new_event_loop()
    yield functools.partial(redeeming.run, loop=loop)
    loop.close()


@pytest.mark.slow
def test_of_64_checkouts_with_a_coupon_for_10_exactly_10_redeem_it(explored, run):
    assert {} == explored(run, schedules=REDEEMING.chosen)


def test_a_limit_that_the_append_does_not_name_is_found(run, monkeypatch):
    monkeypatch.setattr(decision, "Condition", lambda tags, types, _: Condition(tags, types, 1_000_000))

    assert first_problem(run) < FOUND_WITHIN
