"""Hashes of passwords are computed by a process of their own while a processor is idle, and otherwise all the same."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from commands.identity import hashing
from commands.identity.hashing import Hashed, IdleProcess, Work
from commands.identity.passwords import HASHES_AT_ONCE, Passwords
from tests.identity.conftest import WEAK_MB

RIGHT, WRONG = "correct horse battery", "correct horse batteries"
READY_S = 120

BEGINNING = f"""
import time
from commands.identity import hashing
hashing.go_idle = lambda _: None
idle = hashing.IdleProcess()
while idle.ask(hashing.Work("a password", {WEAK_MB})) is None:
    time.sleep(0.01)
print(idle.pid, flush=True)
time.sleep({READY_S})
"""


@pytest.fixture(autouse=True)
def as_urgent(monkeypatch):
    """Have the process run as any other: while all tests run, no processor may be idle for minutes."""
    monkeypatch.setattr(hashing, "go_idle", lambda _: None)


@pytest.fixture
def idle():
    process = IdleProcess()
    yield process
    process.end()


def pages_given(pid):
    """Pages of memory that a process was given so far: minor faults (proc_pid_stat(5))."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[7])


def answered(process, work=Work(RIGHT, WEAK_MB)):  # noqa: B008 - it never changes
    """What the process answers once it is ready."""
    ends = time.monotonic() + READY_S
    while (done := process.ask(work)) is None:
        assert time.monotonic() < ends, "the process is not ready yet"
        time.sleep(0.01)
    return done


def test_a3_the_process_answers_as_a_thread_does(idle):
    hashed = answered(idle).hashed

    assert hashed == Work(RIGHT, WEAK_MB, against=hashed).done()
    assert Hashed(hashed) == answered(idle, Work(RIGHT, WEAK_MB, against=hashed))
    assert Hashed(None) == answered(idle, Work(WRONG, WEAK_MB, against=hashed))
    assert Hashed(None) == answered(idle, Work(RIGHT, WEAK_MB, against="no hash"))
    assert hashed != answered(idle).hashed


def test_a3_the_process_runs_only_while_a_processor_is_idle(idle, monkeypatch):
    monkeypatch.undo()

    assert idle.ask(Work(RIGHT, WEAK_MB)) is None
    if sys.platform == "linux":
        assert os.SCHED_IDLE == os.sched_getscheduler(idle.pid)
    else:
        assert hashing.IDLE_NICENESS == os.getpriority(os.PRIO_PROCESS, idle.pid)


def test_a3_where_no_process_may_be_begun_none_is_tried_for_a_while(idle, monkeypatch):
    tried = []

    def refused(*given, **_):
        tried.append(given)
        raise PermissionError

    monkeypatch.setattr(subprocess, "Popen", refused)

    assert [None, None] == [idle.ask(Work(RIGHT, WEAK_MB)) for _ in range(2)]
    assert 1 == len(tried)


def test_a3_where_the_policy_is_forbidden_the_process_has_the_lowest_priority(monkeypatch):
    def forbidden(*_):
        raise PermissionError

    monkeypatch.undo()
    monkeypatch.setattr(os, "sched_setscheduler", forbidden)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        hashing.go_idle(process.pid)

        assert hashing.IDLE_NICENESS == os.getpriority(os.PRIO_PROCESS, process.pid)
        process.communicate(b"\n")


def test_a3_a_process_that_is_killed_is_begun_anew(idle, monkeypatch):
    monkeypatch.setattr(hashing, "NOT_ASKED_S", 0.05)
    answered(idle)
    killed = idle.pid
    os.kill(killed, signal.SIGKILL)
    os.waitid(os.P_PID, killed, os.WEXITED | os.WNOWAIT)

    assert idle.ask(Work(RIGHT, WEAK_MB)) is None
    assert answered(idle).hashed
    assert killed != idle.pid


def test_a3_a_process_that_no_processor_has_time_for_is_not_asked_for_a_while(idle, monkeypatch):
    monkeypatch.setattr(hashing, "PATIENCE_S", 0.05)
    answered(idle)
    starved = idle.pid
    os.kill(starved, signal.SIGSTOP)

    assert idle.ask(Work(RIGHT, WEAK_MB)) is None
    assert not psutil.pid_exists(starved)
    monkeypatch.setattr(IdleProcess, "_answer", lambda *_: pytest.fail("it was asked"))
    assert idle.ask(Work(RIGHT, WEAK_MB)) is None


def test_a3_the_process_is_asked_again_after_a_while(idle, monkeypatch):
    monkeypatch.setattr(hashing, "PATIENCE_S", 0.05)
    monkeypatch.setattr(hashing, "NOT_ASKED_S", 0.05)
    answered(idle)
    os.kill(idle.pid, signal.SIGSTOP)
    assert idle.ask(Work(RIGHT, WEAK_MB)) is None
    monkeypatch.setattr(hashing, "PATIENCE_S", READY_S)

    assert answered(idle).hashed


def test_a3_the_process_ends_with_the_one_that_began_it():
    with subprocess.Popen([sys.executable, "-c", BEGINNING], stdout=subprocess.PIPE) as asking:
        child = psutil.Process(int(asking.stdout.readline()))
        assert asking.pid == child.ppid()
        asking.kill()
        child.wait(READY_S)

    assert not child.is_running()


@pytest.mark.anyio
async def test_a3_passwords_are_verified_with_the_process_and_without(monkeypatch):
    asked, ask = [], IdleProcess.ask

    def counting(self, work):
        asked.append(done := ask(self, work))
        return done

    monkeypatch.setattr(IdleProcess, "ask", counting)
    async with Passwords(memory_mb=WEAK_MB).opened() as passwords, asyncio.timeout(READY_S):
        hashed = await passwords.hash(RIGHT)
        while not all([None in asked, *asked[-2:]]):
            assert await passwords.verify(hashed, RIGHT)
            assert not await passwords.verify(hashed, WRONG)
            assert not await passwords.verify(None, "the password of nobody")
            await asyncio.sleep(0.01)
        begun = [process.pid for process in passwords._idle]

    assert HASHES_AT_ONCE == len(begun)
    assert not any(map(psutil.pid_exists, begun))


def test_the_memory_of_a_hash_is_used_for_the_next(idle):
    pages = 19 * 1024 // 4
    answered(idle, Work(RIGHT, 19))
    before = pages_given(idle.pid)
    answered(idle, Work(RIGHT, 19))

    assert pages_given(idle.pid) - before < pages / 4
    assert before > pages
