"""How far the triggers of each partition have come: a checkpoint is the position below which all are done."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from event_store.consumers.checkpoints import Mark
from event_store.transport.transport import Partition, Record

if TYPE_CHECKING:
    from commands.processes.trigger import Trigger


class Progress:
    """All partitions of one generation."""

    def __init__(self, starts: Mapping[Partition, Mark]) -> None:
        self._delivered = dict(starts)
        self._open: dict[Partition, dict[int, tuple[Mark, set[str]]]] = {each: {} for each in starts}
        """By position, in order: the mark just before an event, and the processes whose trigger it is, not yet done."""

    def deliver(self, record: Record, triggers: "Iterable[Trigger]") -> bool:
        """Note an event and what it triggers; False when it was delivered before: it is open or done already."""
        before = self._delivered[record.partition]
        if record.position <= before.position:
            return False
        self._delivered[record.partition] = Mark(record.position, record.leaf)
        if processes := {trigger.process.name for trigger in triggers}:
            self._open[record.partition][record.position] = before, processes
        return True

    def pass_over(self, partition: Partition, position: int) -> None:
        """Note that a partition holds nothing more up to a position."""
        if position > self._delivered[partition].position:
            self._delivered[partition] = Mark(position)

    def done(self, trigger: "Trigger") -> None:
        """Note that a process is done with an event: it has its outcome, or is parked."""
        opened = self._open[trigger.record.partition]
        _, processes = opened.get(trigger.record.position, (None, set()))
        processes.discard(trigger.process.name)
        if not processes:
            opened.pop(trigger.record.position, None)

    @property
    def open(self) -> int:
        """Delivered events that some process is not done with."""
        return sum(map(len, self._open.values()))

    def reached(self) -> dict[Partition, Mark]:
        """The last mark of each partition with every trigger at or below it done."""
        return {
            source: next(iter(opened.values()))[0] if opened else self._delivered[source]
            for source, opened in self._open.items()
        }
