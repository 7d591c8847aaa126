"""The product as a user runs it: the `counterfoil` command in processes of its own, below a directory of its own."""

import json
import os
import signal
import sys
import time

import httpx

from tests import forking
from tests.forking import PROJECT

STARTED_WITHIN_S = 240.0
STOPPED_WITHIN_S = 120.0
"""Ten seconds are promised (`devservers.supervisor`); the rest is for a machine that runs other tests meanwhile."""


def environment(home, **settings):
    """Ours without settings of Counterfoil, ports left to chance, so that runs never meet."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("COUNTERFOIL_")}
    for shared in ("COUNTERFOIL_CACHE", "COUNTERFOIL_MAVEN_REPOSITORY", "COUNTERFOIL_JAVA"):
        if shared in os.environ:
            kept[shared] = os.environ[shared]
    ports = {f"COUNTERFOIL_{name}_PORT": "0" for name in ("COMMAND_API", "QUERY_API", "GATEWAY")}
    health = {
        f"COUNTERFOIL_{name}_HEALTH_PORT": "0"
        for name in ("RELAY", "PROJECTIONS", "PROCESSES", "CONSUMERS", "SEALER")
    }
    return {**kept, **ports, **health, "COUNTERFOIL_HOME": str(home), **settings}


def command(*arguments):
    return [sys.executable, "-m", "counterfoil", *map(str, arguments)]


def run(home, *arguments, timeout_s=400.0, **settings):
    """One command to its end: exit code, standard output, standard error."""
    return forking.run(command(*arguments), env=environment(home, **settings), cwd=PROJECT, timeout=timeout_s)


def last_json(finished):
    """The JSON object that a command printed last."""
    assert finished.stdout.strip(), f"nothing on standard output; standard error:\n{finished.stderr[-3000:]}"
    return json.loads(finished.stdout.strip().splitlines()[-1])


class Up:
    """A `counterfoil up` that is ready."""

    def __init__(self, home, *options, program=None, cwd=PROJECT, distributed=False, **settings):
        """Start it; `program` is another command than that of this checkout."""
        self.home = home
        self.output = home.parent / f"{home.name}.up.log"
        arguments = ["up", *options, *(["--distributed"] if distributed else [])]
        with self.output.open("ab") as output:
            self.process = forking.popen(
                command(*arguments) if program is None else [str(program), *arguments],
                env=environment(home, **settings),
                cwd=cwd,
                stdout=output,
                stderr=output,
            )
        self._wait_until_ready()

    @property
    def state(self):
        return json.loads((self.home / "run" / "state.json").read_text())

    @property
    def processes(self):
        return self.state["processes"]

    def url(self, api, path):
        return self.state["addresses"][api] + path

    def get(self, path):
        return httpx.get(self.url("query_api", path), timeout=60, trust_env=False).raise_for_status().json()

    def has(self, path):
        return httpx.get(self.url("query_api", path), timeout=60, trust_env=False).status_code == 200

    def run(self, *arguments, timeout_s=400.0, **settings):
        """One command to its end, while the shop runs: exit code, standard output, standard error."""
        return run(self.home, *arguments, timeout_s=timeout_s, **settings)

    def kill(self, name):
        """SIGKILL to a role or server; returns its pid."""
        pid = self.processes[name]
        os.kill(pid, signal.SIGKILL)
        return pid

    def wait_for_another(self, name, *, than, within_s=240.0):
        """Wait until the process was started again."""
        wait_until(
            lambda: self.processes.get(name) not in {than, None}, within_s=within_s, what=f"{name} back"
        )

    def stop(self):
        """SIGTERM; the exit code."""
        self.ask_to_stop()
        return self.wait_stopped()

    def ask_to_stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)

    def wait_stopped(self):
        return self.process.wait(STOPPED_WITHIN_S + 5)

    def _wait_until_ready(self):
        give_up = time.monotonic() + STARTED_WITHIN_S
        while not self._is_ready():
            assert self.process.poll() is None, f"up ended:\n{self.output.read_text()[-3000:]}"
            assert time.monotonic() < give_up, f"up is not ready:\n{self.output.read_text()[-3000:]}"
            time.sleep(0.05)

    def _is_ready(self):
        """Whether the state file is this process's own, not one that a killed predecessor left."""
        try:
            return self.state["pid"] == self.process.pid and self.state["ready"]
        except FileNotFoundError:
            return False


def wait_until(holds, *, within_s, what):
    give_up = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < give_up, f"not within {within_s} s: {what}"
        time.sleep(0.05)
