"""Signals that ask a process to stop, at the moments at which the main thread does not notice them."""

import os
import signal

import pytest

from devservers import standalone
from runtime.signals import stop_on_signals

WAIT_S = 60.0


@pytest.fixture(params=[stop_on_signals, standalone.stop_on_signals], ids=["role", "shop"])
def stop(request):
    with request.param() as stop:
        stop.interrupts = False  # a shop has started
        yield stop


def test_a_signal_ends_a_wait_that_it_does_not_interrupt(stop):
    """Like one that comes between the last look for signals and the sleep: handlers are called after the wait."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.wait(WAIT_S)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


def test_a_signal_that_comes_while_its_thread_has_the_lock_of_the_event_holds_up_nobody(stop):
    with stop._cond:
        os.kill(os.getpid(), signal.SIGTERM)

    assert stop.wait(WAIT_S)


def test_other_signals_set_nothing_and_those_before_are_handled_again():
    before = signal.getsignal(signal.SIGTERM), signal.set_wakeup_fd(-1)
    former = signal.signal(signal.SIGUSR1, lambda *_: None)
    with stop_on_signals() as stop:
        os.kill(os.getpid(), signal.SIGUSR1)
        os.kill(os.getpid(), signal.SIGUSR1)
    signal.signal(signal.SIGUSR1, former)

    assert not stop.is_set()
    assert before == (signal.getsignal(signal.SIGTERM), signal.set_wakeup_fd(before[1]))
