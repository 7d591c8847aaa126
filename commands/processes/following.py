"""The process managers that react to each type of event, for those who follow a command to what came of it."""

from collections.abc import Iterable

from commands.processes.process import Process
from commands.processes.trigger import outcome_key
from event_store.consumers.settling import Followed, Follower, Followers


def followers(processes: Iterable[Process]) -> Followers:
    """Process managers by the types they decide about, with the keys of their outcomes."""
    found: dict[str, list[Follower]] = {}
    for process in processes:
        for type_name in process.reactions:
            found.setdefault(type_name, []).append(_of(process))
    return found


def _of(process: Process) -> Follower:
    def key(event: Followed) -> bytes:
        return outcome_key(process.name, epoch=event.epoch, position=event.position)

    return Follower(process.name, key, shown=process.name)
