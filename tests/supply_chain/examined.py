"""What came of a check of the supply chain, with the exit codes that audits of the log have, too."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

IN_ORDER: Final = 0
FOUND: Final = 1
PARTLY: Final = 3
NOT_EXAMINED: Final = 4

_WORST_FIRST: Final = (FOUND, NOT_EXAMINED, PARTLY, IN_ORDER)
_WORDS: Final = {
    IN_ORDER: "in order",
    FOUND: "FOUND",
    PARTLY: "NOT EXAMINED in part",
    NOT_EXAMINED: "NOT EXAMINED",
}


@dataclass(frozen=True)
class Examined:
    """A check that has ended: its exit code, and a line for each finding or reason."""

    what: str
    code: int
    lines: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "\n".join([f"{self.what}: {_WORDS[self.code]}", *(f"  {line}" for line in self.lines)])


def code_of(ended: Iterable[Examined]) -> int:
    """The exit code of several checks: something found comes before something not examined."""
    codes = {each.code for each in ended}
    return next(code for code in _WORST_FIRST if code in codes)
