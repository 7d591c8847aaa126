"""One server process of ours: output into a file, ready within a named time, stopped politely or killed."""

import contextlib
import fcntl
import functools
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

from devservers import last_will
from devservers.errors import ServerStartFailed

LOCALHOST: Final = "127.0.0.1"
_POLL_S: Final = 0.02
_KILL_WAIT_S: Final = 10.0
LOG_BYTES_MAX: Final = 16 * 1024 * 1024
"""A log file that grew beyond this is put aside as `<name>.1`, in place of the one before."""

# Below the range from which the kernel gives out local ports of outgoing connections: a client that retries while its
# server is down could otherwise be given the server's own port, connect to itself and keep the server from returning.
_PORTS: Final = range(20_000, 32_000)
_PORT_TRIES_MAX: Final = 200

popen: Callable[..., subprocess.Popen[bytes]] = subprocess.Popen
"""Starts programs. Tests have another one, which forks those of ours from a process that has imported them."""


class Child:
    """A running server process. Started by `launch`."""

    def __init__(
        self, name: str, *, process: subprocess.Popen[bytes], log: Path, stop_signal: signal.Signals
    ) -> None:
        self.name = name
        self.log = log
        self._process = process
        self._stop_signal = stop_signal

    @property
    def pid(self) -> int:
        """Process id; of a process that has ended, the id it had."""
        return self._process.pid

    @property
    def ending(self) -> dict[str, int | str]:
        """How it ended, as members of a log line: its exit code, or the signal that ended it; empty while it runs."""
        code = self._process.poll()
        if code is None:
            return {}
        return {"exit_code": code} if code >= 0 else {"signal": signal_name(-code)}

    def is_running(self) -> bool:
        """Whether the process has not ended."""
        if self._process.poll() is None:
            return True
        last_will.drop(self.pid)
        return False

    def wait_until(self, ready: Callable[[], bool], *, timeout_s: float) -> None:
        """Poll `ready` until it says yes.

        Raises:
            ServerStartFailed: the process ended or `timeout_s` passed. On any error the process is killed.
        """
        give_up = time.monotonic() + timeout_s
        try:
            while not ready():
                if not self.is_running():
                    how = ", ".join(
                        f"{name.replace('_', ' ')} {value}" for name, value in self.ending.items()
                    )
                    self._fail(f"it ended with {how}")
                if time.monotonic() > give_up:
                    self._fail(f"not ready after {timeout_s:g} s")
                time.sleep(_POLL_S)
        except BaseException:
            self.kill()
            raise

    def _fail(self, reason: str) -> NoReturn:
        raise ServerStartFailed(self.name, reason=reason, log=self.log)

    def stop(self, *, timeout_s: float) -> None:
        """End it the way its documentation recommends; SIGKILL after `timeout_s`. A second call does nothing."""
        if self.is_running():
            self._process.send_signal(self._stop_signal)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout_s)
        self.kill()

    def kill(self) -> None:
        """SIGKILL, as a crash would end it. A second call does nothing."""
        if self.is_running():
            self._process.kill()
            self._process.wait(_KILL_WAIT_S)
        last_will.drop(self.pid)


def launch(
    command: Sequence[str | Path],
    *,
    name: str,
    log: Path,
    stop_signal: signal.Signals,
    cwd: Path,
    user: int | None = None,
    environment: Mapping[str, str] | None = None,
) -> Child:
    """Start a server that ends with this process at the latest.

    Args:
        command: program and arguments.
        name: what people call it, for messages.
        log: file that takes its output; rotated first, and by the keeper of the process later.
        stop_signal: the signal that ends it orderly.
        cwd: its working directory.
        user: id of user and group to run as (only root may say this).
        environment: its whole environment; ours without variables that steer database clients when None.
    """
    rotate(log)
    with log.open("ab") as output:
        process = popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env=dict(environment if environment is not None else clean_environment()),
            start_new_session=True,  # Ctrl-C on the terminal reaches us, and we stop the servers in order
            **as_user(user),
        )
    last_will.keep(process.pid, stop_signal=stop_signal)
    return Child(name, process=process, log=log, stop_signal=stop_signal)


def rotate(log: Path) -> bool:
    """Put a log file that grew too long aside as `<log>.1` and begin it anew; whether that was done.

    The process goes on writing to the file it was given, so it is copied and emptied, not renamed: it is open for
    appending, and what comes next stands at its beginning. What grew while it was copied is copied too; a line
    written between the last copy and the emptying would be lost.
    """
    try:
        if log.stat().st_size <= LOG_BYTES_MAX:
            return False
        with log.open("r+b") as full, log.with_name(f"{log.name}.1").open("wb") as aside:
            while full.tell() < os.fstat(full.fileno()).st_size:
                shutil.copyfileobj(full, aside)
            full.truncate(0)
    except FileNotFoundError:
        return False
    return True


def signal_name(number: int) -> str:
    """`SIGKILL` for 9; the number itself for one that has no name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


def as_user(user: int | None) -> dict[str, Any]:
    """The arguments of `subprocess` that run a program as another user and group without further groups."""
    return {} if user is None else {"user": user, "group": user, "extra_groups": []}


def clean_environment() -> dict[str, str]:
    """Our environment without variables that change what a server or a database client does."""
    return {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("PG", "LC_", "LANG", "KAFKA_", "JAVA_"))
    }


def remembered_port(directory: Path, *, name: str) -> int:
    """The TCP port that a server of this directory had last time if it is free, else a new one, remembered."""
    file = directory / name
    with contextlib.suppress(FileNotFoundError, ValueError):
        port = int(file.read_text())
        if is_free(port):
            return port
    port = free_port()
    file.write_text(f"{port}\n")
    return port


def wait_until_free(port: int, *, timeout_s: float) -> None:
    """Wait while a port is still held by what remains of a predecessor; return in any case after `timeout_s`."""
    give_up = time.monotonic() + timeout_s
    while not is_free(port) and time.monotonic() < give_up:
        time.sleep(_POLL_S)


def password_in(directory: Path) -> str:
    """The password of a server: made with its directory, kept in a file for its owner only."""
    file = directory / "password"
    with contextlib.suppress(FileNotFoundError):
        return file.read_text().strip()
    password = secrets.token_urlsafe(24)
    with os.fdopen(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as output:
        output.write(f"{password}\n")
    return password


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on and that no outgoing connection will be given.

    While this process lives no other one is given it: servers take seconds until they listen.
    """
    for port in random.SystemRandom().sample(_PORTS, _PORT_TRIES_MAX):
        if _reserve(port) and is_free(port):
            return port
    raise ServerStartFailed(
        "a server", reason=f"no free port in {_PORT_TRIES_MAX} tries", log=Path(os.devnull)
    )


_reserved: set[int] = set()
"""Ports that this process was given; its own locks do not keep it from them."""


@functools.cache
def _reservations() -> int:
    """A file of which each locked byte stands for a port; it stays open, and locked, as long as this process lives."""
    # One file for each user: that of another cannot be opened. Servers that listen already are found by `is_free`.
    path = Path(tempfile.gettempdir()) / f"counterfoil-ports-{os.getuid()}"
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)


def _reserve(port: int) -> bool:
    """Keep a port for this process; False when another process has it, or this one was given it before."""
    if port in _reserved:
        return False
    try:
        fcntl.lockf(_reservations(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return False
    _reserved.add(port)
    return True


def is_free(port: int, *, host: str = LOCALHOST) -> bool:
    """Whether a server could listen on this port of an address of this machine now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections in TIME_WAIT do not count
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True
