"""Passwords: Argon2id with parameters of ours, few at a time, and the same work whether or not there is an account."""

import asyncio
import contextlib
import functools
import os
import sys
import threading
from collections.abc import AsyncIterator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from commands import refusals
from commands.identity.errors import WeakPassword
from commands.identity.hashing import IdleProcess, Work, hasher_of

HASHES_AT_ONCE: Final = max(1, (os.cpu_count() or 1) // 2)
"""Each takes a core and its megabytes; other routes need the rest, and the memory's bandwidth."""

NICENESS: Final = 10
"""Of threads that hash because no processor is idle: a login still gets a tenth of a busy core."""

ADMITTED_AT_ONCE: Final = HASHES_AT_ONCE + 1
"""Logins that are worked on at once: while the passwords of some are hashed, the next one looks up what it needs."""

WAITING_MAX: Final = 64
"""Callers that wait for a hash or for their turn; more are asked to come again."""

CHARACTERS_MIN: Final = 8
CHARACTERS_MAX: Final = 256
PART_CHARACTERS_MIN: Final = 3
"""Shorter parts of an address stand in every second password."""

_NOBODYS: Final = "the password of nobody"


class _Queue:
    """Callers that wait for the same; there are no more than `WAITING_MAX`."""

    def __init__(self) -> None:
        self._length = 0

    @contextlib.contextmanager
    def joined(self) -> Iterator[None]:
        """Be one of them.

        Raises:
            ProblemError: too many wait.
        """
        if self._length >= WAITING_MAX:
            raise refusals.too_busy()
        self._length += 1
        try:
            yield
        finally:
            self._length -= 1


class Passwords:
    """Hashes and verifies passwords, no more than a few at once, and while a processor is idle where one is."""

    def __init__(self, *, memory_mb: int) -> None:
        self._memory_mb = memory_mb
        self._nobodys = _nobodys_hash(memory_mb)
        self._threads = ThreadPoolExecutor(HASHES_AT_ONCE, "passwords", initializer=_go_last)
        self._idle = [IdleProcess() for _ in range(HASHES_AT_ONCE)]
        self._hashing, self._admitting = _Queue(), _Queue()
        self._admission = asyncio.Semaphore(ADMITTED_AT_ONCE)

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator["Passwords"]:
        """Hash for the length of a block."""
        try:
            yield self
        finally:
            self._threads.shutdown(cancel_futures=True)
            for process in self._idle:
                process.end()

    @contextlib.asynccontextmanager
    async def admitted(self) -> AsyncIterator[None]:
        """Wait for one's turn to log in: what hundreds look up at once would keep all others from being answered.

        Raises:
            ProblemError: too many wait.
        """
        with self._admitting.joined():
            async with self._admission:
                yield

    async def hash(self, password: str) -> str:
        """The hash to keep.

        Raises:
            ProblemError: too many wait.
        """
        return str(await self._one_at_a_time(Work(password, self._memory_mb)))

    async def verify(self, hashed: str | None, password: str) -> bool:
        """Whether it is the password behind a hash; None takes the same time and is False.

        Raises:
            ProblemError: too many wait.
        """
        work = Work(password, self._memory_mb, against=hashed or self._nobodys)
        return await self._one_at_a_time(work) is not None and hashed is not None

    def needs_rehash(self, hashed: str) -> bool:
        """Whether a hash has other parameters than those of now."""
        return hasher_of(self._memory_mb).check_needs_rehash(hashed)

    async def _one_at_a_time(self, work: Work) -> str | None:
        with self._hashing.joined():
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._done, work)

    def _done(self, work: Work) -> str | None:
        process = self._idle.pop()  # there are as many as threads
        try:
            done = process.ask(work)
        finally:
            self._idle.append(process)
        # In this thread, the library lets go of the interpreter meanwhile.
        return work.done() if done is None else done.hashed


def _go_last() -> None:
    """Have this thread run when no other wants to; only Linux has priorities of single threads."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)


def require_strong(password: str, *, own: Iterable[str] = ()) -> None:
    """Refuse a password that is short, that many people have, or that is little more than what is known of its owner.

    `own` are the address and the id of the account.

    Raises:
        WeakPassword: it is refused.
    """
    if not CHARACTERS_MIN <= len(password) <= CHARACTERS_MAX:
        raise WeakPassword(f"a password has {CHARACTERS_MIN} to {CHARACTERS_MAX} characters")
    folded = password.casefold()
    if folded in common_passwords():
        raise WeakPassword("this password is one of those that everybody tries first")
    rest = folded
    for part in _parts(own):
        rest = rest.replace(part, "")
    if len(rest) < CHARACTERS_MIN and rest != folded:
        raise WeakPassword(
            f"without your address and name in it, a password has {CHARACTERS_MIN} characters or more"
        )


@functools.cache
def common_passwords() -> frozenset[str]:
    """Passwords that are long enough and that everybody tries first, in small letters."""
    from zxcvbn.frequency_lists import FREQUENCY_LISTS  # 14 MB, which only who takes passwords needs

    return frozenset(each for each in FREQUENCY_LISTS["passwords"] if len(each) >= CHARACTERS_MIN)


def _parts(own: Iterable[str]) -> list[str]:
    """What is known of an owner, the longest first: the address, what stands before and behind its @, the id."""
    known = {part for each in own for part in (each, *each.split("@"))}
    return sorted(
        (part.casefold() for part in known if len(part) >= PART_CHARACTERS_MIN), key=len, reverse=True
    )


@functools.cache  # what it is compared with is no secret, and a process that opens many logs need not make it for each
def _nobodys_hash(memory_mb: int) -> str:
    return hasher_of(memory_mb).hash(_NOBODYS)
