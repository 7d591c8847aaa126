"""An aggregate: a kind of stream, declared once, next to the fold that says how its state follows from its events."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar, get_type_hints

from msgspec import Struct

from domain.event import Event, partition_of

S = TypeVar("S")

SEPARATOR = "-"
"""Between the category and the id in the name of a stream; no category contains it."""


class Aggregate(Struct, Generic[S], frozen=True, eq=False):
    """A kind of stream: its category and its fold, from which all who load, decide, replay or address it derive.

    `events` are those that its streams record, in their newest shapes. `cached` says whether a command process keeps
    folded states between commands: not where another process writes the same streams all the time, so that the next
    command would find them out of date. `snapshot_every` is for streams that grow so long that folding them from their
    first event takes too long: so many events apart, a state is kept next to the log.
    """

    category: str
    evolve: Callable[[S | None, Event], S]
    events: tuple[type[Event], ...] = ()
    cached: bool = True
    snapshot_every: int | None = None

    def __post_init__(self) -> None:
        """Refuse events that would lie in different partitions: a stream's own order would be lost on the way.

        Raises:
            ValueError: not all of them declare the same partition key, or the type of what snapshots hold is not said.
        """
        if self.snapshot_every is not None and self.state_type is None:
            raise ValueError(f"the fold of {self.category!r} does not say what it returns")
        if len({partition_of(event) for event in self.events}) > 1:
            raise ValueError(f"the events of {self.category!r} do not declare the same partition key")

    @property
    def state_type(self) -> Any:
        """The type of its state, as the fold declares it; None: it does not."""
        return get_type_hints(self.evolve).get("return")

    def stream(self, identifier: str) -> str:
        """The stream of one of its kind."""
        return f"{self.category}{SEPARATOR}{identifier}"


def category_of(stream: str) -> str:
    """The category of a stream: its name up to the first separator."""
    return stream.partition(SEPARATOR)[0]
