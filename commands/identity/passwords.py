"""Passwords: Argon2id with parameters of ours, few at a time, and the same work whether or not there is an account."""

import asyncio
import contextlib
import functools
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

from commands import refusals
from commands.identity.errors import WeakPassword

HASHES_AT_ONCE: Final = max(1, (os.cpu_count() or 1) // 2)
"""Each takes a core and its megabytes; other routes need the rest, and the memory's bandwidth."""

NICENESS: Final = 10
"""Of the threads that hash: answers that need no hash go first. A login still gets a tenth of a busy core."""

ADMITTED_AT_ONCE: Final = HASHES_AT_ONCE + 1
"""Logins that are worked on at once: while the passwords of some are hashed, the next one looks up what it needs."""

WAITING_MAX: Final = 64
"""Callers that wait for a hash or for their turn; more are asked to come again."""

CHARACTERS_MIN: Final = 8
CHARACTERS_MAX: Final = 256
PART_CHARACTERS_MIN: Final = 3
"""Shorter parts of an address stand in every second password."""

ONE_PASS_FROM_MB: Final = 46
"""From here on one pass over the memory is enough (OWASP's choices of equal strength)."""

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
    """Hashes and verifies passwords, no more than a few at once."""

    def __init__(self, *, memory_mb: int) -> None:
        self._hasher = _hasher(memory_mb)
        self._nobodys = _nobodys_hash(memory_mb)
        self._threads = ThreadPoolExecutor(HASHES_AT_ONCE, "passwords", initializer=_go_last)
        self._hashing, self._admitting = _Queue(), _Queue()
        self._admission = asyncio.Semaphore(ADMITTED_AT_ONCE)

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
        return str(await self._one_at_a_time(self._hasher.hash, password))

    async def verify(self, hashed: str | None, password: str) -> bool:
        """Whether it is the password behind a hash; None takes the same time and is False.

        Raises:
            ProblemError: too many wait.
        """
        return bool(await self._one_at_a_time(self._verified, hashed, password))

    def needs_rehash(self, hashed: str) -> bool:
        """Whether a hash has other parameters than those of now."""
        return self._hasher.check_needs_rehash(hashed)

    def _verified(self, hashed: str | None, password: str) -> bool:
        try:
            self._hasher.verify(hashed or self._nobodys, password)
        except (VerificationError, InvalidHashError):
            return False
        return hashed is not None

    async def _one_at_a_time(self, work: Callable[..., object], *given: object) -> object:
        with self._hashing.joined():
            # The library lets go of the interpreter meanwhile.
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, *given)


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


def _hasher(memory_mb: int) -> PasswordHasher:
    return PasswordHasher(
        time_cost=1 if memory_mb >= ONE_PASS_FROM_MB else 2,
        memory_cost=memory_mb * 1024,
        parallelism=1,
        hash_len=32,
        salt_len=16,
        type=Type.ID,
    )


@functools.cache  # what it is compared with is no secret, and a process that opens many logs need not make it for each
def _nobodys_hash(memory_mb: int) -> str:
    return _hasher(memory_mb).hash(_NOBODYS)
