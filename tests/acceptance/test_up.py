"""`up`: one process group that starts, watches, restarts and drains everything, once per directory."""

import json
import os
import signal
import subprocess
import time

import httpx
import psutil
import pytest

from tests import forking
from tests.acceptance.running import (
    PROJECT,
    STOPPED_WITHIN_S,
    Up,
    command,
    environment,
    last_json,
    run,
    wait_until,
)

PROBES = ("/livez", "/readyz", "/metrics")

pytestmark = pytest.mark.slow


@pytest.fixture
def running(sold):
    """A shop that every test leaves as it was."""
    return sold[0]


def listening_port(pid):
    connections = psutil.Process(pid).net_connections(kind="tcp")
    return next(one.laddr.port for one in connections if one.status == psutil.CONN_LISTEN)


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_life_of_a_shop_drained_started_again_killed_taken_over_and_drained_by_ctrl_c(shops):
    shop = shops("--gateway", "--apis", "2")
    processes = dict(shop.processes)
    sent = create_product(shop)
    both = {shop.state["addresses"][api] for api in ("command_api", "query_api")}

    apis = {f"{api}{number}" for api in ("command-api", "query-api") for number in ("", "-2")}

    assert {"gateway", *apis} < processes.keys()
    assert {f"http://127.0.0.1:{listening_port(processes['gateway'])}"} == both

    started = time.monotonic()

    assert shop.stop() == 0
    assert time.monotonic() - started < STOPPED_WITHIN_S
    assert [name for name, pid in processes.items() if alive(pid)] == []
    assert not (shop.home / "run" / "state.json").exists()

    again = Up(shop.home)
    wait_until(lambda: again.has("/v1/products/10001"), within_s=240, what="what was sold is there")
    repeated = create_product(again)

    assert (sent.status_code, repeated.content) == (201, sent.content)

    processes = dict(again.processes)
    again.process.kill()
    again.process.wait()
    wait_until(lambda: not any(map(alive, processes.values())), within_s=240, what="nothing lives on")
    third = Up(shop.home)
    third.process.send_signal(signal.SIGINT)

    assert third.process.wait(STOPPED_WITHIN_S + 5) == 0


def create_product(shop):
    """The same command under the same key, whenever it is called."""
    return httpx.post(
        shop.url("command_api", "/v1/products"),
        json={"sku": "10001", "title": "CLOCK", "stocked": True},
        headers={"Idempotency-Key": "clock"},
        trust_env=False,
        timeout=60,
    )


def test_a_second_up_in_the_same_directory_is_refused(running):
    second = run(running.home, "up", timeout_s=240)

    assert second.returncode == 1
    assert f"in use by process {running.process.pid}" in second.stderr
    assert "Traceback" not in second.stderr
    assert running.process.poll() is None


def test_an_up_that_has_to_stop_while_it_starts_stops(tmp_path):
    process = forking.popen(
        command("up"), env=environment(tmp_path / "home"), cwd=PROJECT, stderr=subprocess.DEVNULL
    )
    wait_until((tmp_path / "home" / "run" / "lock").exists, within_s=240, what="the lock")
    process.terminate()

    assert process.wait(STOPPED_WITHIN_S + 5) == 0


def test_every_role_answers_probes_tells_metrics_and_logs_one_object_a_line(running):
    for role in ("command-api", "query-api", "relay", "projections", "processes"):
        # Another test may have had it killed and started again.
        wait_until(lambda role=role: is_ready(running.processes[role]), within_s=240, what=f"{role} is ready")
        lines = (running.home / "logs" / f"{role}.log").read_text().splitlines()
        port = listening_port(running.processes[role])
        answers = {
            path: httpx.get(f"http://127.0.0.1:{port}{path}", trust_env=False, timeout=60) for path in PROBES
        }

        assert [json.loads(line)["process"] for line in lines] == [role] * len(lines)
        assert [answer.status_code for answer in answers.values()] == [200] * len(PROBES)
        assert "process_resident_memory_bytes" in answers["/metrics"].text


def test_the_doctor_finds_nothing_wrong_with_a_shop_that_runs(running):
    report = running.run("doctor", "--json")

    assert (report.returncode, last_json(report)["ok"]) == (0, True), report.stdout


def test_settings_are_shown_with_passwords_masked(tmp_path):
    shown = run(tmp_path, "config", "show", COUNTERFOIL_DATABASE_URL="postgresql://me:secret@localhost/shop")

    assert "secret" not in shown.stdout
    assert "COUNTERFOIL_DATABASE_URL=postgresql://me:***@localhost/shop" in shown.stdout


def test_a_mistyped_setting_is_reported_in_one_line(tmp_path):
    finished = run(tmp_path, "status", COUNTERFOIL_DATABSE_URL="x")

    assert finished.returncode == 78
    assert finished.stderr.splitlines() == [
        "counterfoil: COUNTERFOIL_DATABSE_URL is not a setting; the nearest one is COUNTERFOIL_DATABASE_URL"
    ]


def test_without_a_shop_a_command_says_what_to_do(tmp_path):
    finished = run(tmp_path / "nowhere", "audit", "verify")

    assert finished.returncode == 4
    assert "start `counterfoil up` there, or set COUNTERFOIL_DATABASE_URL" in finished.stderr


@pytest.mark.parametrize("role", ["command-api", "query-api", "relay", "projections", "processes"])
def test_a_role_runs_alone_with_settings_from_the_environment_and_sigterm_ends_it_with_0(
    running, tmp_path, role
):
    """As a process manager would run it, while the shop's own run: the workers among them stand by or share."""
    known = running.state["addresses"]
    settings = {
        "COUNTERFOIL_DATABASE_URL": known["database_url"],
        "COUNTERFOIL_REDIS_URL": known["redis_url"],
    }
    process = forking.popen(
        command(role), env=environment(tmp_path, **settings), cwd=PROJECT, stderr=subprocess.DEVNULL
    )
    wait_until(lambda: is_ready(process.pid), within_s=240, what=f"{role} is ready")
    started = time.monotonic()
    process.terminate()

    assert process.wait(STOPPED_WITHIN_S + 5) == 0
    assert time.monotonic() - started < STOPPED_WITHIN_S


def is_ready(pid):
    try:
        url = f"http://127.0.0.1:{listening_port(pid)}/readyz"
        return httpx.get(url, trust_env=False, timeout=60).status_code == 200
    except (StopIteration, httpx.TransportError):
        return False
