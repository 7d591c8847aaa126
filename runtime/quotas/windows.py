"""Sliding windows in the memory of one process."""

import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final

from runtime.quotas.quota import Allowance, Quota

KEPT_MAX: Final = 50_000
"""Callers that one process counts for; the one that was counted longest ago is forgotten."""


class Windows:
    """Counts what passed. Not shared between threads."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic, kept_max: int = KEPT_MAX) -> None:
        """`clock` gives seconds."""
        self._clock = clock
        self._kept_max = kept_max
        self._passed: OrderedDict[tuple[str, str], deque[float]] = OrderedDict()

    def __len__(self) -> int:
        """How many callers are counted for."""
        return len(self._passed)

    def take(self, quota: Quota, subject: str) -> Allowance:
        """Count one more for a caller, if the quota allows it."""
        now = self._clock()
        passed = self._counted(quota, subject, now)
        if len(passed) >= quota.most:
            return Allowance(quota, False, 0, passed[-quota.most] + quota.window_s - now)
        passed.append(now)
        return Allowance(quota, True, quota.most - len(passed), passed[0] + quota.window_s - now)

    def note(self, quota: Quota, subject: str) -> None:
        """Count what another count let pass, so that it is not forgotten when that one does not answer."""
        now = self._clock()
        self._counted(quota, subject, now).append(now)

    def _counted(self, quota: Quota, subject: str, now: float) -> deque[float]:
        """The times of the window, of a caller who is now the last to be forgotten."""
        key = quota.name, subject
        passed = self._passed.setdefault(key, deque())
        self._passed.move_to_end(key)
        while passed and passed[0] <= now - quota.window_s:
            passed.popleft()
        while len(self._passed) > self._kept_max:
            self._passed.popitem(last=False)
        return passed
