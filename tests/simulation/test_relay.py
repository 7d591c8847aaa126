"""Relay and consumer under a seeded scheduler: crashes, losses, repeats and overtaking at every step."""

import logging
import os
import random

import pytest
import structlog

from event_store import following, relay
from tests.simulation import carrying
from tests.simulation.exploring import explore

SCHEDULES = 2_000
PLANTED_FOUND_WITHIN = 2_000
STEPS = 230
SILENT = structlog.make_filtering_bound_logger(logging.CRITICAL)
FIXED_SEED = 20_101_201


@pytest.fixture(autouse=True)
def _silence(monkeypatch):
    """Thousands of relays that are built and die say so; writing it down would take longer than running them."""
    monkeypatch.setattr(relay, "log", structlog.wrap_logger(None, wrapper_class=SILENT))


@pytest.fixture(params=["fixed", "fresh"])
def first_seed(request):
    seed = FIXED_SEED if request.param == "fixed" else random.SystemRandom().randrange(2**32)
    return int(os.environ.get("SIMULATION_SEED", seed))


@pytest.mark.slow
def test_every_event_is_applied_once_and_in_order_whatever_crashes_repeats_overtakes_or_is_lost(
    first_seed, capsys
):
    assert {} == explore(carrying.run, first_seed, schedules=SCHEDULES, capsys=capsys)


def test_a_crash_at_any_single_step_changes_nothing():
    found = {step: carrying.run(FIXED_SEED, crash_at=step) for step in range(1, STEPS + 1)}

    assert {} == {step: problems for step, problems in found.items() if problems}


@pytest.mark.parametrize(
    "defect", [carrying.broken_link_that_ignores_prev, carrying.broken_link_that_applies_repeats]
)
def test_a_broken_link_rule_is_found(defect, monkeypatch):
    monkeypatch.setattr(following, "link", defect)

    assert first_problem() < PLANTED_FOUND_WITHIN


def test_believing_a_silent_broker_is_found(monkeypatch):
    monkeypatch.setattr(following, "STALE_AFTER_S", float("inf"))

    assert first_problem() < PLANTED_FOUND_WITHIN


def first_problem() -> int:
    """How many schedules it takes to see the defect."""
    return next(
        (number for number in range(PLANTED_FOUND_WITHIN) if carrying.run(FIXED_SEED + number)),
        PLANTED_FOUND_WITHIN,
    )
