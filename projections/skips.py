"""Events that an operator told a view to pass over: facts in the log, read before anything is folded."""

from typing import Any

from domain.operations.events import EventSkipped
from domain.operations.skips import SKIPS
from event_store import codec, reading
from event_store.envelope import RecordedEvent
from projections.storing import Connection
from projections.view import View


def skips_stream(view: str) -> str:
    """The stream that holds a view's skips."""
    return SKIPS.stream(view)


def read(conn: Connection, view: View[Any], *, upto: int | None = None) -> frozenset[int]:
    """Positions of the events that every fold of this view, in this shape, passes over."""
    skipped: set[int] = set()
    version = 0
    while page := reading.read_stream(conn, skips_stream(view.name), after_version=version, upto=upto):
        skipped |= positions(page, view)
        version = page[-1].version
    return frozenset(skipped)


def positions(recorded: list[RecordedEvent], view: View[Any]) -> set[int]:
    """The positions that these facts of the skips stream name for a view in its shape."""
    facts = (codec.decode(event.type, event.payload) for event in recorded)
    return {
        fact.position
        for fact in facts
        if isinstance(fact, EventSkipped) and fact.view == view.name and fact.shape == view.shape
    }
