"""Who reacts to which event, for those who follow a command to what came of it."""

from collections.abc import Iterable

from commands.processes.process import Process
from commands.processes.trigger import outcome_key
from event_store.consumers.settling import Follower, Followers


def followers(processes: Iterable[Process]) -> Followers:
    """The process managers that decide about each type of event, with the keys of their outcomes."""
    found: dict[str, list[Follower]] = {}
    for process in processes:
        for type_name in process.reactions:
            found.setdefault(type_name, []).append(_of_process(process))
    return found


def _of_process(process: Process) -> Follower:
    return Follower(
        process.name, lambda epoch, position, _: outcome_key(process.name, epoch=epoch, position=position)
    )
