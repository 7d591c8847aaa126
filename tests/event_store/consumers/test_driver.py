"""The driver of consumers on a real database, with steps that do what the test wants."""

import contextlib
import itertools
import os
import random
import signal
import subprocess
import sys
import threading
import time

import psycopg
import pytest
import structlog

from event_store.consumers import driver, pausing
from event_store.consumers.backoff import FIRST_S, LONGEST_S, Backoff
from event_store.consumers.driver import Consumer, Waits
from event_store.consumers.errors import FinalError, OpenAgain
from event_store.consumers.lease import TAKEOVER_AFTER_S
from event_store.log.hints import HINT_PAUSE_S
from event_store.transport.transport import Fork, TransportUnavailable
from runtime import database
from tests.consuming import hosting
from tests.event_store.transport.carrying import wait_until

LEASE = "the job"


class Work:
    """What a test's consumer does: rounds that are noted, and whatever the test makes of them."""

    def __init__(self, *errors, busy=False):
        self.errors = list(errors)
        self.busy = busy
        self.sessions = []
        self.rounds = []
        self.closed = 0

    def consumer(self, name="job", *, lease=LEASE, **options):
        return Consumer(name=name, role="counterfoil_projector", open=self.open, lease=lease, **options)

    def open(self, session):
        self.sessions.append(session)
        return self

    def round(self):
        self.rounds.append(time.monotonic())
        if self.errors and (error := self.errors.pop(0)) is not None:
            raise error
        return self.busy

    def close(self):
        self.closed += 1


class Gated(Work):
    """Work whose rounds each wait for leave, so that what is shown between two of them stays as it is."""

    def __init__(self, *errors):
        super().__init__(*errors)
        self.leave = threading.Semaphore(0)

    def round(self):
        while not self.leave.acquire(timeout=0.1):
            if self.sessions[-1].stop.is_set():
                return False
        return super().round()


def failures(hosted, error):
    return hosted.count("counterfoil_consumer_failures_total", consumer="job", error=error)


def lease_owner(url):
    with database.connect(url, role="counterfoil_reader", name="test") as conn:
        row = conn.execute("select owner from runtime.lease where name = %s", [LEASE]).fetchone()
    return row and row[0]


@pytest.fixture
def hurried(monkeypatch):
    """Backoffs that a test need not wait for."""
    monkeypatch.setattr(Backoff, "after_failure", lambda _: 0.01)


def test_an_unexpected_error_is_retried_with_backoff_counted_logged_with_its_trace_and_shown(database_url):
    defect = ZeroDivisionError("a defect")
    work = Gated(None, defect, defect, defect)
    conditions = []
    with structlog.testing.capture_logs() as logs, hosting(database_url, [work.consumer()]) as hosted:
        work.leave.release()
        for expected in (1, 2, 3):
            work.leave.release()
            wait_until(lambda expected=expected: len(work.sessions) > expected, what="another try")
            conditions.append(
                (failures(hosted, "ZeroDivisionError"), hosted.health.ready, hosted.health.lines())
            )
        work.leave.release()
        wait_until(lambda: hosted.health.ready, what="work again")
        active = hosted.count("counterfoil_consumer_active", consumer="job")
    retries = [each for each in logs if each["event"] == "consumer_retries"]
    waits = [each["wait_s"] for each in retries]

    assert [(number, False, ["job retrying: a defect"]) for number in (1, 2, 3)] == conditions
    assert [("job", "ZeroDivisionError", defect)] * 3 == [
        (each["consumer"], each["error"], each["exc_info"]) for each in retries
    ]
    assert all(FIRST_S * 2**number * 0.49 < wait <= FIRST_S * 2**number for number, wait in enumerate(waits))
    assert (1, 4, 4) == (active, len(work.sessions), work.closed)


def test_an_outage_is_retried_without_a_trace(database_url, hurried):
    class Away(Exception):
        """An outage that only this consumer knows."""

    work = Work(TransportUnavailable("no broker"), Away("gone"), psycopg.OperationalError("cut"))
    with structlog.testing.capture_logs() as logs, hosting(database_url, [work.consumer(outages=(Away,))]):
        wait_until(lambda: len(work.rounds) > 3, what="work again")

    assert [("TransportUnavailable", None), ("Away", None), ("OperationalError", None)] == [
        (each["error"], each["exc_info"]) for each in logs if each["event"] == "consumer_retries"
    ]


def test_waits_behind_failures_double_up_to_a_limit_and_are_drawn_by_lot():
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    backoff = Backoff(random.Random(seed))
    waits = [backoff.after_failure() for _ in range(12)]
    bounds = [min(FIRST_S * 2**number, LONGEST_S) for number in range(12)]
    backoff.reset()

    assert all(bound / 2 <= wait <= bound for wait, bound in zip(waits, bounds, strict=True))
    assert len({wait / bound for wait, bound in zip(waits, bounds, strict=True)}) == 12
    assert backoff.after_failure() <= FIRST_S


def test_a_consumer_that_worked_for_a_while_begins_at_the_first_backoff_again(database_url, monkeypatch):
    monkeypatch.setattr(driver, "STEADY_AFTER_S", 0.0)
    work = Work(*[error for _ in range(6) for error in (None, TransportUnavailable("blip"))])
    with structlog.testing.capture_logs() as logs, hosting(database_url, [work.consumer()]):
        wait_until(lambda: not work.errors, what="six outages with work between them")

    assert all(each["wait_s"] <= FIRST_S for each in logs if each["event"] == "consumer_retries")


def test_a_final_error_ends_every_consumer_and_is_raised(database_url):
    class TooNew(FinalError):
        """Nobody can go on."""

    bad, good = Gated(TooNew("deploy readers first")), Work()
    consumers = [bad.consumer(), good.consumer("other", lease=None)]
    with hosting(database_url, consumers, fails=True) as hosted:
        wait_until(lambda: good.rounds, what="work of the other one")
        bad.leave.release()
        hosted.thread.join(60)
        lines = hosted.health.lines()

    assert [TooNew] == [type(failure) for failure in hosted.failures]
    assert ["job stopped: deploy readers first", "other stopped"] == lines
    assert (1, 1) == (bad.closed, good.closed)
    assert lease_owner(database_url) is None


def test_a_fork_is_waited_out_and_shown_as_one(database_url, monkeypatch):
    monkeypatch.setattr(driver, "LONGEST_S", 0.5)
    work = Gated(Fork(position=7, carried=b"a", logged=b"b"))
    with hosting(database_url, [work.consumer()]) as hosted:
        work.leave.release()
        wait_until(lambda: len(work.sessions) > 1, what="another try")
        shown = (hosted["job"].condition, hosted["job"].detail)
        work.leave.release()
        wait_until(lambda: hosted.health.ready, what="work behind the fence")

    assert "fork" == shown[0]
    assert "run `counterfoil log fence`" in shown[1]


def test_a_step_that_is_at_its_end_is_opened_again_on_the_same_connection_without_a_failure(database_url):
    work = Work(None, OpenAgain("a generation ended"))
    with hosting(database_url, [work.consumer()]) as hosted:
        wait_until(lambda: len(work.rounds) > 2, what="the second step")
        failed = failures(hosted, "OpenAgain")

    assert 0 == failed
    assert 2 == len(work.sessions) == work.closed
    assert work.sessions[0] is work.sessions[1]


def test_what_a_consumer_waits_for_is_shown_and_logged_once(database_url, monkeypatch):
    class Waiting(Work):
        """Cannot be opened before something is there."""

        there = False
        tries = 0

        def open(self, session):
            self.tries += 1
            if not self.there:
                raise OpenAgain("no relay yet")
            return super().open(session)

    monkeypatch.setattr(driver, "OPEN_AGAIN_WAIT_S", 0.05)
    work = Waiting()
    with structlog.testing.capture_logs() as logs, hosting(database_url, [work.consumer()]) as hosted:
        wait_until(lambda: work.tries > 5, what="tries")
        shown = (hosted["job"].condition, hosted["job"].detail)
        work.there = True
        wait_until(lambda: hosted.health.ready, what="work")

    assert ("starting", "no relay yet") == shown
    assert ["no relay yet"] == [each["reason"] for each in logs if each["event"] == "consumer_opens_again"]


def test_of_two_drivers_of_one_consumer_one_works_and_the_other_takes_over_when_it_stops(database_url):
    one, other = Work(), Work()
    with hosting(database_url, [one.consumer()]) as first:
        wait_until(lambda: first["job"].condition == "active", what="the first one")
        with hosting(database_url, [other.consumer()]) as second:
            wait_until(lambda: second["job"].condition == "standby", what="a standby")
            standby = (second.health.ready, second.count("counterfoil_consumer_active", consumer="job"))
            opened = len(other.sessions)
            first.end()
            wait_until(lambda: second["job"].condition == "active", what="the takeover")

    assert (True, 0.0, 0) == (*standby, opened)
    assert lease_owner(database_url) is None


def test_a_consumer_whose_lease_was_taken_over_closes_and_stands_by_until_it_is_free_again(database_url):
    work = Work()
    with (
        hosting(database_url, [work.consumer()]) as hosted,
        psycopg.connect(database_url, autocommit=True) as successor,
    ):
        wait_until(lambda: hosted["job"].condition == "active", what="work")
        successor.execute("update runtime.lease set owner = 'successor', counter = counter + 1")
        wait_until(lambda: hosted["job"].condition == "standby", what="the loss of the lease")
        closed, active = work.closed, hosted.count("counterfoil_consumer_active", consumer="job")
        successor.execute("update runtime.lease set owner = null, counter = counter + 1")
        wait_until(lambda: hosted["job"].condition == "active", what="the lease again")

    assert (1, 0.0) == (closed, active)
    assert 2 == len(work.sessions)
    assert work.sessions[0] is work.sessions[1], "a lost lease is no failure"


def test_a_step_that_lost_the_lease_and_won_it_again_within_a_round_is_opened_anew(database_url):
    class Losing(Work):
        """Finds its lease free again after another had it for a moment."""

        def round(self):
            session = self.sessions[-1]
            if super().round() is False and len(self.rounds) == 2:
                session.lease.give_back()
                assert session.lease.hold()
            return False

    work = Losing()
    with hosting(database_url, [work.consumer()]):
        wait_until(lambda: len(work.rounds) > 4, what="work of both terms")

    assert 2 == len(work.sessions) == work.closed


@pytest.mark.parametrize("name", ["job", "a part of the job"])
def test_a_consumer_that_is_paused_keeps_its_lease_and_does_nothing_until_it_is_resumed(
    database_url, monkeypatch, name
):
    monkeypatch.setattr(pausing, "CHECK_EVERY_S", 0.0)
    work = Work()
    with (
        hosting(database_url, [work.consumer(members=("a part of the job",))]) as hosted,
        database.connect(database_url, role="counterfoil_projector", name="test") as operator,
    ):
        wait_until(lambda: hosted["job"].condition == "active", what="work")
        pausing.pause(operator, name, act=7)
        wait_until(lambda: hosted["job"].condition == "paused", what="the pause")
        detail, ready, rounds, renewed = (
            hosted["job"].detail,
            hosted["job"].ready,
            len(work.rounds),
            renewals(operator),
        )
        wait_until(lambda: renewals(operator) > renewed, what="the lease is renewed")
        rounds_later, closed = len(work.rounds), work.closed
        pausing.resume(operator, name)
        wait_until(lambda: hosted["job"].condition == "active", what="work again")

    assert (f"{name}, by the act at position 7", True) == (detail, ready)
    assert (rounds, 1) == (rounds_later, closed)


def renewals(conn):
    return conn.execute("select counter from runtime.lease where name = %s", [LEASE]).fetchone()[0]


def test_what_carries_out_acts_cannot_be_paused(database_url, monkeypatch):
    monkeypatch.setattr(pausing, "CHECK_EVERY_S", 0.0)
    work = Work()
    with database.connect(database_url, role="counterfoil_projector", name="test") as operator:
        pausing.pause(operator, "job", act=7)
    with hosting(database_url, [work.consumer(pausable=False)]):
        wait_until(lambda: len(work.rounds) > 3, what="work")


FIRST_WAIT_S = 0.005
GROWTH = driver.IDLE_WAIT_GROWTH


def test_idle_waits_grow_and_news_of_another_consumer_ends_them(database_url, monkeypatch):
    reader, writer = Work(), Work()
    consumers = [
        reader.consumer(waits=Waits(first_s=FIRST_WAIT_S, unhinted_s=600.0)),
        writer.consumer("writer", lease=None),
    ]
    with hosting(database_url, consumers):
        wait_until(lambda: len(reader.rounds) >= 12, what="some idle rounds")
        pauses = [after - before for before, after in itertools.pairwise(reader.rounds)]
        monkeypatch.setattr(driver, "IDLE_WAIT_GROWTH", 1e6)
        wait_until(lambda: time.monotonic() - reader.rounds[-1] > 0.3, what="the longest wait")
        rounds = len(reader.rounds)
        writer.sessions[0].news.announce()
        wait_until(lambda: len(reader.rounds) > rounds, what="a round because of the news", timeout_s=60)

    assert pauses[-1] > 0.9 * FIRST_WAIT_S * GROWTH ** (len(pauses) - 1)


def test_a_consumer_that_freezes_inside_a_transaction_keeps_its_locks_for_a_named_time_only(
    database_url, monkeypatch
):
    monkeypatch.setattr(driver, "SESSION", {"idle_in_transaction_session_timeout": "100ms"})
    frozen, thawed = threading.Event(), threading.Event()

    class Frozen(Work):
        def round(self):
            connection = self.sessions[-1].conn
            with connection.transaction():
                connection.execute("select from runtime.lease for update")
                frozen.set()
                thawed.wait()

    settings = {"statement_timeout": "60s"}
    with (
        hosting(database_url, [Frozen().consumer()]),
        database.connect(database_url, role="counterfoil_owner", name="test", settings=settings) as standby,
    ):
        try:
            assert frozen.wait(60)
            taken = standby.execute("update runtime.lease set owner = owner").rowcount
        finally:
            thawed.set()

    assert 1 == taken


def test_a_busy_consumer_makes_one_round_after_another(database_url):
    work = Work(busy=True)
    with hosting(database_url, [work.consumer(waits=Waits(600.0, 600.0, pace_s=0.0))]):
        wait_until(lambda: len(work.rounds) > 50, what="rounds without a wait")


PROGRAM = """
import sys, threading, time
from prometheus_client import CollectorRegistry
from event_store.consumers import driver
from event_store.consumers.driver import Consumer
from runtime import telemetry

class Step:
    def round(self):
        print("round", time.monotonic(), flush=True)
        time.sleep(0.05)
        return True
    def close(self):
        print("closed", flush=True)

telemetry.configure_logging(process="test")
job = Consumer(name="job", role="counterfoil_projector", open=lambda session: Step(), lease="the job")
driver.run([job], database_url=sys.argv[1], stop=threading.Event(), registry=CollectorRegistry())
"""


@contextlib.contextmanager
def paused_while_working(url):
    """A process with the same consumer, stopped by SIGSTOP in the middle of its work."""
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, url], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("round")
        os.kill(process.pid, signal.SIGSTOP)
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.faults
def test_a_process_that_was_paused_past_the_takeover_stands_by_when_it_wakes_up(database_url):
    work = Work()
    with paused_while_working(database_url) as sleeper:
        asleep_since = time.monotonic()
        with hosting(database_url, [work.consumer()]) as hosted:
            wait_until(lambda: hosted["job"].condition == "standby", what="a standby")
            wait_until(lambda: hosted["job"].condition == "active", what="the takeover")
            waited_s = time.monotonic() - asleep_since
            woken_at = time.monotonic()
            os.kill(sleeper.pid, signal.SIGCONT)
            rest = iter(sleeper.stdout.readline, "closed\n")
            rounds = sum(float(line.removeprefix("round ")) > woken_at for line in rest)
            mine = lease_owner(database_url)

    assert waited_s > TAKEOVER_AFTER_S
    assert rounds < 10, "it looks at its lease before the next rounds"
    assert mine is not None
    assert str(os.getpid()) in mine


def test_small_rounds_keep_the_pace_and_a_backlog_leaves_none_of_it():
    waits = Waits(pace_s=0.025, backlog=100)
    pauses = [waits.pause_s(done, took_s=0.0) for done in (1, 20, 99, 100, 5_000)]

    assert pytest.approx([0.02475, 0.020, 0.00025, 0.0, 0.0]) == pauses


def test_a_round_that_took_longer_than_the_pace_is_followed_by_the_next_at_once():
    waits = Waits(pace_s=0.025, backlog=100)

    assert (pytest.approx(0.010), 0.0) == (waits.pause_s(0, took_s=0.015), waits.pause_s(1, took_s=0.030))


def test_without_hints_waits_grow_from_the_first():
    waits, idle_s, found = Waits(first_s=0.01, unhinted_s=0.02), None, []
    for _ in range(5):
        idle_s = waits.idle_s(idle_s, quiet_s=0.0, hinted=False)
        found.append(idle_s)

    assert pytest.approx([0.01, 0.0125, 0.015625, 0.01953125, 0.02]) == found


def test_with_hints_waits_are_long_once_no_hint_can_be_held_back():
    waits = Waits(first_s=0.01, longest_s=0.25)
    found = [
        waits.idle_s(0.01, quiet_s=quiet_s, hinted=True)
        for quiet_s in (0.0, HINT_PAUSE_S - 0.001, HINT_PAUSE_S)
    ]

    assert [0.01, 0.01, 0.25] == found


def test_news_that_does_not_concern_a_consumer_waits_longer_each_time_up_to_a_limit():
    waits, slow = Waits(first_s=0.025), Waits(first_s=0.25)

    assert [0.025, 0.05, 0.1, 0.25] == [waits.unconcerned_s(woken) for woken in (0, 1, 2, 2_000)]
    assert 0.25 == slow.unconcerned_s(5)


def test_a_consumer_that_news_does_not_concern_polls_seldom(database_url):
    reader = Work()
    with hosting(database_url, [reader.consumer(waits=Waits(first_s=0.005, unhinted_s=600.0))]):
        wait_until(lambda: reader.rounds, what="a round")
        while len(reader.rounds) < 10:
            reader.sessions[0].news.announce()
            time.sleep(0.001)
        pauses = [after - before for before, after in itertools.pairwise(reader.rounds)]

    assert pauses[-1] > 0.9 * driver.UNCONCERNED_S_MAX


def test_small_busy_rounds_are_paced(database_url):
    work = Work(busy=True)
    began = time.monotonic()
    with hosting(database_url, [work.consumer(waits=Waits(pace_s=0.1))]):
        wait_until(lambda: len(work.rounds) >= 5, what="some rounds")
        fifth = work.rounds[4]

    assert fifth - began > 4 * 0.09
