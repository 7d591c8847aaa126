"""The process managers that react to each type of event, for following a command to its effects."""

from collections.abc import Iterable

from commands.processes.process import Process
from commands.processes.trigger import outcome_key
from event_store.consumers.settling import CausingEvent, ReactingConsumer, ReactingConsumers


def followers(processes: Iterable[Process]) -> ReactingConsumers:
    """Process managers by the types they decide about, with the keys of their outcomes."""
    found: dict[str, list[ReactingConsumer]] = {}
    for process in processes:
        for type_name in process.reactions:
            found.setdefault(type_name, []).append(_of(process))
    return found


def _of(process: Process) -> ReactingConsumer:
    def key(event: CausingEvent) -> bytes:
        return outcome_key(process.name, epoch=event.epoch, position=event.position)

    return ReactingConsumer(process.name, key, shown=process.name)
