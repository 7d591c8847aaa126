"""The first position of a consumer at its registration, for process managers and declared consumers."""

from typing import Final, Literal

HEAD: Final = "head"
"""After the events that are recorded at the registration."""

ORIGIN: Final = "origin"
"""At the first event of the log, also if that was recorded before the consumer existed."""

Start = Literal["head", "origin"] | int
"""A number is the position before the first event that the consumer handles."""


def position_of(start: Start) -> int | None:
    """The position before its first event; None: the log's head at the registration."""
    if isinstance(start, int):
        return start
    return 0 if start == ORIGIN else None
