"""Process managers: "when this event, read these streams, decide", as pure functions without I/O.

A process names the streams that a decision reads before it decides, so that the runner can load those of many triggers
at once and carry the exact version of every one of them in the append. Those that only their states name are loaded
after them.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec import Struct

from commands.decision import Decision, DecisionView
from domain import event as domain_event
from domain.aggregate import Aggregate
from domain.event import Event
from event_store.consumers.starting import Start

if TYPE_CHECKING:
    from commands.processes.timer import Timer

E = TypeVar("E", bound=Event)
D = TypeVar("D", bound=Callable[..., Decision])

Streams = Iterable[tuple[Aggregate[Any], str]]
"""Streams by aggregate and id."""


class Rejected(Decision, frozen=True):
    """A decision against what the trigger asks for, or that nothing is left to do.

    It is final only when every state it was reached on was loaded after the trigger arrived, with no append of this
    worker in flight on it.
    """


class EventHandler(Struct, frozen=True):
    """A process's reaction to one type of event: the streams that it reads, first and then, and the decision."""

    name: str
    reads: Callable[[Any], Streams]
    decide: Callable[[Any, DecisionView, datetime], Decision]
    then_reads: Callable[[Any, DecisionView], Streams] | None = None


class Process:
    """A process manager. Its name is for ever, since it is part of every outcome's key.

    `writes` are the aggregates whose streams it appends to: processes that have one in common share a lease.
    `gateway` names the one without which it has nothing to ask: it runs, and is registered, only where that one is
    configured. `timers_shape` is the shape of the view of its timers.
    """

    def __init__(
        self,
        name: str,
        *,
        writes: tuple[Aggregate[Any], ...],
        start: Start,
        gateway: str | None = None,
        timers_shape: int = 1,
    ) -> None:
        assert writes, "a process that appends nothing decides nothing"
        self.name = name
        self.start = start
        self.gateway = gateway
        self.categories = frozenset(aggregate.category for aggregate in writes)
        self.reactions: dict[str, EventHandler] = {}
        """By the name of the event's type, of all its versions."""
        self.timers: dict[str, Timer[Any]] = {}
        """By name; each is declared by `Timer`."""
        self.timers_shape = timers_shape

    def when(
        self,
        trigger: type[E],
        *,
        reads: Callable[[E], Streams],
        then_reads: Callable[[E, DecisionView], Streams] | None = None,
    ) -> Callable[[D], D]:
        """Declare what is decided when an event of this type was recorded: `decide(event, view, now)`.

        `then_reads` names the streams that follow from the states of those that `reads` names, where the event does
        not say them. They are loaded after those.
        """

        def declare(decide: D) -> D:
            reaction = EventHandler(decide.__name__, reads, decide, then_reads)
            for name in domain_event.type_names_of(trigger):
                assert name not in self.reactions, f"{self.name} reacts to {name} already"
                self.reactions[name] = reaction
            return decide

        return declare


class LeaseGroup(Struct, frozen=True):
    """Processes that write the same streams, directly or through one another: one worker decides for all of them."""

    processes: tuple[Process, ...]

    @property
    def name(self) -> str:
        """The categories they write: a process that joins in a later release meets the lease of the earlier one."""
        return "-".join(sorted(set().union(*(process.categories for process in self.processes))))

    @property
    def lease(self) -> str:
        """The row in which its active worker stands."""
        return f"processes:{self.name}"


def lease_groups(processes: Sequence[Process]) -> list[LeaseGroup]:
    """The processes by what they write; groups have no category in common, so they run in parallel."""
    groups: list[tuple[Process, ...]] = []
    for process in processes:
        apart: list[tuple[Process, ...]] = []
        joined: tuple[Process, ...] = (process,)
        for group in groups:
            if any(process.categories & other.categories for other in group):
                joined = (*group, *joined)
            else:
                apart.append(group)
        groups = [*apart, joined]
    return [LeaseGroup(group) for group in groups]
