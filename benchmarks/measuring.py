"""How things are measured: contestants take turns, and each one's middle round counts.

Absolute rates belong to the machine and the minute; what holds is the ratio of figures that were taken in turns.
"""

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from msgspec import Struct

ROUNDS: Final = 3
"""Rounds of which the median is taken."""


class Size(Struct, frozen=True):
    """How much is measured; the tiny size shows that everything runs, its figures mean nothing."""

    tiny: bool = False
    seconds: float = 4.0
    """Length of one round of a rate."""
    growth_events: int = 5_000_000
    """Events in the large log of `growth`."""

    @property
    def rounds(self) -> int:
        """Rounds of each contestant."""
        return 1 if self.tiny else ROUNDS

    def count(self, full: int, *, tiny: int) -> int:
        """How many of something."""
        return tiny if self.tiny else full

    def callers(self) -> Sequence[int]:
        """Numbers of concurrent callers that appends are measured with."""
        return (64,) if self.tiny else (1, 16, 64, 256)


TINY: Final = Size(tiny=True, seconds=0.2, growth_events=4_000)


def alternating(contestants: Mapping[str, Callable[[], float]], *, rounds: int) -> dict[str, float]:
    """Each contestant's median over the rounds; in every round each is asked once, one after another."""
    found: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, measure in contestants.items():
            found[name].append(measure())
    return {name: statistics.median(figures) for name, figures in found.items()}


def median_of(rounds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The median of each figure over rounds that all have the same figures."""
    return {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value below which that share of the ordered values lies; 0 when there is none."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0
