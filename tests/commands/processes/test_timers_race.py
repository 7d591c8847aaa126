"""Timers and real process managers: both may decide one order, at the same moment or one behind the other."""

import os
import signal
import sys
import threading
import time
from datetime import timedelta

import pytest

from commands.log_reading import LogUnreachable
from commands.processes.runner import Deciding
from counterfoil.contexts import CONTEXTS
from domain.ordering.events import OrderConfirmed, OrderPlaced, OrderRejected
from event_store.consumers import parking
from event_store.consumers.parking import Failure, Scope
from event_store.log import codec, reading
from runtime import database
from tests import forking
from tests.commands.processes.running import (
    append,
    counted,
    eventually,
    outcomes,
    placed,
    received,
    running,
    stock_of,
)
from tests.commands.processes.timing import AT_ONCE, firing, running_timers
from tests.projections.feeding import feeding, settle

(TIMERS,) = [view for view in CONTEXTS.timers if view.name == "timers_fulfilment"]
OFF_AFTER = timedelta(seconds=5)
OUTAGE_S = 5.5


@pytest.fixture
def url(database_url):
    settle(database_url)
    append(database_url, [received("A", 1_000)])
    return database_url


def place(url, *names):
    append(url, [placed(name, [("A", 1)]) for name in names])


def decisions(url):
    """What was decided about each order, in order."""
    found = {}
    with database.connect(url, role="counterfoil_reader", name="test") as conn:
        for event in reading.copy_log(conn):
            match codec.decode(event.type, event.payload):
                case OrderPlaced():
                    found[event.stream] = []
                case OrderConfirmed():
                    found[event.stream].append("confirmed")
                case OrderRejected(reason=reason):
                    found[event.stream].append(reason)
    return found


def test_process_and_timer_race_for_every_order_and_each_is_decided_once(url):
    with feeding(url, [TIMERS]) as feeder, firing(url, off_after=AT_ONCE) as work:
        place(url, *(f"before{number}" for number in range(20)))
        feeder.catch_up()
        with running(url):
            for burst in range(6):
                place(url, *(f"o{burst}-{number}" for number in range(20)))
                feeder.catch_up()
                work.one_pass()
            eventually(lambda: all(decisions(url).values()))
        feeder.catch_up()
        work.one_pass()

    found = decisions(url)
    stock = stock_of(url, "A")
    assert {1} == {len(decided) for decided in found.values()}
    assert {"confirmed", "undecided"} >= {decided[0] for decided in found.values()}
    assert stock is not None
    assert stock.reserved == sum(decided == ["confirmed"] for decided in found.values())
    assert [] == running_timers(url, TIMERS)


def test_who_comes_second_finds_the_order_decided(url):
    def rejected_triggers(process):
        return process.count("counterfoil_process_triggers_total", process="fulfilment", outcome="rejected")

    place(url, "timer-first")
    with feeding(url, [TIMERS]) as feeder, firing(url, off_after=AT_ONCE) as work:
        feeder.catch_up()
        work.one_pass()
        assert {"order-timer-first": ["undecided"]} == decisions(url)
        place(url, "process-first")
        feeder.catch_up()
        with running(url) as process:
            eventually(lambda: rejected_triggers(process) == 1)
            eventually(lambda: decisions(url)["order-process-first"] == ["confirmed"])
        work.one_pass()
        assert (1, 1) == (work.count("fired"), work.count("stale"))

    stock = stock_of(url, "A")
    assert {"order-timer-first": ["undecided"], "order-process-first": ["confirmed"]} == decisions(url)
    assert stock is not None
    assert 1 == stock.reserved


def test_while_a_process_fails_and_tries_again_no_order_is_rejected_however_long_it_takes(url, monkeypatch):
    """In small: what is due at once waits longer than a process may leave its lease unrenewed."""
    away = threading.Event()
    away.set()
    take = Deciding._take

    def unreachable(self, tail):
        if away.is_set():
            raise LogUnreachable("away")
        return take(self, tail)

    monkeypatch.setattr(Deciding, "_take", unreachable)
    place(url, "1", "2")
    with feeding(url, [TIMERS]) as feeder, firing(url, off_after=OFF_AFTER) as work:
        feeder.catch_up()
        with running(url):
            fire_for(work, OUTAGE_S)
            waited = work.shown("waiting")
            away.clear()
            eventually(lambda: counted(url).get("ordering.order_confirmed.v1") == 2)
            feeder.catch_up()
            work.one_pass()

    assert 2 == waited
    assert {"order-1": ["confirmed"], "order-2": ["confirmed"]} == decisions(url)


def test_while_nothing_carries_the_log_orders_are_decided_and_none_is_rejected_by_its_timer(url):
    """Timers are as the views had them before Kafka stopped: due, whatever has been decided since."""
    place(url, *(f"before{number}" for number in range(5)))
    with feeding(url, [TIMERS]) as feeder, firing(url, off_after=OFF_AFTER) as work:
        feeder.catch_up()
        work.one_pass()
        with running(url):
            for number in range(5):
                place(url, f"meanwhile{number}")
                fire_for(work, OUTAGE_S / 5)
            eventually(lambda: counted(url).get("ordering.order_confirmed.v1") == 10)
        feeder.catch_up()
        work.one_pass()

    assert [["confirmed"]] * 10 == list(decisions(url).values())


def fire_for(work, seconds):
    """Pass after pass."""
    over_s = time.monotonic() + seconds
    while time.monotonic() < over_s:
        work.one_pass()


@pytest.mark.slow
def test_a_role_that_is_killed_between_the_append_and_the_end_of_the_row_rejects_once(url, tmp_path):
    place(url, "1")
    with feeding(url, [TIMERS]) as feeder:
        feeder.catch_up()
    with database.connect(url, role="counterfoil_writer", name="test") as conn:
        failure = Failure("order-1", 2, "order-1", 1, "ordering.order_placed.v3", "cannot be decided")
        parking.park(conn, Scope("fulfilment"), failure)

    with role(url, tmp_path) as dying:
        eventually(lambda: decisions(url) == {"order-1": ["undecided"]})
        dying.send_signal(signal.SIGKILL)
    before = outcomes(url)
    assert ["order-1"] == running_timers(url, TIMERS)
    with database.connect(url, role=None, name="test") as owner:
        owner.execute("update runtime.lease set owner = null where name = 'timers'")
        (counter,) = owner.execute("select counter from runtime.lease where name = 'timers'").fetchone()
        with role(url, tmp_path):
            eventually(lambda: _renewals(owner) >= counter + 3)

    assert {"order-1": ["undecided"]} == decisions(url)
    assert before == outcomes(url)


def _renewals(conn):
    (counter,) = conn.execute("select counter from runtime.lease where name = 'timers'").fetchone()
    return counter


def role(url, home):
    """The processes as their command runs them, with orders that may wait for nothing."""
    environment = {
        **os.environ,
        "COUNTERFOIL_HOME": str(home),
        "COUNTERFOIL_DATABASE_URL": url,
        "COUNTERFOIL_PROCESSES_HEALTH_PORT": "0",
        "COUNTERFOIL_UNDECIDED_AFTER_S": "0.001",
    }
    return Ended(forking.popen([sys.executable, "-m", "counterfoil", "processes"], env=environment))


class Ended:
    """A process that does not outlive its block."""

    def __init__(self, process):
        self._process = process

    def __enter__(self):
        return self._process

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait()
