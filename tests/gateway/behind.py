"""Processes of both APIs behind a gateway, as an operator starts them; each may be killed and started again."""

import signal
import time
from pathlib import Path

from counterfoil.probing import answers_ok
from devservers import child
from runtime.quotas.shared_windows import SharedWindows
from tests import forking
from tests.acceptance import running

READY_WITHIN_S = 240.0
ENDED_WITHIN_S = 60.0
PATIENCE_S = 60.0
"""How long limits wait for Redis on a machine that runs other tests meanwhile; production waits 40 ms."""


class ApiProcess:
    """One process of an API; it keeps its port when it is started again."""

    def __init__(self, role, settings, *, output):
        self.role = role
        self.port = child.free_port()
        self.place = f"127.0.0.1:{self.port}"
        self.url = f"http://{self.place}"
        self._settings = {**settings, f"COUNTERFOIL_{role.upper().replace('-', '_')}_PORT": str(self.port)}
        self._output = output
        self._process = None

    def start(self):
        with self._output.open("ab") as output:
            self._process = forking.popen(
                running.command(self.role),
                env=running.environment(Path(self._settings["COUNTERFOIL_HOME"])) | self._settings,
                cwd=running.PROJECT,
                stdout=output,
                stderr=output,
                before=be_patient,
            )

    def wait_until_ready(self):
        give_up = time.monotonic() + READY_WITHIN_S
        while not answers_ok(f"{self.url}/readyz"):
            assert self._process.poll() is None, self._output.read_text()[-3000:]
            assert time.monotonic() < give_up, f"{self.role} is not ready"
            time.sleep(0.02)

    def signal(self, number):
        self._process.send_signal(number)

    def wait_until_ended(self):
        return self._process.wait(ENDED_WITHIN_S)

    def recover(self, fault):
        """Have it run again after a signal; its exit code, if it ended."""
        code = None
        if fault == signal.SIGSTOP:
            self.signal(signal.SIGCONT)
        else:
            code = self.wait_until_ended()
            self.start()
        self.wait_until_ready()
        return code

    def stop(self):
        if self._process is not None:
            self._process.kill()
            self._process.wait(ENDED_WITHIN_S)


def be_patient():
    """Have the limits of this process wait for Redis."""
    SharedWindows.__init__.__kwdefaults__["timeout_s"] = PATIENCE_S
