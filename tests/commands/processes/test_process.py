"""Process managers as processes of the operating system: killed, stopped, on standby."""

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import forking
from tests.commands.processes.running import (
    append,
    counted,
    eventually,
    held_up,
    outcomes,
    placed,
    received,
    stock_of,
)

ROOT = Path(__file__).parents[3]
ORDERS = 3_000
REJECTED = 100
"""Those that find nothing of the code that is in every order; each rejection is decided about, too."""
DRAIN_S = 60.0
SLEEPER_GONE_WITHIN_S = 150.0
"""A process may be stopped inside a transaction: Postgres ends its session, and gives its locks free, after 10 s."""


@contextlib.contextmanager
def process(url: str) -> Iterator[forking.Forked]:
    """A process of them that is gone when the block ends."""
    started = forking.popen(
        [sys.executable, "-m", "tests.commands.processes.process", url], cwd=ROOT, stdout=subprocess.DEVNULL
    )
    try:
        yield started
    finally:
        started.kill()
        started.wait()


@pytest.fixture
def backlog(database_url):
    """Orders of three codes each, one of them in every order, that wait to be decided; stock for most of them."""
    codes = [f"c{number}" for number in range(100)]
    append(database_url, [received(sku, 10_000) for sku in codes])
    append(database_url, [received("hot", ORDERS - REJECTED)])
    append(
        database_url,
        [
            placed(f"o{number}", [("hot", 1), (codes[number % 100], 2), (codes[number * 7 % 100], 1)])
            for number in range(ORDERS)
        ],
    )
    return len(codes) + 1 + ORDERS


@pytest.mark.faults
@pytest.mark.slow
def test_a_worker_killed_in_the_middle_leaves_every_trigger_with_one_outcome(database_url, backlog):
    with held_up(database_url, behind=backlog + ORDERS), process(database_url) as first:
        eventually(lambda: outcomes(database_url) > backlog)
        first.send_signal(signal.SIGKILL)
        first.wait()
        done_before = outcomes(database_url) - backlog
    with process(database_url):
        eventually(lambda: outcomes(database_url) == backlog + ORDERS + REJECTED)
        time.sleep(0.5)

    found = counted(database_url)
    hot = stock_of(database_url, "hot")
    assert 0 < done_before < ORDERS
    assert outcomes(database_url) == backlog + ORDERS + REJECTED
    assert found["ordering.order_confirmed.v1"] == ORDERS - REJECTED
    assert found["ordering.order_rejected.v2"] == REJECTED
    assert hot is not None
    assert hot.available == 0


@pytest.mark.faults
@pytest.mark.slow
def test_a_standby_takes_over_from_a_worker_that_stands_still_and_the_sleeper_does_no_harm(
    database_url, backlog
):
    with process(database_url) as first, process(database_url):
        with held_up(database_url, behind=backlog + ORDERS):
            eventually(lambda: outcomes(database_url) > backlog)
            first.send_signal(signal.SIGSTOP)
            done_before = outcomes(database_url) - backlog
        eventually(
            lambda: outcomes(database_url) == backlog + ORDERS + REJECTED, wait_s=SLEEPER_GONE_WITHIN_S
        )
        first.send_signal(signal.SIGCONT)
        append(database_url, [placed("late", [("c1", 1)])])
        eventually(lambda: outcomes(database_url) == backlog + ORDERS + REJECTED + 2)
        time.sleep(0.5)

    found = counted(database_url)
    assert 0 < done_before < ORDERS
    assert found["ordering.order_confirmed.v1"] == ORDERS - REJECTED + 1
    assert outcomes(database_url) == backlog + ORDERS + REJECTED + 2


@pytest.mark.faults
def test_a_worker_that_is_asked_to_stop_drains_and_leaves_at_once(database_url, backlog):
    with process(database_url) as worker:
        eventually(lambda: outcomes(database_url) > backlog)
        worker.send_signal(signal.SIGTERM)
        code = worker.wait(DRAIN_S)

    assert code == 0
    assert backlog < outcomes(database_url) <= backlog + ORDERS
