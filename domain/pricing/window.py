"""Windows of time: from a first moment up to, and without, a last one; without a last one they are open.

Unacceptable  EmptyWindow
"""

from dataclasses import dataclass
from datetime import datetime

from msgspec import Struct

from domain.moment import in_utc
from domain.rejection import Unacceptable


class Window(Struct, frozen=True):
    """When something is valid. One that ends where it begins never was."""

    begins: datetime
    ends: datetime | None = None

    def holds(self, at: datetime) -> bool:
        """Whether a moment lies in it."""
        return self.begins <= at and (self.ends is None or at < self.ends)

    def is_over(self, at: datetime) -> bool:
        """Whether it has ended by then."""
        return self.ends is not None and self.ends <= at

    def overlaps(self, other: "Window") -> bool:
        """Whether a moment lies in both."""
        begins = max(self.begins, other.begins)
        return all(window.ends is None or begins < window.ends for window in (self, other))

    def ended(self, at: datetime) -> "Window":
        """The window that ends then, and not before it begins."""
        return Window(self.begins, max(self.begins, at))


@dataclass(kw_only=True, eq=False)
class EmptyWindow(Unacceptable):
    """Nothing could be valid in it."""

    title = "The window ends before it begins"
    meaning = "What is valid for a time ends later than it begins: `valid_until` is no part of the window."
    remedy = "Correct one of the two moments, or leave `valid_until` out."

    valid_from: datetime
    valid_until: datetime

    def __str__(self) -> str:
        return f"Nothing is valid from {self.valid_from.isoformat()} until {self.valid_until.isoformat()}."


def window(*, valid_from: datetime, valid_until: datetime | None) -> Window:
    """The window between two moments.

    Raises:
        EmptyWindow: no moment lies in it.
    """
    if valid_until is not None and valid_until <= valid_from:
        raise EmptyWindow(valid_from=valid_from, valid_until=valid_until)
    return Window(in_utc(valid_from), None if valid_until is None else in_utc(valid_until))
