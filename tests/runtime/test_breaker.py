"""When a breaker lets a call through."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from runtime.breaker import Breaker, BreakerState


def opened(now: float = 0.0) -> Breaker:
    breaker = Breaker(failures_max=1, open_s=1.0, open_s_max=8.0)
    breaker.failed(now)
    return breaker


def test_failures_in_a_row_open_it():
    breaker = Breaker(failures_max=3)
    for _ in range(2):
        breaker.failed(0.0)
    assert breaker.allows(0.0)

    breaker.failed(0.0)

    assert not breaker.allows(0.0)


def test_a_success_between_failures_keeps_it_closed():
    breaker = Breaker(failures_max=2)
    for _ in range(10):
        breaker.failed(0.0)
        breaker.succeeded()

    assert breaker.allows(0.0)


def test_one_probe_goes_through_after_the_pause():
    breaker = opened()

    assert [breaker.allows(0.9), breaker.allows(1.0), breaker.allows(1.0)] == [False, True, False]


def test_a_probe_that_fails_doubles_the_pause_up_to_its_limit():
    breaker, now, pauses = opened(), 0.0, []
    for _ in range(5):
        began = now
        while not breaker.allows(now):
            now += 0.5
        pauses.append(now - began)
        breaker.failed(now)

    assert pauses == [1.0, 2.0, 4.0, 8.0, 8.0]


def test_a_probe_that_succeeds_closes_it_with_the_first_pause():
    breaker = opened()
    assert breaker.allows(1.0)
    breaker.succeeded()
    breaker.failed(2.0)

    assert breaker.allows(3.0)


def test_an_abandoned_probe_does_not_keep_it_shut_for_ever():
    breaker = opened()
    assert breaker.allows(1.0)

    assert [breaker.allows(8.9), breaker.allows(9.0)] == [False, True]


@pytest.mark.parametrize("limits", [(0, 1.0, 1.0), (1, 0.0, 1.0), (1, 2.0, 1.0)])
def test_impossible_limits_are_refused(limits):
    with pytest.raises(ValueError, match="no breaker"):
        Breaker(failures_max=limits[0], open_s=limits[1], open_s_max=limits[2])


class Calls(RuleBasedStateMachine):
    """Whatever happens, an open breaker lets at most one call through per pause, and one success closes it."""

    def __init__(self) -> None:
        super().__init__()
        self.breaker = Breaker(failures_max=3, open_s=0.5, open_s_max=4.0)
        self.now = 0.0
        self.in_a_row = 0
        self.probing = False

    @rule(seconds=st.floats(min_value=0.0, max_value=3.0))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: self.breaker.state is not BreakerState.PROBING)
    @rule(answered=st.booleans())
    def call(self, *, answered: bool) -> None:
        if not self.breaker.allows(self.now):
            assert self.in_a_row >= 3
            return
        if self.breaker.state is BreakerState.PROBING:
            assert not self.breaker.allows(self.now)
        if answered:
            self.breaker.succeeded()
            self.in_a_row = 0
        else:
            self.breaker.failed(self.now)
            self.in_a_row += 1

    @invariant()
    def open_only_after_failures_in_a_row(self) -> None:
        assert (self.breaker.state is BreakerState.CLOSED) == (self.in_a_row < 3)


TestCalls = Calls.TestCase


@given(st.integers(min_value=1, max_value=10))
def test_it_stays_closed_below_its_limit(limit):
    breaker = Breaker(failures_max=limit)
    for _ in range(limit - 1):
        breaker.failed(0.0)

    assert breaker.state is BreakerState.CLOSED
