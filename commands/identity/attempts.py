"""Failed logins, counted by account and by address of the network, so that passwords cannot be tried out.

Each process counts for itself, in memory: several of them allow so many times more. A count is of the last minutes
only, so nobody is locked out for longer than somebody keeps trying.
"""

import time
from collections import deque
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from runtime.problems import ProblemError

WINDOW_S: Final = 300.0
FAILURES_PER_ACCOUNT_MAX: Final = 10
"""In the window; somebody who forgot a password needs fewer."""

KEPT_MAX: Final = 50_000
"""Accounts and addresses that one process counts for; the least recently used is forgotten."""


class Attempt(Struct, frozen=True):
    """A login that began, as it is counted."""

    names: tuple[str, ...]
    at: float


class Attempts:
    """Counts what began and did not succeed."""

    def __init__(self, *, per_address_max: int, clock: Callable[[], float] = time.monotonic) -> None:
        """`per_address_max` failures of one address in the window; 0: addresses are not limited."""
        self._per_address_max = per_address_max
        self._clock = clock
        self._failures: dict[str, deque[float]] = {}

    def begin(self, *, account: str, address: str) -> Attempt:
        """Count a login before anything is done for it.

        Raises:
            ProblemError: `too-many-attempts`.
        """
        limits = {f"account {account}": FAILURES_PER_ACCOUNT_MAX}
        if self._per_address_max:
            limits[f"address {address}"] = self._per_address_max
        now = self._clock()
        for name, most in limits.items():
            self._require(name, most, now)
        for name in limits:
            self._failures.setdefault(name, deque()).append(now)
        while len(self._failures) > KEPT_MAX:
            del self._failures[next(iter(self._failures))]
        return Attempt(tuple(limits), now)

    def succeeded(self, attempt: Attempt) -> None:
        """Forget what was counted: an account whose password is known is not being guessed."""
        for name in attempt.names:
            times = self._failures.get(name)
            if times is not None and attempt.at in times:
                times.remove(attempt.at)

    def _require(self, name: str, most: int, now: float) -> None:
        times = self._failures.pop(name, None)
        if times is None:
            return
        while times and times[0] <= now - WINDOW_S:
            times.popleft()
        if times:
            self._failures[name] = times  # behind the others: it was used last
        if len(times) >= most:
            wait_s = int(times[0] + WINDOW_S - now) + 1
            raise ProblemError(
                "too-many-attempts",
                "Too many attempts lately, for this account or from this address of the network.",
                headers={"retry-after": str(wait_s)},
            )
