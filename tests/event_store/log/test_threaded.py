"""Group commit for plain threads on a real server, and what becomes of requests when something or somebody is lost."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager

import psycopg
import pytest

from event_store.log import reading
from event_store.log.appending import limits, threaded
from event_store.log.appending.errors import (
    AppendError,
    EpochChanged,
    InvalidRequest,
    OutcomeUnknown,
    StoreUnavailable,
    WriterClosed,
)
from event_store.log.appending.threaded import ThreadedWriter
from event_store.log.envelope import NEW, Accepted, ChainBroken, Replayed, Verdict, WrongVersion
from runtime import database
from tests.appends import append_request
from tests.architecture.source import ROOT
from tests.proxy import LossyProxy, lossy_proxy

THREADS = 16


def owner(url: str) -> psycopg.Connection:
    return database.connect(url, role="counterfoil_owner", name="test")


def writers(url: str) -> int:
    """How many sessions of writers there are."""
    with psycopg.connect(url, autocommit=True) as admin:
        row = admin.execute(
            "select count(*) from pg_stat_activity"
            " where datname = current_database() and application_name = 'counterfoil threaded writer'"
        ).fetchone()
    return 0 if row is None else int(row[0])


def terminate_writers(url: str) -> int:
    with psycopg.connect(url, autocommit=True) as admin:
        rows = admin.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and application_name = 'counterfoil threaded writer'"
        ).fetchall()
    return len(rows)


@contextmanager
def proxied(url: str) -> Iterator[LossyProxy]:
    """A proxy that runs in a thread apart from the test's."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    proxy = lossy_proxy(url)
    try:
        yield asyncio.run_coroutine_threadsafe(proxy.__aenter__(), loop).result()
    finally:
        asyncio.run_coroutine_threadsafe(proxy.__aexit__(None, None, None), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@contextmanager
def head_lock_held(url: str) -> Iterator[None]:
    with owner(url) as connection, connection.transaction():
        connection.execute("select from log.head for update")
        yield


def wait_until(holds: Callable[[], bool], *, timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, "it never held"
        time.sleep(0.005)


def waiting_for_the_lock(url: str) -> int:
    """How many sessions wait for the head."""
    with psycopg.connect(url, autocommit=True) as admin:
        row = admin.execute(
            "select count(*) from pg_stat_activity"
            " where datname = current_database() and wait_event_type = 'Lock'"
        ).fetchone()
    return 0 if row is None else int(row[0])


def queued(log: ThreadedWriter) -> int:
    """How many requests wait to be taken."""
    return len(log._line()._batcher.queue)


def test_requests_of_many_threads_share_batches_and_each_gets_its_own_verdict(database_url: str):
    with closing(ThreadedWriter(database_url)) as log, ThreadPoolExecutor(THREADS) as threads:
        verdicts = list(
            threads.map(lambda n: log.append(append_request(f"order-{n}", version=NEW)), range(500))
        )
        again = log.append(append_request("order-7", version=NEW))

    assert list(range(1, 501)) == sorted(
        verdict.first for verdict in verdicts if isinstance(verdict, Accepted)
    )
    assert WrongVersion("order-7", NEW, 1) == again


def test_threads_that_come_while_a_batch_is_out_travel_together_in_the_next(database_url: str):
    with closing(ThreadedWriter(database_url)) as log, ThreadPoolExecutor(THREADS) as threads:
        with head_lock_held(database_url):
            first = threads.submit(log.append, append_request())
            wait_until(lambda: waiting_for_the_lock(database_url) == 1)
            others = [threads.submit(log.append, append_request()) for _ in range(THREADS - 1)]
            wait_until(lambda: queued(log) == THREADS - 1)
        assert all(isinstance(each.result(), Accepted) for each in [first, *others])
    with owner(database_url) as connection:
        batches = connection.execute(
            "select count(*) from log.event group by recorded_at order by recorded_at"
        ).fetchall()

    assert [(1,), (THREADS - 1,)] == batches


def test_racers_for_one_version_have_one_winner(database_url: str):
    with closing(ThreadedWriter(database_url)) as log, ThreadPoolExecutor(THREADS) as threads:
        for version in range(10):
            racers = [append_request("order-1", version=version) for _ in range(THREADS)]
            verdicts = list(threads.map(log.append, racers))

            assert 1 == sum(isinstance(verdict, Accepted) for verdict in verdicts)
            assert THREADS - 1 == verdicts.count(WrongVersion("order-1", version, version + 1))


def test_an_answer_lost_after_the_commit_is_found_again_under_the_same_key(database_url: str):
    with proxied(database_url) as proxy, closing(ThreadedWriter(proxy.address)) as log:
        log.append(append_request("order-1", version=NEW))
        proxy.cut_at_next_answer = True
        verdict = log.append(append_request("order-2", version=NEW))

    assert Replayed(2, 2, (1,)) == verdict
    assert not proxy.cut_at_next_answer


def test_a_writer_survives_its_connections_being_killed_again_and_again(
    database_url: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(limits, "RESEND_WINDOW_S", 60.0)
    stop = threading.Event()

    def append_until_stopped(log: ThreadedWriter) -> int:
        answered = 0
        while not stop.is_set():
            assert isinstance(log.append(append_request(version=NEW)), Accepted | Replayed)
            answered += 1
        return answered

    with closing(ThreadedWriter(database_url)) as log, ThreadPoolExecutor(THREADS) as threads:
        appending = [threads.submit(append_until_stopped, log) for _ in range(THREADS)]
        for _ in range(10):
            time.sleep(0.03)
            terminate_writers(database_url)
        stop.set()
        answered = sum(each.result() for each in appending)
    with owner(database_url) as connection:
        positions = [event.position for event in reading.copy_log(connection)]

    assert list(range(1, answered + 1)) == positions


def test_a_log_in_another_epoch_refuses_once_and_is_appended_to_afterwards(database_url: str):
    with closing(ThreadedWriter(database_url)) as log:
        log.append(append_request("order-1"))
        with owner(database_url) as connection:
            connection.execute("update log.head set epoch = 2")

        with pytest.raises(EpochChanged):
            log.append(append_request("order-2"))
        assert Accepted(2, 2, (1,)) == log.append(append_request("order-2", version=NEW))


def test_nothing_decided_in_one_epoch_is_sent_into_another_over_a_new_connection(database_url: str):
    with closing(ThreadedWriter(database_url)) as log:
        log.append(append_request("order-1"))
        with owner(database_url) as connection:
            connection.execute("update log.head set epoch = 2")
        assert 1 == terminate_writers(database_url)

        with pytest.raises(OutcomeUnknown):  # its first sending got no answer, and nobody will know any more
            log.append(append_request("order-2"))
        assert Accepted(2, 2, (1,)) == log.append(append_request("order-2", version=NEW))


def test_a_batch_that_the_server_refuses_is_sent_again_one_request_at_a_time(database_url: str):
    with owner(database_url) as connection:
        connection.execute("alter table log.event add constraint no_seven check (stream <> 'order-7')")

    def outcome(log: ThreadedWriter, number: int) -> Verdict | AppendError:
        try:
            return log.append(append_request(f"order-{number}", version=NEW))
        except AppendError as error:
            return error

    with closing(ThreadedWriter(database_url)) as log, ThreadPoolExecutor(10) as threads:
        with head_lock_held(database_url):
            pending = [threads.submit(outcome, log, number) for number in range(10)]
            wait_until(lambda: queued(log) == 9)
        outcomes = [each.result() for each in pending]

    assert [7] == [n for n, each in enumerate(outcomes) if not isinstance(each, Accepted)]
    assert isinstance(outcomes[7], InvalidRequest)


def test_a_broken_chain_refuses_its_later_requests_but_nobody_else(database_url: str):
    with closing(ThreadedWriter(database_url)) as log, ThreadPoolExecutor(4) as threads:
        with head_lock_held(database_url):
            first = threads.submit(log.append, append_request("order-1", version=3, chain=1))
            wait_until(lambda: waiting_for_the_lock(database_url) == 1)
            second = threads.submit(log.append, append_request("order-2", chain=1))
            wait_until(lambda: queued(log) == 1)
            third = threads.submit(log.append, append_request("order-3"))
            wait_until(lambda: queued(log) == 2)

        assert WrongVersion("order-1", 3, 0) == first.result()
        assert ChainBroken() == second.result()
        assert Accepted(1, 1, (1,)) == third.result()


def test_a_head_lock_held_by_somebody_else_ends_in_unavailable_and_stores_nothing(
    database_url: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(limits, "RESEND_WINDOW_S", 0.1)
    monkeypatch.setitem(threaded._SESSION, "lock_timeout", "100ms")
    with closing(ThreadedWriter(database_url)) as log:
        with head_lock_held(database_url), pytest.raises(StoreUnavailable):
            log.append(append_request("order-1"))

        assert Accepted(1, 1, (1,)) == log.append(append_request("order-2", version=NEW))


def test_a_frozen_server_makes_the_outcome_unknown_and_the_key_tells_later(
    database_url: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(threaded, "ANSWER_TIMEOUT_S", 1.0)
    request = append_request("order-1", version=NEW)
    with proxied(database_url) as proxy, closing(ThreadedWriter(proxy.address)) as log:
        log.append(append_request("order-0"))
        proxy.frozen = True
        monkeypatch.setattr(limits, "RESEND_WINDOW_S", 0.2)
        monkeypatch.setattr(database, "CONNECT_TIMEOUT_S", 2)
        with pytest.raises(OutcomeUnknown):
            log.append(request)
    monkeypatch.undo()
    with closing(ThreadedWriter(database_url)) as log:
        verdict = log.append(request)

    assert verdict in {Accepted(2, 2, (1,)), Replayed(2, 2, (1,))}


def test_a_server_that_cannot_be_reached_is_unavailable_not_unknown(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "RESEND_WINDOW_S", 0.2)
    with (
        closing(ThreadedWriter("postgresql://nobody@127.0.0.1:1/nothing")) as log,
        pytest.raises(StoreUnavailable),
    ):
        log.append(append_request())


def test_a_request_that_cannot_be_stored_does_not_keep_the_lead(database_url: str):
    with closing(ThreadedWriter(database_url)) as log:
        with pytest.raises(InvalidRequest):
            log.append(append_request("order-\0"))

        assert isinstance(log.append(append_request()), Accepted)


def test_closing_lets_those_who_wait_be_sent_and_takes_no_more(database_url: str):
    log = ThreadedWriter(database_url)
    with ThreadPoolExecutor(THREADS) as threads:
        with head_lock_held(database_url):
            waiting = [threads.submit(log.append, append_request()) for _ in range(THREADS)]
            wait_until(lambda: queued(log) == THREADS - 1)
            closing_ = threading.Thread(target=log.close)
            closing_.start()
            wait_until(lambda: log._line()._closing)
        closing_.join()

        assert all(isinstance(each.result(), Accepted) for each in waiting)
    with pytest.raises(WriterClosed):
        log.append(append_request())
    wait_until(lambda: writers(database_url) == 0)


class Interrupted(BaseException):
    """What a signal handler raises in the main thread."""


@contextmanager
def raised_in_main_thread(interruption: type[BaseException]) -> Iterator[Callable[[], None]]:
    """What to call to have this raised in the main thread."""

    def handle(*_: object) -> None:
        raise interruption

    def interrupt() -> None:
        ident = threading.main_thread().ident
        assert ident is not None
        signal.pthread_kill(ident, signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, handle)
    yield interrupt
    signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize("interruption", [Interrupted, KeyboardInterrupt])
def test_an_interrupted_leader_leaves_nobody_asleep(interruption: type[BaseException], database_url: str):
    def steer() -> list[Future[Verdict]]:
        wait_until(lambda: waiting_for_the_lock(database_url) == 1)
        followers = [threads.submit(log.append, append_request()) for _ in range(2)]
        wait_until(lambda: queued(log) == 2)
        interrupt()
        return followers

    with (
        raised_in_main_thread(interruption) as interrupt,
        closing(ThreadedWriter(database_url)) as log,
        ThreadPoolExecutor(4) as threads,
    ):
        with head_lock_held(database_url):
            steering = threads.submit(steer)
            with pytest.raises(interruption):
                log.append(append_request("order-1"))
        followers = steering.result()

        assert all(isinstance(each.result(timeout=60), Accepted) for each in followers)
        assert isinstance(log.append(append_request("order-2")), Accepted)


def test_those_whom_an_interrupted_leader_sent_for_learn_that_the_outcome_is_unknown(database_url: str):
    first, second, held = threading.Event(), threading.Event(), threading.Event()

    def hold_until(released: threading.Event) -> None:
        # The whole table: who waits for a row may be overtaken by who comes when it was changed.
        with owner(database_url) as connection, connection.transaction():
            connection.execute("lock table log.head in exclusive mode")
            held.set()
            released.wait()

    def steer() -> list[Future[Verdict]]:
        wait_until(lambda: queued(log) == 1)
        followers = [threads.submit(log.append, append_request()) for _ in range(2)]
        wait_until(lambda: queued(log) == 3)
        first.set()  # the one batch gets through; the main thread's stands behind the second holder
        wait_until(lambda: queued(log) == 0 and waiting_for_the_lock(database_url) == 1)
        interrupt()
        return followers

    with (
        raised_in_main_thread(Interrupted) as interrupt,
        closing(ThreadedWriter(database_url)) as log,
        ThreadPoolExecutor(8) as threads,
    ):
        threads.submit(hold_until, first)
        assert held.wait(timeout=60)
        threads.submit(log.append, append_request())
        wait_until(lambda: waiting_for_the_lock(database_url) == 1)
        threads.submit(hold_until, second)
        wait_until(lambda: waiting_for_the_lock(database_url) == 2)
        steering = threads.submit(steer)
        try:
            with pytest.raises(Interrupted):
                log.append(append_request())
            for follower in steering.result():
                assert isinstance(follower.exception(timeout=60), OutcomeUnknown)
        finally:
            second.set()


def test_an_interrupted_follower_takes_its_request_back(database_url: str):
    def steer() -> None:
        wait_until(lambda: queued(log) == 1)
        interrupt()

    with (
        raised_in_main_thread(Interrupted) as interrupt,
        closing(ThreadedWriter(database_url)) as log,
        ThreadPoolExecutor(4) as threads,
    ):
        with head_lock_held(database_url):
            leader = threads.submit(log.append, append_request("order-1"))
            wait_until(lambda: waiting_for_the_lock(database_url) == 1)
            threads.submit(steer)
            with pytest.raises(Interrupted):
                log.append(append_request("order-2"))
            behind = threads.submit(log.append, append_request("order-3"))

        assert isinstance(leader.result(), Accepted)
        assert isinstance(behind.result(timeout=60), Accepted)
    with owner(database_url) as connection:
        assert {"order-1", "order-3"} == {each.stream for each in reading.copy_log(connection)}


FORK = """
import os, sys
from event_store.log.appending.threaded import ThreadedWriter
from tests.appends import append_request
log = ThreadedWriter(sys.argv[1])
print(log.append(append_request("order-before")).first, flush=True)
child = os.fork()
if child == 0:
    print(log.append(append_request("order-child")).first, flush=True)
    log.close()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
print(log.append(append_request("order-after")).first, flush=True)
log.close()
"""


def test_a_forked_process_appends_over_a_connection_of_its_own(database_url: str):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", FORK, database_url],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert (0, "1\n2\n3\n", "") == (done.returncode, done.stdout, done.stderr)
