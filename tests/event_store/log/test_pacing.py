"""An audit works a quarter of the time while others append, and all of it while nobody does."""

import pytest

from event_store.log import pacing
from event_store.log.pacing import Pace


class Machine:
    """A clock that only work and pauses move, and a log that somebody appends to, or nobody."""

    def __init__(self):
        self.now = 100.0
        self.position = 7
        self.appending = True
        self.paused = 0.0
        self.asked = 0

    def head(self):
        self.asked += 1
        self.position += self.appending
        return self.position

    def sleep(self, seconds):
        self.now += seconds
        self.paused += seconds

    def work(self, pace, *, pieces, seconds):
        for _ in range(pieces):
            self.now += seconds
            pace.give_way()


@pytest.fixture
def machine():
    return Machine()


@pytest.fixture
def pace(machine):
    return Pace(machine.head, clock=lambda: machine.now, sleep=machine.sleep)


def test_three_quarters_of_the_time_are_the_appenders(machine, pace):
    machine.work(pace, pieces=400, seconds=0.01)
    unaware = pacing.CHECK_EVERY_S  # before it asks for the first time
    assert machine.paused == pytest.approx((4 - unaware) * pacing.PAUSES_PER_WORK, abs=0.1)


def test_a_log_at_rest_is_read_without_a_pause(machine, pace):
    machine.appending = False
    machine.work(pace, pieces=400, seconds=0.01)
    assert machine.paused == 0


def test_the_pauses_end_with_the_appends(machine, pace):
    machine.work(pace, pieces=100, seconds=0.01)
    machine.appending = False
    machine.work(pace, pieces=100, seconds=pacing.CHECK_EVERY_S)
    paused = machine.paused
    machine.work(pace, pieces=100, seconds=0.01)
    assert machine.paused == paused


def test_the_head_is_asked_for_four_times_a_second(machine, pace):
    machine.appending = False
    machine.work(pace, pieces=1_000, seconds=0.001)
    assert machine.asked <= 1 + 1 / pacing.CHECK_EVERY_S


def test_no_pause_is_longer_than_half_a_second(machine, pace):
    machine.work(pace, pieces=1, seconds=60.0)
    assert machine.paused == pacing.PAUSE_S_MAX
