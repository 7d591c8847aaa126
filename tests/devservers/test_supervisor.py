"""Roles and servers that die are started again, with a growing pause, and not once they are to stop."""

import os
import signal
import sys
import threading
import time
from types import SimpleNamespace

import pytest

from devservers import child, supervisor
from devservers.redis import start_redis
from devservers.supervisor import Role, ServerKeeper


@pytest.fixture
def role(tmp_path):
    """A role process that ends at once: there is no such command."""
    role = Role("no-such-role", environment=supervisor.role_environment({}), log_file=tmp_path / "role.log")
    yield role
    role.wait_stopped(deadline=time.monotonic())


def wait_until(holds, *, within_s=120.0):
    give_up = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < give_up
        time.sleep(0.02)


def test_a_role_that_ends_is_started_again_after_a_growing_pause(role):
    role.start()
    pauses: list[float] = []
    for _ in range(3):
        wait_until(lambda: role.pid is None)
        noticed_at = time.monotonic()
        assert not role.keep_alive(noticed_at)
        wait_until(lambda: role.keep_alive(time.monotonic()))
        pauses.append(time.monotonic() - noticed_at)

    assert role.starts == 4
    assert [pause >= least for pause, least in zip(pauses, (0.4, 0.8, 1.6), strict=True)] == [True] * 3
    assert "No such command" in role.log_file.read_text()


def test_a_role_that_refuses_its_settings_is_not_started_again_and_says_why(tmp_path):
    environment = supervisor.role_environment({"COUNTERFOIL_PROFILE": "prod"})
    roles = [
        Role(name, command="relay", environment=environment, log_file=tmp_path / f"{name}.log")
        for name in ("relay", "relay-2")
    ]
    refusals = []
    for role in roles:
        role.start()
    supervisor.keep_alive(
        roles,
        stop=threading.Event(),
        on_change=lambda: pytest.fail("started again"),
        on_refusal=lambda: refusals.append(supervisor.refused(roles)),
    )
    for role in roles:
        assert role.wait_stopped(deadline=time.monotonic() + 60)

    assert [1, 1] == [role.starts for role in roles]
    assert 1 == len(refusals)
    assert supervisor.refused(roles).startswith("relay, relay-2: COUNTERFOIL_PROFILE: ")
    assert not roles[0].keep_alive(time.monotonic())


@pytest.fixture
def running(role, monkeypatch):
    """The same, but it runs until it is killed: one that ends at once may have ended before a test does anything."""
    monkeypatch.setattr(
        supervisor, "launch", lambda _command, **given: child.launch(["sleep", "600"], **given)
    )
    role.start()
    return role


def test_a_role_that_runs_is_left_alone(running):
    alive, now = running.pid, time.monotonic()

    assert alive is not None
    assert [False, False] == [running.keep_alive(at) for at in (now, now + 60)]
    assert (alive, 1) == (running.pid, running.starts)


def test_roles_are_kept_until_a_stop(role):
    stop, changes = threading.Event(), []
    role.start()
    watcher = threading.Thread(
        target=supervisor.keep_alive,
        args=([role],),
        kwargs={"stop": stop, "on_change": lambda: changes.append(role.starts)},
    )
    watcher.start()
    wait_until(lambda: len(changes) >= 2)
    stop.set()
    watcher.join()
    starts = role.starts
    time.sleep(0.3)

    assert changes == list(range(2, len(changes) + 2))
    assert role.starts == starts


def test_a_role_that_does_not_end_in_time_is_killed_and_named(tmp_path, monkeypatch):
    monkeypatch.setattr(supervisor, "STOP_ROLES_WITHIN_S", 0.0)
    role = Role("no-such-role", environment=supervisor.role_environment({}), log_file=tmp_path / "role.log")
    role.start()

    assert supervisor.stop_roles([role]) == ["no-such-role"]
    assert role.pid is None


def test_a_server_that_is_killed_comes_back_on_its_port_and_stays_away_when_stopped(tmp_path):
    restarts = []
    server = start_redis(tmp_path / "redis")
    url, first = server.url, server.pid
    keeper = ServerKeeper("redis", server, on_restart=lambda: restarts.append(server.pid))
    server.kill()
    wait_until(lambda: restarts)
    second = server.pid
    keeper.stop()
    time.sleep(0.3)

    assert (server.url, first != second) == (url, True)
    assert not server.is_running()


def ending_of(role, monkeypatch):
    """What is logged when the role has ended."""
    said = []
    monkeypatch.setattr(
        supervisor, "log", SimpleNamespace(warning=lambda event, **members: said.append({event: members}))
    )
    wait_until(lambda: role.pid is None)
    role.keep_alive(time.monotonic())
    return said[0]["role_ended"]


def test_a_role_that_ended_is_logged_with_its_exit_code(role, monkeypatch):
    role.start()

    assert 64 == ending_of(role, monkeypatch)["exit_code"]


def test_a_role_that_was_killed_is_logged_with_the_signal(running, monkeypatch):
    os.kill(running.pid, signal.SIGKILL)

    assert "SIGKILL" == ending_of(running, monkeypatch)["signal"]


WRITER = """
import os, time
def line(number):
    os.write(1, f"{number:04} {'x' * 1_000}\\n".encode())
def wait_until_at_most(size):
    late_s = time.monotonic() + 60
    while os.fstat(1).st_size > size and time.monotonic() < late_s:
        time.sleep(0.001)
for number in range(2_999):
    line(number)
    wait_until_at_most(400_000)
wait_until_at_most(200_000)
line(2_999)
"""
"""Each line is one write: print() makes two where output is not buffered, and a log may be put aside between them.

However late that is on a busy machine, the writer waits for it when its log is twice as long as it may be. The last
line is written when nothing is being put aside: a line written between the last copy and the emptying is lost."""


def test_a_log_that_grows_too_long_is_put_aside_while_its_process_writes(tmp_path, monkeypatch):
    monkeypatch.setattr(child, "LOG_BYTES_MAX", 200_000)
    monkeypatch.setattr(supervisor, "ROTATE_EVERY_S", 0.005)
    log, stop = tmp_path / "writer.log", threading.Event()
    writer = child.launch(
        [sys.executable, "-c", WRITER], name="writer", log=log, stop_signal=signal.SIGTERM, cwd=tmp_path
    )
    keeper = threading.Thread(target=supervisor.keep_logs_short, args=([log],), kwargs={"stop": stop})
    keeper.start()
    sizes = []
    while writer.is_running():
        sizes.append(log.stat().st_size)
        time.sleep(0.001)
    stop.set()
    keeper.join()
    kept = (log.with_name("writer.log.1").read_text() + log.read_text()).splitlines()

    assert max(sizes) < 1_000_000  # of the 3 MB that were written
    assert "2999" == kept[-1][:4]
    assert sorted(kept) == kept
    assert {1_005} == {len(line) for line in kept}


def test_a_short_log_is_left_alone(tmp_path):
    log = tmp_path / "short.log"
    log.write_text("a line\n")

    assert not child.rotate(log)
    assert not child.rotate(tmp_path / "no-such.log")
    assert ["short.log"] == [path.name for path in tmp_path.iterdir()]
