"""The hash of a password, and a process that computes hashes only while a processor has nothing else to do.

`python -m commands.identity.hashing` reads work from the socket that is its standard input, an object a line, and
answers each with a line, after an empty one when it is ready. It ends when the socket does, so it outlives the process
that began it by one hash at most.
"""

import contextlib
import os
import socket
import subprocess
import sys
import time
from typing import Final

import msgspec
from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError
from msgspec import Struct

ONE_PASS_FROM_MB: Final = 46
"""From here on one pass over the memory is enough (OWASP's choices of equal strength)."""

IDLE_NICENESS: Final = 19
"""Of the process where the system has no idle policy, or forbids it."""

PATIENCE_S: Final = 1.0
"""How long a processor may keep the process waiting; on an idle machine a hash takes a tenth of it."""

KEEPS_MEMORY: Final = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 32)}
"""Has glibc (mallopt(3)) use the memory of a hash, which argon2 wipes, for the next: to get it anew takes as long again
as half of the hash, in the kernel, where the process gives its processor up late. Other libraries pay no heed."""

NOT_ASKED_S: Final = 10.0
"""For how long nothing is asked of a process that did not answer: the machine is full, or allows none."""


class Work(Struct, frozen=True):
    """A password to hash; `against`: the hash to verify it with."""

    password: str
    memory_mb: int
    against: str | None = None

    def done(self) -> str | None:
        """The hash that the password is behind: a new one, or the one to verify; None: it is not behind that."""
        hasher = hasher_of(self.memory_mb)
        if self.against is None:
            return hasher.hash(self.password)
        try:
            hasher.verify(self.against, self.password)
        except (VerificationError, InvalidHashError):
            return None
        return self.against


def hasher_of(memory_mb: int) -> PasswordHasher:
    """Argon2id (RFC 9106) with parameters of ours."""
    return PasswordHasher(
        time_cost=1 if memory_mb >= ONE_PASS_FROM_MB else 2,
        memory_cost=memory_mb * 1024,
        parallelism=1,
        hash_len=32,
        salt_len=16,
        type=Type.ID,
    )


class Hashed(Struct, frozen=True):
    """What came of work: see `Work.done`."""

    hashed: str | None


_WORK: Final = msgspec.json.Decoder(Work)
_HASHED: Final = msgspec.json.Decoder(Hashed)


class IdleProcess:
    """The process, for one thread at a time; begun when it is first asked, and asked once it is ready."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._is_ready = False
        self._not_before = 0.0

    @property
    def pid(self) -> int | None:
        """The process's id while there is one."""
        return None if self._process is None else self._process.pid

    def ask(self, work: Work) -> Hashed | None:
        """What came of work; None: there is no process yet, or no processor has time for it, so do it otherwise."""
        if time.monotonic() < self._not_before:
            return None
        try:
            return self._answer(work)
        except BlockingIOError:
            return None  # not ready
        except OSError:  # it is late, or ended, or cannot be begun
            self._not_before = time.monotonic() + NOT_ASKED_S
            self.end()
            return None

    def _answer(self, work: Work) -> Hashed:
        connection = self._begun()
        if not self._is_ready:
            _received(connection)
            self._is_ready = True
            connection.settimeout(PATIENCE_S)
        connection.sendall(msgspec.json.encode(work) + b"\n")
        answer = b""
        while not answer.endswith(b"\n"):
            answer += _received(connection)
        return _HASHED.decode(answer)

    def _begun(self) -> socket.socket:
        if self._socket is None:
            ours, its = socket.socketpair()
            ours.setblocking(False)  # until it is ready
            self._socket = ours
            with its:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", __name__],
                    stdin=its.fileno(),
                    env=os.environ | KEEPS_MEMORY,
                    process_group=0,  # a Ctrl-C in a terminal is for the process that asks
                )
            go_idle(self._process.pid)
        return self._socket

    def end(self) -> None:
        """End the process, if there is one."""
        if self._socket is not None:
            self._socket.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._socket, self._process, self._is_ready = None, None, False


def _received(connection: socket.socket) -> bytes:
    received = connection.recv(4096)
    if not received:
        raise ConnectionResetError("the process that hashes passwords ended")
    return received


def go_idle(pid: int) -> None:
    """Have a process run while no other wants to."""
    if sys.platform == "linux":
        with contextlib.suppress(PermissionError):
            os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0))
            return
    os.setpriority(os.PRIO_PROCESS, pid, IDLE_NICENESS)


def _main() -> None:
    with contextlib.suppress(OSError), socket.socket(fileno=sys.stdin.fileno()) as connection:
        connection.sendall(b"\n")
        for line in connection.makefile("rb"):
            done = Hashed(_WORK.decode(line).done())
            connection.sendall(msgspec.json.encode(done) + b"\n")


if __name__ == "__main__":
    _main()
