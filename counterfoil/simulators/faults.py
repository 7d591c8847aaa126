"""What a simulated party does wrong, and how often, by a seed.

    lose=0.1          does what it is asked, and breaks the connection off without an answer
    twice=0.1         sends its answer twice
    late=0.1:30       does what it is asked, and answers so many seconds later
    error=0.1         answers 500, in half of the cases after it did what it was asked
    garble=0.1        does what it is asked, and answers with half a body, or a page of a proxy
    wrong=0.1         does what it is asked, and answers about another shipment
    refuse=0.1        refuses for good
    forget=60         repeats a purchase whose key it has not seen for so many seconds

Shares are of all requests, but `refuse` of all first purchases; what is left is answered as it should be.
"""

import random
import threading
from typing import Final, Literal, get_args

from msgspec import Struct

Fault = Literal["lose", "twice", "late", "error", "garble", "wrong"]
"""What may go wrong with one request."""

FAULTS: Final[tuple[Fault, ...]] = get_args(Fault)


class MalformedFaults(ValueError):
    """The text says no faults."""


class Faults(Struct, frozen=True):
    """Shares of requests by fault, the share of refusals, and times in seconds."""

    shares: dict[str, float] = {}
    refuse: float = 0.0
    late_s: float = 30.0
    forget_s: float | None = None
    names: tuple[str, ...] = FAULTS

    @classmethod
    def read(cls, text: str, *, names: tuple[str, ...] = FAULTS) -> "Faults":
        """The faults that a text says: `lose=0.1,late=0.05:30`; none for an empty one. `names` are those there are.

        Raises:
            MalformedFaults: it says something else.
        """
        shares: dict[str, float] = {}
        others: dict[str, float] = {}
        for part in filter(None, (each.strip() for each in text.split(","))):
            name, _, value = part.partition("=")
            share, _, seconds = value.partition(":")
            try:
                if name in names:
                    shares[name] = float(share)
                else:
                    others[{"refuse": "refuse", "forget": "forget_s"}[name]] = float(share)
                if seconds:
                    others[{"late": "late_s"}[name]] = float(seconds)
            except (KeyError, ValueError):
                raise MalformedFaults(f"{part!r} is no fault: see `counterfoil simulate --help`") from None
        if sum(shares.values()) > 1 or not all(0 <= share <= 1 for share in shares.values()):
            raise MalformedFaults("shares lie between 0 and 1, and so does their sum")
        return cls(shares=shares, names=names, **others)


class Chance:
    """Chooses by a seed; used by many threads."""

    def __init__(self, faults: Faults, *, seed: int) -> None:
        self.faults = faults
        self._random = random.Random(seed)
        self._lock = threading.Lock()

    def fault(self) -> str | None:
        """What goes wrong with the next request, or webhook."""
        with self._lock:
            left = self._random.random()
        for fault in self.faults.names:
            left -= self.faults.shares.get(fault, 0.0)
            if left < 0:
                return fault
        return None

    def refuses(self) -> bool:
        """Whether the next first purchase is refused."""
        return self.happens(self.faults.refuse)

    def happens(self, share: float = 0.5) -> bool:
        """Whether something of that share happens now."""
        with self._lock:
            return self._random.random() < share
