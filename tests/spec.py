"""Sentences for tests: given facts, when something is decided, then these facts or that refusal; and facts folded.

given(placed(), confirmed()).when(order.cancel, order_id=ID, reason="customer", now=NOW).then(cancelled())
given(shipped_order).when(order.cancel, …).then_refused(AlreadyShipped, order_id=ID)
assert folded(sales_daily, confirmed(), cancelled()) == {}
"""

import sys
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from domain.event import Event
from domain.rejection import Rejection
from projections.view import Key, Row, View

R = TypeVar("R", bound=Row)
Decision = Callable[..., list[Event]]


class Given:
    """The facts so far of one stream."""

    def __init__(self, facts: tuple[Event, ...]) -> None:
        self.facts = facts

    def when(self, decision: Decision, **inputs: object) -> "Outcome":
        """Decide on the state that the facts evolve to, by the `evolve` that stands beside the decision."""
        evolve = sys.modules[decision.__module__].__dict__["evolve"]
        state = None
        for fact in self.facts:
            state = evolve(state, fact)
        try:
            return Outcome(decision(state, **inputs), None)
        except Rejection as refusal:
            return Outcome([], refusal)


class Outcome:
    """What came of a decision."""

    def __init__(self, decided: list[Any], refusal: Rejection | None) -> None:
        self.decided = decided
        self.refusal = refusal

    def then(self, *facts: Event) -> None:
        """Exactly these facts were decided; without any: nothing had to be."""
        assert self.refusal is None, f"refused: {self.refusal!r}"
        assert list(facts) == self.decided

    def then_refused(self, refusal: type[Rejection], **facts: object) -> None:
        """The decision said no in this way; of its facts, those named are as given."""
        assert self.refusal is not None, f"not refused but decided: {self.decided}"
        assert type(self.refusal) is refusal
        assert facts == {name: self.refusal.facts()[name] for name in facts}


def given(*facts: Event) -> Given:
    """Begin a sentence about a decision."""
    return Given(facts)


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
