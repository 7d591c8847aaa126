"""A circuit breaker without I/O: when to leave a dependency alone, and when to try it again.

It is asked before a call and gets the result afterwards; time is passed in. While it is open nobody calls; after a
pause one probe is let through, and its outcome closes the breaker or opens it again for twice as long.
"""

import enum
from typing import Final

FAILURES_MAX: Final = 3
"""Failures in a row that open the breaker."""
OPEN_S: Final = 0.25
"""The first pause."""
OPEN_S_MAX: Final = 5.0
"""The longest pause."""


class BreakerState(enum.Enum):
    """CLOSED: calls pass. OPEN: none does. PROBING: one is under way, the others wait for its outcome."""

    CLOSED = "closed"
    OPEN = "open"
    PROBING = "probing"


class Breaker:
    """Decides whether to call. Not shared between threads; clock values are monotonic seconds."""

    def __init__(
        self,
        *,
        failures_max: int = FAILURES_MAX,
        open_s: float = OPEN_S,
        open_s_max: float = OPEN_S_MAX,
    ) -> None:
        """Begin closed.

        Raises:
            ValueError: a limit that no breaker can have.
        """
        if failures_max < 1 or not 0 < open_s <= open_s_max:
            raise ValueError(f"no breaker has limits {failures_max}, {open_s} s, {open_s_max} s")
        self._failures_max = failures_max
        self._open_s_min = open_s
        self._open_s_max = open_s_max
        self._state = BreakerState.CLOSED
        self._failures = 0
        self._pause_s = open_s
        self._since = 0.0

    @property
    def state(self) -> BreakerState:
        """Where it stands now."""
        return self._state

    def allows(self, now: float) -> bool:
        """Whether to call now. A yes must be followed by `succeeded` or `failed`."""
        if self._state is BreakerState.CLOSED:
            return True
        if self._state is BreakerState.OPEN and now - self._since >= self._pause_s:
            self._state, self._since = BreakerState.PROBING, now
            return True
        if self._state is BreakerState.PROBING and now - self._since >= self._open_s_max:
            # The probe was abandoned without an outcome (its task was cancelled): let another go.
            self._since = now
            return True
        return False

    def succeeded(self) -> None:
        """A call was answered."""
        self._state = BreakerState.CLOSED
        self._failures = 0
        self._pause_s = self._open_s_min

    def failed(self, now: float) -> None:
        """A call was not answered, or too late."""
        self._failures += 1
        if self._state is BreakerState.PROBING:
            self._pause_s = min(self._open_s_max, self._pause_s * 2)
            self._state, self._since = BreakerState.OPEN, now
        elif self._state is BreakerState.CLOSED and self._failures >= self._failures_max:
            self._state, self._since = BreakerState.OPEN, now
