"""Skips: the events that a consumer was let go on without, in one stream for each consumer."""

from typing import Final

from domain.aggregate import Aggregate
from domain.event import Event
from domain.operations.events import EventSkipped

Skipped = frozenset[tuple[int | None, int]]
"""(shape, position) of each event left out; the shape is None where the consumer has none."""


def evolve(skipped: Skipped | None, event: Event) -> Skipped:
    """Return what is left out after `event`."""
    assert isinstance(event, EventSkipped), "a stream of skips holds nothing else"
    return (skipped or frozenset()) | {(event.shape, event.position)}


SKIPS: Final[Aggregate[Skipped]] = Aggregate("skips", evolve, (EventSkipped,), cached=False)
"""Not cached: an operator's command lives in a process of its own."""
