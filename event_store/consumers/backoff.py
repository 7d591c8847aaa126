"""How long to wait behind a failure: doubled from failure to failure, with jitter, up to a longest wait."""

import random
from typing import Final

FIRST_S: Final = 0.2
LONGEST_S: Final = 5.0
JITTER: Final = 0.5
"""The share of a wait that is drawn by lot, so that processes that failed together do not return together."""


class Backoff:
    """The waits behind one thing that fails again and again. One thread."""

    def __init__(
        self, chance: random.Random | None = None, *, first_s: float = FIRST_S, longest_s: float = LONGEST_S
    ) -> None:
        """`chance` draws the jitter."""
        self._chance = chance or random.Random()
        self._first_s = self._next_s = first_s
        self._longest_s = longest_s

    def after_failure(self) -> float:
        """The seconds to wait now; the next failure waits twice as long."""
        wait_s, self._next_s = self._next_s, min(self._next_s * 2, self._longest_s)
        return wait_s * self._chance.uniform(1 - JITTER, 1)

    def reset(self) -> None:
        """Begin at the first wait again: what failed has worked for a while."""
        self._next_s = self._first_s
