"""An aggregate: a kind of stream, declared once, beside the fold that says how its state follows from its events."""

from collections.abc import Callable
from typing import Generic, TypeVar

from msgspec import Struct

from domain.event import Event

S = TypeVar("S")

SEPARATOR = "-"
"""Between the category and the id in the name of a stream; no category contains it."""


class Aggregate(Struct, Generic[S], frozen=True, eq=False):
    """A kind of stream: its category and its fold, from which all who load, decide, replay or address it derive.

    `events` are those that its streams record, in their newest shapes. `cached` says whether a command process keeps
    folded states between commands: not where another process writes the same streams all the time, so that the next
    command would find them out of date.
    """

    category: str
    evolve: Callable[[S | None, Event], S]
    events: tuple[type[Event], ...] = ()
    cached: bool = True

    def stream(self, identifier: str) -> str:
        """The stream of one of its kind."""
        return f"{self.category}{SEPARATOR}{identifier}"


def category_of(stream: str) -> str:
    """The category of a stream: its name up to the first separator."""
    return stream.partition(SEPARATOR)[0]
