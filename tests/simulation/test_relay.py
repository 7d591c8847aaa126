"""Relay and consumer under a seeded scheduler: crashes, losses, repeats and overtaking at every step."""

import pytest

from counterfoil.testing.scheduling import FOUND_WITHIN, first_problem
from event_store.transport import following, relay
from tests.simulation import carrying
from tests.simulation.exploring import crashed_at_each_step, silence
from tests.sizes import RELAYING

SCHEDULES = RELAYING.chosen


@pytest.fixture(autouse=True)
def _silence(monkeypatch):
    silence(monkeypatch, relay)


@pytest.mark.slow
def test_every_event_is_applied_once_and_in_order_whatever_crashes_repeats_overtakes_or_is_lost(
    explored,
):
    assert {} == explored(carrying.run, schedules=SCHEDULES)


def test_a_crash_at_any_single_step_changes_nothing(monkeypatch):
    found = crashed_at_each_step(monkeypatch, carrying.run)

    assert {} == {step: problems for step, problems in found.items() if problems}
    assert len(found) > 100


@pytest.mark.parametrize(
    "defect", [carrying.broken_link_that_ignores_prev, carrying.broken_link_that_applies_repeats]
)
def test_a_broken_link_rule_is_found(defect, monkeypatch):
    monkeypatch.setattr(following, "link", defect)

    assert first_problem(carrying.run) < FOUND_WITHIN


def test_believing_a_silent_broker_is_found(monkeypatch):
    monkeypatch.setattr(following, "STALE_AFTER_S", float("inf"))

    assert first_problem(carrying.run) < FOUND_WITHIN
