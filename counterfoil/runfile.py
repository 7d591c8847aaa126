"""What `up` leaves in its home for other commands: who is running, where the servers listen, which process is which.

The lock is the kernel's (flock), so it ends with its holder however that ends: a stale lock cannot exist.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

import msgspec
from msgspec import Struct

from runtime.decoders import json_decoder
from runtime.settings import SettingsError

PRIVATE_FILE_MODE: Final = 0o600  # the addresses hold passwords
LOCK_TRIES_MAX: Final = 5
LOCK_PAUSE_S: Final = 0.05


class AlreadyRunning(Exception):
    """Another `up` runs in this directory."""

    def __init__(self, home: Path, *, pid: str) -> None:
        super().__init__(
            f"{home} is in use by process {pid or 'unknown'}:"
            " stop that one, or set COUNTERFOIL_HOME to another directory"
        )


class HomeUnusable(SettingsError):
    """The home directory cannot be made, or nothing can be written there."""

    def __init__(self, home: Path, *, reason: str) -> None:
        super().__init__(
            f"COUNTERFOIL_HOME: {home} cannot be used ({reason}): set it to a directory that you may write to"
        )


class Addresses(Struct, frozen=True):
    """Where to find each server and API; None for what does not run."""

    database_url: str | None = None
    redis_url: str | None = None
    kafka_bootstrap: str | None = None
    command_api: str | None = None
    query_api: str | None = None
    keys_database_url: str | None = None


class Running(Struct, frozen=True):
    """The state file of one `up`."""

    pid: int
    mode: Literal["standalone", "distributed"]
    started_at: str
    addresses: Addresses
    processes: dict[str, int]  # pid by name, servers included
    servers: dict[str, str]  # version and origin by name
    contexts: str | None = None  # the setting, for commands that are given none
    contexts_in: str | None = None  # the directory in which it was started
    ready: bool = True  # every process takes work; operators may have to act before


def run_folder(home: Path) -> Path:
    """The folder of lock and state file, made if missing."""
    folder = home / "run"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextlib.contextmanager
def locked(home: Path) -> Iterator[None]:
    """Hold the directory for one `up`.

    Raises:
        AlreadyRunning: somebody else holds it.
        HomeUnusable: it cannot be made, or not be written to.
    """
    try:
        lock = run_folder(home) / "lock"
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE_MODE)
    except OSError as error:
        raise HomeUnusable(home, reason=error.strerror or type(error).__name__) from error
    try:
        if not _try_lock(descriptor):
            raise AlreadyRunning(home, pid=os.pread(descriptor, 20, 0).decode().strip())
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    """Take the lock; a few tries, since `is_locked` of another process holds it for a moment."""
    for _ in range(LOCK_TRIES_MAX):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(LOCK_PAUSE_S)
    return False


def is_locked(home: Path) -> bool:
    """Whether an `up` runs in this directory now."""
    try:
        descriptor = os.open(home / "run" / "lock", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def write(home: Path, running: Running) -> None:
    """Replace the state file in one step: a reader finds the old or the new one, never half of one."""
    draft = run_folder(home) / f"state.{os.getpid()}.draft"
    draft.touch(mode=PRIVATE_FILE_MODE)
    draft.write_bytes(msgspec.json.format(msgspec.json.encode(running)))
    draft.replace(_state_file(home))


def read(home: Path) -> Running | None:
    """The state of the `up` that runs in this directory, None if none does."""
    if not is_locked(home):
        return None
    try:
        return json_decoder(Running).decode(_state_file(home).read_bytes())
    except (FileNotFoundError, msgspec.MsgspecError):
        return None  # it is just starting


def remove(home: Path) -> None:
    """Forget the state; the last thing an `up` does."""
    _state_file(home).unlink(missing_ok=True)


def _state_file(home: Path) -> Path:
    return home / "run" / "state.json"
