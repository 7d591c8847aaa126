"""Decisions, and the view that a decision reads.

A decision is a pure function of the state of the stream it addresses and of a `DecisionView` of everything else. It may
be called several times for one command. It answers with events of its own stream, or with a `Decision` where events of
other streams or conditions belong to it. Whatever it read in the view is named in the append, so the log refuses a
decision that was reached on what is no longer so.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Generic, TypeVar

from msgspec import Struct

from domain import event as domain_event
from domain.aggregate import Aggregate
from domain.event import Event
from domain.rejection import Rejection
from event_store.log.envelope import TAGS_PER_CONDITION_MAX, Condition

S = TypeVar("S")
T = TypeVar("T")

Appended = tuple[Aggregate[Any], str, Event]
"""An event with the stream that it is appended to: the aggregate and the id."""


class StreamState(Struct, Generic[S], frozen=True):
    """The state of a stream at a version, position and partition key of its last event. Version 0: there is none."""

    state: S | None
    version: int
    position: int
    key: str


ABSENT: Final[StreamState[Any]] = StreamState(state=None, version=0, position=0, key="")


class Stated(Struct, frozen=True):
    """A condition that must hold when the decision is appended, and the refusal of the command if it does not."""

    condition: Condition
    refusal: Rejection


class Decision(Struct, frozen=True):
    """The events to append, in order and of as many streams as needed, and the conditions they are appended under."""

    events: tuple[Appended, ...] = ()
    conditions: tuple[Stated, ...] = ()


def events_of(aggregate: Aggregate[Any], identifier: str, events: Iterable[Event]) -> tuple[Appended, ...]:
    """The part of a decision for one stream."""
    return tuple((aggregate, identifier, event) for event in events)


class Tagged(Struct, Generic[T], frozen=True, eq=False):
    """A fold over the events of some types that carry given tags, declared next to the decision that needs it."""

    types: tuple[type[Event], ...]
    initial: T
    fold: Callable[[T, Any], T]

    @property
    def type_names(self) -> tuple[str, ...]:
        """The names of the types, of all their versions."""
        return tuple(name for each in self.types for name in domain_event.type_names_of(each))


TagQuery = tuple[Tagged[Any], tuple[str, ...]]
"""A reading by tag: the fold, and the tags that an event must carry, all of them."""


class Selection(Struct, frozen=True):
    """The result of a reading by tag: the folded value, and the position up to which the log was read."""

    value: Any
    upto: int


class NotLoaded(Exception):
    """A decision read a state that the view does not hold; it is to be loaded, and decided again."""

    def __init__(self, streams: Mapping[str, Aggregate[Any]], questions: Iterable[TagQuery]) -> None:
        self.streams = streams
        self.questions = tuple(questions)
        super().__init__(*streams, *(tag for _, tags in self.questions for tag in tags))


class DecisionView:
    """The states that a decision may read, and a record of those that it read.

    Looking at what is not there raises `NotLoaded`, which is no business of the decision. What was named before by
    `prefetch` and `prefetch_tagged` is then loaded too, all in one round trip.
    """

    def __init__(
        self,
        held: Callable[[str], StreamState[Any] | None],
        answered: Callable[[TagQuery], Selection | None] = lambda _: None,
    ) -> None:
        """`held` says the same of a stream each time, as long as the view is in use."""
        self._held = held
        self._answered = answered
        self.relied_on: dict[str, StreamState[Any]] = {}
        """Those whose version the append names, in the order in which they were read."""
        self.conditions: dict[Condition, None] = {}
        """Conditions of the append that follow from readings by tag."""
        self._prefetched: list[tuple[Aggregate[Any], Sequence[str]]] = []
        self._questions: dict[TagQuery, None] = {}

    def prefetch(self, aggregate: Aggregate[Any], identifiers: Sequence[str]) -> None:
        """Load these streams together with the first missing one; reading them decides which the append names."""
        # Most often none is missing: then nothing is done here.
        self._prefetched.append((aggregate, identifiers))

    def prefetch_tagged(self, select: Tagged[Any], *tags: str) -> None:
        """Load this reading by tag together with the first missing one."""
        if self._answered((select, tags)) is None:
            self._questions[select, tags] = None

    def known(self, aggregate: Aggregate[S], identifier: str) -> S | None:
        """The state as last seen, for facts that never change; None only if the log has no such stream."""
        stream = aggregate.stream(identifier)
        folded = self._held(stream)
        if folded is None:
            raise self._missing(aggregate, stream)
        state: S | None = folded.state
        return state

    def current(self, aggregate: Aggregate[S], identifier: str) -> S | None:
        """The newest state: the append fails if the stream has another version then."""
        return self.rely_on(aggregate, aggregate.stream(identifier)).state

    def rely_on(self, aggregate: Aggregate[S], stream: str) -> StreamState[S]:
        """The newest state with its version, by the stream's name."""
        folded = self.relied_on.get(stream)
        if folded is None:
            folded = self._held(stream)
            if folded is None:
                raise self._missing(aggregate, stream)
            self.relied_on[stream] = folded
        return folded

    def tagged(self, select: Tagged[T], *tags: str) -> T:
        """The fold over all events that carry these tags: the append fails if there is a newer one then.

        Name the tag that fewest events carry first: the others are looked up for each event that carries it.
        """
        assert 1 <= len(set(tags)) == len(tags) <= TAGS_PER_CONDITION_MAX, "one to four different tags"
        question = (select, tags)
        found = self._answered(question)
        if found is None:
            raise NotLoaded(self._missing_streams(), {**self._questions, question: None})
        self.conditions[Condition(tags, select.type_names, found.upto)] = None
        value: T = found.value
        return value

    def _missing(self, aggregate: Aggregate[Any], stream: str) -> NotLoaded:
        return NotLoaded({**self._missing_streams(), stream: aggregate}, self._questions)

    def _missing_streams(self) -> dict[str, Aggregate[Any]]:
        return {
            stream: aggregate
            for aggregate, identifiers in self._prefetched
            for stream in map(aggregate.stream, identifiers)
            if self._held(stream) is None
        }
