"""Roles and servers that die are started again, with a growing pause, and not once they are to stop."""

import threading
import time

import pytest

from counterfoil import supervisor
from counterfoil.servers.redis import start_redis
from counterfoil.supervisor import Role, ServerKeeper


@pytest.fixture
def role(tmp_path):
    """A role process that ends at once: there is no such command."""
    role = Role("no-such-role", environment=supervisor.role_environment({}), log_file=tmp_path / "role.log")
    yield role
    role.wait_stopped(deadline=time.monotonic())


def wait_until(holds, *, within_s=20.0):
    give_up = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < give_up
        time.sleep(0.02)


def test_a_role_that_ends_is_started_again_after_a_growing_pause(role):
    role.start()
    pauses: list[float] = []
    ended_at = 0.0
    while len(pauses) < 3:
        if role.pid is None and not ended_at:
            ended_at = time.monotonic()
        if role.keep_alive(time.monotonic()):
            pauses.append(time.monotonic() - ended_at)
            ended_at = 0.0
        time.sleep(0.005)

    assert role.starts == 4
    assert [pause >= least for pause, least in zip(pauses, (0.35, 0.75, 1.55), strict=True)] == [True] * 3
    assert "No such command" in role.log_file.read_text()


def test_a_role_that_runs_is_left_alone(role):
    role.start()
    alive = role.pid

    assert alive is not None
    assert not role.keep_alive(time.monotonic())
    assert role.starts == 1


def test_roles_are_watched_until_told_to_stop(role):
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
