"""Keeps servers and role processes alive: starts them, starts them again when they die, stops them in order.

Everything started here also ends with this process if that is killed (`devservers.last_will`).
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import structlog

import counterfoil
from counterfoil.servers.errors import ServerError
from devservers.child import LOG_BYTES_MAX, Child, launch, rotate
from devservers.server import Server

CHECK_EVERY_S: Final = 0.1
ROTATE_EVERY_S: Final = 2.0
BACKOFF_MIN_S: Final = 0.2
BACKOFF_MAX_S: Final = 5.0
STEADY_AFTER_S: Final = 20.0
"""A process that lived this long begins again with the shortest backoff."""
STOP_ROLES_WITHIN_S: Final = 8.5
"""Of the ten seconds that SIGTERM leaves, what role processes get; servers stop in the rest."""

MESSAGE: Final = "counterfoil: "
"""What the line begins with in which a command says why it ended."""
_MESSAGE_BYTES_MAX: Final = 16_384

log = structlog.get_logger()


class Role:
    """One role process: how to start it, and when it may be started again; `command` where it is one of several."""

    def __init__(
        self, name: str, *, environment: Mapping[str, str], log_file: Path, command: str | None = None
    ) -> None:
        self.name = name
        self.command = command or name
        self.log_file = log_file
        self.starts = 0
        self._environment = environment
        self._child: Child | None = None
        self._backoff_s = BACKOFF_MIN_S
        self._started_at = 0.0
        self._not_before = 0.0

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self._child.pid if self._child is not None and self._child.is_running() else None

    @property
    def refusal(self) -> str | None:
        """Why it does not run with its settings, in its own words; None: it runs, or ended otherwise."""
        if self._child is None or self._child.ending.get("exit_code") != os.EX_CONFIG:
            return None
        written = self.log_file.read_bytes()[-_MESSAGE_BYTES_MAX:].decode(errors="replace")
        _, found, message = written.rpartition(MESSAGE)
        return message.strip() if found else f"it refuses its settings; see {self.log_file}"

    def start(self) -> None:
        """Start the process; it writes to its own log file."""
        self.starts += 1
        self._started_at = time.monotonic()
        self._child = launch(
            [sys.executable, "-P", "-m", "counterfoil", self.command],
            name=self.name,
            log=self.log_file,
            stop_signal=signal.SIGTERM,
            cwd=self.log_file.parent,
            environment=self._environment,
        )

    def keep_alive(self, now: float) -> bool:
        """Start it again if it died and its backoff is over; whether it was started.

        One that refuses its settings is left as it is: it would refuse them again.
        """
        if self.pid is not None or self.refusal is not None:
            return False
        if self._not_before < self._started_at:  # the death is news
            steady = now - self._started_at > STEADY_AFTER_S
            self._backoff_s = BACKOFF_MIN_S if steady else min(self._backoff_s * 2, BACKOFF_MAX_S)
            self._not_before = now + self._backoff_s
            log.warning(
                "role_ended",
                role=self.name,
                **(self._child.ending if self._child is not None else {}),
                again_in_s=self._backoff_s,
                log=str(self.log_file),
            )
        if now < self._not_before:
            return False
        self.start()
        return True

    def ask_to_stop(self) -> None:
        """SIGTERM, without waiting."""
        if (pid := self.pid) is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    def wait_stopped(self, *, deadline: float) -> bool:
        """Wait until it ended; kill it at the deadline. Whether it ended by itself."""
        if self._child is None:
            return True
        while self._child.is_running() and time.monotonic() < deadline:
            time.sleep(0.02)
        ended = not self._child.is_running()
        self._child.kill()
        return ended


class ServerKeeper:
    """Watches one server from a thread of its own, since starting one takes seconds."""

    def __init__(self, name: str, server: Server, *, on_restart: Callable[[], None]) -> None:
        self.name = name
        self.server = server
        self._on_restart = on_restart
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._check, name=f"keep-{name}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop watching and stop the server."""
        self._stopping.set()
        self.server.stop()
        self._thread.join(timeout=1.0)
        self.server.stop()  # in case the thread was just starting it

    def _check(self) -> None:
        backoff_s = BACKOFF_MIN_S
        while not self._stopping.wait(CHECK_EVERY_S):
            if self.server.is_running():
                continue
            log.warning("server_ended", server=self.name, log=str(self.server.log))
            try:
                self.server.start()
            except ServerError as error:
                if not self._stopping.is_set():
                    log.error("server_start_failed", server=self.name, reason=str(error))  # noqa: TRY400
                self._stopping.wait(backoff_s)
                backoff_s = min(backoff_s * 2, BACKOFF_MAX_S)
            else:
                backoff_s = BACKOFF_MIN_S
                self._on_restart()


def refused(roles: Sequence[Role]) -> str | None:
    """What roles say that refuse their settings, each reason once; None: none does."""
    reasons: dict[str, list[str]] = {}
    for role in roles:
        if (reason := role.refusal) is not None:
            reasons.setdefault(reason, []).append(role.name)
    return "\n".join(f"{', '.join(names)}: {reason}" for reason, names in reasons.items()) or None


def keep_alive(
    roles: Sequence[Role],
    *,
    stop: threading.Event,
    on_change: Callable[[], None],
    on_refusal: Callable[[], None] = lambda: None,
) -> None:
    """Start roles again when they die, until `stop`, or until one refuses its settings.

    `on_change` is called whenever a pid changed, `on_refusal` at the end by refusal.
    """
    while not stop.wait(CHECK_EVERY_S):
        now = time.monotonic()
        if any(role.refusal is not None for role in roles):
            on_refusal()
            return
        started = [role for role in roles if role.keep_alive(now)]  # a list: every role is checked
        if started:
            on_change()


def keep_logs_short(logs: Sequence[Path], *, stop: threading.Event) -> None:
    """Rotate log files that grew too long, until `stop`."""
    while not stop.wait(ROTATE_EVERY_S):
        for path in logs:
            if rotate(path):
                log.info("log_rotated", log=str(path), bytes_max=LOG_BYTES_MAX)


def stop_roles(roles: Sequence[Role]) -> list[str]:
    """SIGTERM to all at once; the names of those that had to be killed."""
    for role in roles:
        role.ask_to_stop()
    deadline = time.monotonic() + STOP_ROLES_WITHIN_S
    return [role.name for role in roles if not role.wait_stopped(deadline=deadline)]


def role_environment(settings: Mapping[str, str], *, contexts_in: Path | None = None) -> dict[str, str]:
    """The environment of role processes: ours, with settings filled in, and with this package importable.

    Roles run in another directory, so what is on Python's path becomes absolute. `contexts_in` is where contexts are
    found that are not on it: it comes last.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    package = Path(counterfoil.__file__).resolve().parent.parent
    given = [Path(each).absolute() for each in inherited.get("PYTHONPATH", "").split(os.pathsep) if each]
    paths = [package, *given, *([] if contexts_in is None else [contexts_in])]
    return {**inherited, "PYTHONPATH": os.pathsep.join(map(str, paths)), **settings}
