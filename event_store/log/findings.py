"""Findings of an audit, and lists of them with a limit."""

from typing import Final

from msgspec import Struct

FINDINGS_MAX: Final = 1_000
"""Findings that one report lists; of the others only their number is known."""


class Finding(Struct, frozen=True):
    """One thing that is wrong, at which position, and what it most likely is."""

    position: int
    kind: str
    message: str


class Findings:
    """Findings in the order in which they were made.

    `unlisted` counts those for which there was no room; `kinds` are those of all.
    """

    def __init__(self) -> None:
        """Nothing was found yet."""
        self.listed: list[Finding] = []
        self.unlisted = 0
        self.kinds: set[str] = set()

    def add(self, position: int, kind: str, message: str) -> None:
        """Note one more."""
        self.kinds.add(kind)
        if len(self.listed) < FINDINGS_MAX:
            self.listed.append(Finding(position, kind, message))
        else:
            self.unlisted += 1
