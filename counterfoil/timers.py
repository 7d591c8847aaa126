"""Timers that are set, for operators: when each is due, and how many are overdue."""

from datetime import timedelta
from typing import Any, Final

import msgspec
from msgspec import Struct

from commands.processes import due
from commands.processes.timer import Timer
from counterfoil.context import Contexts
from event_store.consumers import parking
from event_store.consumers.parking import Scope
from event_store.log.reading import Connection
from runtime import database
from runtime.settings import Settings

OVERDUE_AFTER: Final = timedelta(minutes=1)
"""How long a timer may be due before it is called overdue: it waits for its process, is parked, or nobody fires."""


class Overdue(Struct, frozen=True):
    """How many timers of a kind are overdue, and how many of these are parked."""

    process: str
    timer: str
    overdue: int
    parked: int


def delays(settings: Settings, contexts: Contexts) -> dict[Timer[Any], timedelta]:
    """What the settings add to when timers are due, of every kind that runs."""
    return {
        timer: timer.delay(settings)
        for process in contexts.processes_of(settings)
        for timer in process.timers.values()
    }


def listed(database_url: str, settings: Settings, contexts: Contexts) -> list[dict[str, Any]]:
    """Every timer that is set, in the order in which they are due."""
    with database.connect(database_url, role="counterfoil_reader", name="timers") as connection:
        found = [
            running
            for timer, delay in delays(settings, contexts).items()
            for running in due.listed(connection, timer, after=delay)
        ]
    found.sort(key=lambda running: (running.due_at, running.process, running.name, running.stream))
    return [msgspec.to_builtins(running) for running in found[: due.LISTED_MAX]]


def lines(found: list[dict[str, Any]]) -> list[str]:
    """The same for people."""
    return [
        f"{timer['process']:<12} {timer['name']:<12} {timer['stream']:<24} set at {timer['set_at']:,},"
        f" due {timer['due_at']}{'  DUE' if timer['is_due'] else ''}"
        for timer in found
    ]


def overdue(connection: Connection, settings: Settings, contexts: Contexts) -> list[Overdue]:
    """How many timers of each kind are overdue."""
    return [
        Overdue(
            timer.process.name,
            timer.name,
            overdue=due.overdue(connection, timer, after=delay + OVERDUE_AFTER),
            parked=len(parking.of_scope(connection, Scope(timer.consumer))),
        )
        for timer, delay in delays(settings, contexts).items()
    ]
