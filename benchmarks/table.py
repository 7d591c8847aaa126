"""What a benchmark answers, row by row, and how it is shown: for a terminal, as JSON, as a page."""

from collections.abc import Iterable, Sequence
from typing import Final, Literal

import msgspec
from msgspec import Struct

Measure = Literal["ours", "ratio_to_limit", "ratio_to_peer"]

OWN_DISK: Final = "as it is"
SLOW_DISK: Final = "1 ms a flush"

_HEADINGS: Final = ("name", "case", "disk", "ours", "limit", "ratio", "peer", "ratio", "wanted", "reached")


class Goal(Struct, frozen=True):
    """What a figure has to be: at least, or for times and memory at most."""

    measure: Measure
    at_least: float | None = None
    at_most: float | None = None

    def holds(self, row: "Row") -> bool:
        """Whether a row reaches it; a figure that is absent does not."""
        figure = getattr(row, self.measure)
        if figure is None:
            return False
        return (self.at_least is None or figure >= self.at_least) and (
            self.at_most is None or figure <= self.at_most
        )

    def __str__(self) -> str:
        sign, bound = ("≥", self.at_least) if self.at_least is not None else ("≤", self.at_most)
        assert bound is not None
        match self.measure:
            case "ours":
                return f"{sign} {_figure(bound)}"
            case "ratio_to_limit":
                return f"{sign} {_ratio(bound)} of limit"
            case "ratio_to_peer":
                return f"{sign} {_ratio(bound)} of peer"


class Row(Struct, frozen=True, kw_only=True):
    """One line of the table. A limit or peer that could not be had is None, and its name says why."""

    name: str
    case: str
    unit: str
    ours: float
    limit: float | None = None
    limit_name: str | None = None
    peer: float | None = None
    peer_name: str | None = None
    disk: str = OWN_DISK
    goals: tuple[Goal, ...] = ()
    note: str = ""

    @property
    def ratio_to_limit(self) -> float | None:
        """Ours over the limit."""
        return self.ours / self.limit if self.limit else None

    @property
    def ratio_to_peer(self) -> float | None:
        """Ours over the peer's."""
        return self.ours / self.peer if self.peer else None

    @property
    def reached(self) -> bool | None:
        """Whether every goal holds, None where there is none."""
        return all(goal.holds(self) for goal in self.goals) if self.goals else None


def as_json(row: Row, *, machine: str) -> str:
    """One row as one JSON object on one line, with the machine on which it was measured."""
    return msgspec.json.encode(
        {
            "name": row.name,
            "case": row.case,
            "disk": row.disk,
            "unit": row.unit,
            "ours": _rounded(row.ours),
            "limit": _rounded(row.limit),
            "limit_name": row.limit_name,
            "ratio_to_limit": _rounded(row.ratio_to_limit),
            "peer": _rounded(row.peer),
            "peer_name": row.peer_name,
            "ratio_to_peer": _rounded(row.ratio_to_peer),
            "wanted": [str(goal) for goal in row.goals],
            "reached": row.reached,
            "note": row.note,
            "machine": machine,
        }
    ).decode()


def as_text(rows: Sequence[Row]) -> str:
    """The table for a terminal."""
    lines = [_HEADINGS, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEADINGS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def as_markdown(rows: Iterable[Row]) -> str:
    """The table for a page, notes below it."""
    rows = list(rows)
    lines = [_HEADINGS, ("---",) * len(_HEADINGS), *(_cells(row) for row in rows)]
    shown = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    notes = "\n".join(f"- {row.name}, {row.case}: {row.note}" for row in rows if row.note)
    return f"{shown}\n\n{notes}\n" if notes else f"{shown}\n"


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.name,
        row.case,
        row.disk,
        f"{_figure(row.ours)} {row.unit}",
        _named(row.limit, row.limit_name),
        _ratio(row.ratio_to_limit),
        _named(row.peer, row.peer_name),
        _ratio(row.ratio_to_peer),
        ", ".join(map(str, row.goals)) or "-",
        {True: "yes", False: "no", None: "-"}[row.reached],
    )


def _named(figure: float | None, name: str | None) -> str:
    if figure is None:
        return name or "-"
    return f"{_figure(figure)} ({name})"


def _figure(figure: float) -> str:
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.3g}"


def _ratio(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.3g}"


def _rounded(figure: float | None) -> float | None:
    return None if figure is None else float(f"{figure:.4g}")
