"""A measure: a counter of events of the business, declared by the context that records them.

    ORDERS = Measure(
        name="counterfoil_orders", text="Orders by what became of them.", labels=("outcome",),
        of={OrderPlaced: lambda event: ("placed",)},
    )

Workers of keyed views count what they commit, each event once, so a view of the context has to fold it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import Struct
from prometheus_client import CollectorRegistry, Counter

from domain.event import Event


class Measure(Struct, frozen=True, kw_only=True, eq=False):
    """One counter; `of` says which events it counts, and under which values of its labels."""

    name: str
    text: str
    labels: tuple[str, ...]
    of: Mapping[type[Event], Callable[[Any], tuple[str, ...]]]


class Measures:
    """The counters of one process, which begin at zero with it."""

    def __init__(self, declared: Sequence[Measure], registry: CollectorRegistry) -> None:
        self._of: dict[type[Event], list[tuple[Counter, Callable[[Any], tuple[str, ...]]]]] = {}
        for measure in declared:
            counter = Counter(measure.name, measure.text, measure.labels, registry=registry)
            for event, labels in measure.of.items():
                self._of.setdefault(event, []).append((counter, labels))

    def count(self, event: object) -> None:
        """Count an event in each counter that is of its type."""
        for counter, labels in self._of.get(type(event), ()):  # type: ignore[arg-type]  # others are of none
            counter.labels(*labels(event)).inc()
