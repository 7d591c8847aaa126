"""Skips: the events that a view or a policy was let go on without, in one stream for each view or policy."""

from typing import Final

from domain.aggregate import Aggregate
from domain.event import Event
from domain.operations.events import EventSkipped, TriggerSkipped

Skipped = frozenset[tuple[int, int]]
"""(shape, position) of each event left out; a policy has no shape, so its skips are in shape 0."""

NO_SHAPE: Final = 0


def evolve(skipped: Skipped | None, event: Event) -> Skipped:
    """Return what is left out after `event`."""
    before = skipped or frozenset()
    match event:
        case EventSkipped():
            return before | {(event.shape, event.position)}
        case TriggerSkipped():
            return before | {(NO_SHAPE, event.position)}
    raise AssertionError(f"{type(event).__name__} is no skip")


SKIPS: Final[Aggregate[Skipped]] = Aggregate("skips", evolve, (EventSkipped, TriggerSkipped), cached=False)
"""Not cached: an operator's command lives in a process of its own."""
