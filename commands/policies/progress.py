"""How far the triggers of each partition have come: a checkpoint is the position below which all have an outcome."""

from collections import deque
from collections.abc import Mapping

from msgspec import Struct

from commands.policies.trigger import Trigger
from event_store.transport import Partition


class Mark(Struct, frozen=True):
    """A position of the log and the leaf that stands there; None before the first event."""

    position: int
    leaf: bytes | None = None


class Arrival(Struct):
    """One event that is a trigger, to one policy or several, and the partition's mark just before it."""

    before: Mark
    triggers: list[Trigger]


class Portion(Struct):
    """What one partition brought: its triggers in order, and the mark at its last event."""

    source: Partition
    arrivals: list[Arrival]
    upto: Mark


class _Open(Struct):
    """A delivered event, the mark before it, and how many of its triggers have no outcome yet."""

    before: Mark
    open: int


class Progress:
    """All partitions of one generation."""

    def __init__(self, starts: Mapping[Partition, Mark]) -> None:
        self._delivered = dict(starts)
        self._in_order: dict[Partition, deque[_Open]] = {source: deque() for source in starts}
        self._by_position: dict[int, _Open] = {}

    def deliver(self, portion: Portion) -> None:
        """Note what arrived; what arrives again is open or done already."""
        delivered = self._delivered[portion.source]
        for arrival in portion.arrivals:
            if arrival.triggers[0].position <= delivered.position:
                continue
            opened = _Open(arrival.before, len(arrival.triggers))
            self._in_order[portion.source].append(opened)
            self._by_position[arrival.triggers[0].position] = opened
        if portion.upto.position > delivered.position:
            self._delivered[portion.source] = portion.upto

    def done(self, trigger: Trigger) -> None:
        """Note that a trigger has its outcome, or is parked."""
        opened = self._by_position.get(trigger.position)
        if opened is None:
            return
        opened.open -= 1
        if opened.open == 0:
            del self._by_position[trigger.position]
        in_order = self._in_order[trigger.source]
        while in_order and in_order[0].open == 0:
            in_order.popleft()

    @property
    def open(self) -> int:
        """Delivered events with triggers that have no outcome yet."""
        return len(self._by_position)

    def reached(self) -> dict[Partition, Mark]:
        """The last mark of each partition with every trigger at or below it done."""
        return {
            source: in_order[0].before if in_order else self._delivered[source]
            for source, in_order in self._in_order.items()
        }
