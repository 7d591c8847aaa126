"""Where a consumer begins when it is registered: process managers and declared consumers say it in the same words."""

from typing import Final, Literal

HEAD: Final = "head"
"""Behind what is recorded when it is registered."""

ORIGIN: Final = "origin"
"""At the first event of the log, also if that was recorded before the consumer existed."""

Start = Literal["head", "origin"] | int
"""A number is the position of the last event that is not its concern."""


def position_of(start: Start) -> int | None:
    """The last position that is not its concern; None: the log's head, whatever it is by then."""
    if isinstance(start, int):
        return start
    return 0 if start == ORIGIN else None
