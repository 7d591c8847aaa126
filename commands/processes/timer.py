"""Declare a timer of a process: which event sets it, which ones clear it, and what is decided when it is due.

    UNDECIDED = Timer(FULFILMENT, "undecided", of=ORDER, after="undecided_after_s")

    @UNDECIDED.set_by(OrderPlaced)
    def from_then_on(event: OrderPlaced, recorded_at: datetime) -> datetime:
        return recorded_at

    UNDECIDED.cleared_by(OrderConfirmed, OrderRejected, OrderCancelled)

    @UNDECIDED.fires
    def reject(order: Order | None, _view: View, now: datetime) -> list[Event]: ...

The timers of a process that are set are the rows of a view, `timers_<process>`: folded from the log, rebuilt and
verified like any other. A timer belongs to the partition key of its events, which is the stream it is about, so there
is one of each name for a stream: an event that sets it again replaces it. Durations count from when an event was
recorded.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

from commands import decision
from commands.processes.process import Process
from domain.aggregate import Aggregate, category_of
from domain.event import Event
from domain.text import Stream, Word
from projections.view import DEFERRED, Key, Recorded, Row, View, Worklist
from runtime.settings import Settings

S = TypeVar("S")
E = TypeVar("E", bound=Event)

DueAt = Callable[[E, datetime], datetime | None]
"""When a timer is due that an event sets, given when the event was recorded; None: this one sets none."""

Fires = Callable[[S | None, decision.DecisionView, datetime], decision.Decision | Sequence[Event]]
"""The decision of a due timer: on the state of its stream, a view of everything else, and the time."""


class SetTimer(Row, frozen=True, kw_only=True):
    """A timer that runs: the stream it is about, the position of the event that set it, and when it is due."""

    process: Word
    name: Word
    stream: Stream
    set_at: int
    due_at: datetime


class Timer(Generic[S]):
    """One kind of timer of a process. Its name is for ever, since it is part of every outcome's key."""

    def __init__(self, process: Process, name: str, *, of: Aggregate[S], after: str | None = None) -> None:
        """`of` is what its streams are; `after` names the setting, in seconds, that is added to when it is due."""
        assert name not in process.timers, f"{process.name} has a timer {name} already"
        self.process = process
        self.name = name
        self.aggregate = of
        self.after = after
        self.decide: Fires[S] | None = None
        self.sets: dict[type[Event], DueAt[Any]] = {}
        self.clears: set[type[Event]] = set()
        process.timers[name] = self

    @property
    def consumer(self) -> str:
        """The name under which it is parked when it cannot be decided, for that stream alone."""
        return f"{self.process.name}-{self.name}"

    @property
    def view_name(self) -> str:
        """The view in which those that are set are kept."""
        return f"timers_{self.process.name.replace('-', '_')}"

    def delay(self, settings: Settings) -> timedelta:
        """The delay of the timer, from the settings."""
        return timedelta() if self.after is None else timedelta(seconds=getattr(settings, self.after))

    def __repr__(self) -> str:
        return f"Timer({self.process.name}.{self.name})"

    def set_by(self, event: type[E]) -> Callable[[DueAt[E]], DueAt[E]]:
        """Declare when the timer is due that an event of this type sets: `due(event, recorded_at)`, without a clock."""
        self._refuse_declared(event)

        def declare(due_at: DueAt[E]) -> DueAt[E]:
            self.sets[event] = due_at
            return due_at

        return declare

    def cleared_by(self, *events: type[Event]) -> None:
        """Declare after which events nothing is left to wait for, that of its own decision among them."""
        for event in events:
            self._refuse_declared(event)
            self.clears.add(event)

    def fires(self, decide: Fires[S]) -> Fires[S]:
        """Declare what is decided: on the newest state, so also when there is nothing left to decide."""
        assert self.decide is None, f"{self!r} decides already"
        self.decide = decide
        return decide

    def _refuse_declared(self, event: type[Event]) -> None:
        assert event not in self.sets, f"{self!r} is set by {event.__name__} already"
        assert event not in self.clears, f"{self!r} is cleared by {event.__name__} already"

    def part(self, recorded: Recorded) -> tuple[Key, SetTimer | None] | None:
        """The row after an event that sets or clears it, by its key; None: the event changes nothing.

        Raises:
            ValueError: the event belongs to no stream of the timer's kind.
        """
        stream = recorded.partition_key
        if category_of(stream) != self.aggregate.category:
            raise ValueError(f"{self!r} is about streams of {self.aggregate.category}, not about {stream}")
        key = (self.process.name, self.name, stream)
        due = self.sets.get(type(recorded.event))
        if due is None:
            return key, None
        due_at = due(recorded.event, recorded.recorded_at)
        if due_at is None:
            return None
        return key, SetTimer(
            process=self.process.name, name=self.name, stream=stream, set_at=recorded.position, due_at=due_at
        )


def view_of(process: Process) -> View[SetTimer]:
    """The view of a process's timers that are set; `Process.timers_shape` is raised when one of them changes."""
    by_event: dict[type[Event], list[Timer[Any]]] = {}
    for timer in process.timers.values():
        assert timer.decide is not None, f"{timer!r} decides nothing"
        for event in (*timer.sets, *timer.clears):
            by_event.setdefault(event, []).append(timer)
    view = Worklist(
        name=next(iter(process.timers.values())).view_name,
        row=SetTimer,
        key=("process", "name", "stream"),
        shape=process.timers_shape,
        kind=DEFERRED,  # those that are due are read once a second
    )
    for event, timers in by_event.items():
        view.on_recorded(event, parts=_parts(timers))
    return view


def _parts(timers: Sequence[Timer[Any]]) -> Callable[[Recorded], list[tuple[Key, SetTimer | None]]]:
    return lambda recorded: [part for timer in timers if (part := timer.part(recorded)) is not None]
