"""Sentences for tests: given events, when something is decided, then these events or that refusal; and events folded.

given(placed(), confirmed()).when(order.cancel, order_id=ID, reason="customer", now=NOW).then(cancelled())
given(shipped_order).when(order.cancel, …).then_refused(AlreadyShipped, order_id=ID)
given_streams((STOCK, "85123A", received())).when(RESTOCK, credited(), now=NOW).then((STOCK, "85123A", returned()))
assert folded(sales_daily, confirmed(), cancelled()) == {}

Nothing here needs a server, and nothing reads a clock.
"""

import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, TypeVar

from commands.decision import ABSENT, Appended, Decision, DecisionView, Selection, StreamState, TagQuery
from commands.processes.process import Process, Rejected
from domain.aggregate import Aggregate
from domain.event import Event, tags_of, type_name
from domain.rejection import Rejection
from projections.view import Key, Row, View

R = TypeVar("R", bound=Row)
Decide = Callable[..., Sequence[Event] | Decision]
"""A decision: the state of a stream and whatever else it takes by name."""


class Given:
    """The events so far of one stream."""

    def __init__(self, events: tuple[Event, ...]) -> None:
        self._events = events

    def when(self, decision: Decide, **inputs: object) -> "DecisionResult":
        """Decide on the state that the events evolve to, by the `evolve` that stands next to the decision."""
        evolve = vars(sys.modules[decision.__module__]).get("evolve")
        assert evolve is not None, f"no function `evolve` stands next to {decision.__qualname__}"
        state = None
        for event in self._events:
            state = evolve(state, event)
        try:
            decided = decision(state, **inputs)
        except Rejection as refusal:
            return DecisionResult([], refusal)
        if isinstance(decided, Decision):
            return DecisionResult([event for _, _, event in decided.events], None)
        return DecisionResult(list(decided), None)


class DecisionResult:
    """What came of a decision."""

    def __init__(self, decided: list[Event], refusal: Rejection | None) -> None:
        self.decided = decided
        self.refusal = refusal

    def then(self, *events: Event) -> None:
        """Exactly these events were decided; without any: nothing had to be."""
        assert self.refusal is None, f"refused: {self.refusal!r}"
        assert list(events) == self.decided, f"decided: {self.decided}"

    def then_refused(self, refusal: type[Rejection], **facts: object) -> None:
        """The decision said no in this way; of its facts, those named are as given."""
        assert self.refusal is not None, f"not refused but decided: {self.decided}"
        assert type(self.refusal) is refusal, f"refused otherwise: {self.refusal!r}"
        assert facts == {name: self.refusal.facts()[name] for name in facts}


class GivenStreams:
    """The events so far of several streams, as a process manager or a decision with a view meets them."""

    def __init__(self, appended: tuple[Appended, ...]) -> None:
        self._appended = appended
        self._states: dict[str, StreamState[Any]] = {}
        for position, (aggregate, identifier, event) in enumerate(appended, start=1):
            stream = aggregate.stream(identifier)
            before = self._states.get(stream, ABSENT)
            state = aggregate.evolve(before.state, event)
            self._states[stream] = StreamState(state, before.version + 1, position, key=stream)

    @property
    def view(self) -> DecisionView:
        """What a decision may read now: these streams, and no other has any event."""
        return DecisionView(lambda stream: self._states.get(stream, ABSENT), self._answered)

    def when(self, process: Process, trigger: Event, *, now: datetime) -> "Reacted":
        """Let a process decide about a trigger; it reads no stream that `reads` or `then_reads` does not name."""
        reaction = process.reactions[type_name(trigger)]
        view = self.view
        then = () if reaction.then_reads is None else reaction.then_reads(trigger, view)
        named = {aggregate.stream(identifier) for aggregate, identifier in (*reaction.reads(trigger), *then)}
        decision = reaction.decide(trigger, view, now)
        unnamed = sorted(set(view.relied_on) - named)
        assert not unnamed, f"{reaction.name} reads {', '.join(unnamed)}, which its `reads` does not name"
        return Reacted(decision)

    def _answered(self, question: TagQuery) -> Selection:
        select, tags = question
        value = select.initial
        for _, _, event in self._appended:
            if isinstance(event, select.types) and set(tags) <= set(tags_of(event)):
                value = select.fold(value, event)
        return Selection(value, len(self._appended))


class Reacted:
    """What a process manager decided about its trigger."""

    def __init__(self, decision: Decision) -> None:
        self.decision = decision

    def then(self, *appended: Appended) -> None:
        """Exactly these events of these streams are appended; without any: nothing has to be."""
        assert not isinstance(self.decision, Rejected), f"rejected: {self.decision}"
        assert appended == self.decision.events, f"decided: {self.decision.events}"

    def then_rejected(self, *appended: Appended) -> None:
        """It decided against what the trigger asks for, by these events."""
        assert isinstance(self.decision, Rejected), f"not rejected but decided: {self.decision.events}"
        assert appended == self.decision.events, f"decided: {self.decision.events}"


def given(*events: Event) -> Given:
    """Begin a sentence about a decision on one stream."""
    return Given(events)


def given_streams(*appended: Appended) -> GivenStreams:
    """Begin a sentence about a process manager, or have the view of a decision: (aggregate, id, event), in order."""
    return GivenStreams(appended)


def state_of(aggregate: Aggregate[Any], *events: Event) -> Any:
    """What the events of a stream evolve to."""
    state = None
    for event in events:
        state = aggregate.evolve(state, event)
    return state


def folded(view: View[R], *events: Event) -> dict[Key, R]:
    """The rows of a view after these events, by key."""
    rows: dict[Key, R] = {}
    fold_into(rows, view=view, events=events)
    return rows


def fold_into(rows: dict[Key, R], *, view: View[R], events: Iterable[Event]) -> None:
    """Let events of any kind change the rows; those that the view does not know change nothing."""
    for event in events:
        fold = view.folds.get(type(event))
        if fold is None:
            continue
        for key, part in fold.spread(event):
            row: Any = fold.apply(rows.get(key), event, part)
            if row is None:
                rows.pop(key, None)
            else:
                rows[key] = row
