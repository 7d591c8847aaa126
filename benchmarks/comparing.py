"""Comparison with an earlier run on the same machine: only of ratios, since they hold from one day to another."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, Literal

import msgspec
from msgspec import Struct

from benchmarks.table import Measure, Row

WORSE_MAX: Final = 0.15
"""A ratio may be worse than the baseline's by so much of it."""

RATIOS: Final[tuple[Measure, ...]] = ("ratio_to_limit", "ratio_to_peer")
LESS_IS_BETTER: Final = frozenset({"ms", "s", "MB", "cores", "times"})
"""Units of rows where less is better."""

_Named = tuple[str, str, str, str | None]


class UnfitBaseline(Exception):
    """A file that cannot be compared with."""


class Stored(Struct, frozen=True):
    """What of a stored row is compared."""

    name: str
    case: str
    disk: str
    unit: str
    machine: str
    peer_name: str | None = None
    ratio_to_limit: float | None = None
    ratio_to_peer: float | None = None

    @property
    def key(self) -> _Named:
        """What makes it the same row in another run."""
        return self.name, self.case, self.disk, self.peer_name


class Finding(Struct, frozen=True):
    """One ratio that is worse than it was, or a row that is gone."""

    row: str
    measure: Literal["limit", "peer"] | None
    was: float | None = None
    is_now: float | None = None

    def __str__(self) -> str:
        if self.measure is None or self.was is None or self.is_now is None:
            return f"{self.row}: in the baseline, and not measured now"
        change = (self.is_now / self.was - 1) * 100
        return f"{self.row}: {self.is_now:.3g} of {self.measure}, was {self.was:.3g} ({change:+.0f} %)"


def read(file: Path, *, machine: str, any_machine: bool = False) -> list[Stored]:
    """The rows that `--json` printed earlier.

    Raises:
        UnfitBaseline: it is no such file, or (unless `any_machine`) another machine printed it.
    """
    try:
        rows = [msgspec.json.decode(line, type=Stored) for line in file.read_bytes().splitlines() if line]
    except (OSError, msgspec.DecodeError) as error:
        raise UnfitBaseline(f"{file} is no output of --json: {error}") from error
    if not rows:
        raise UnfitBaseline(f"{file} has no rows")
    others = sorted({row.machine for row in rows} - {machine})
    if others and not any_machine:
        raise UnfitBaseline(
            f"{file} is of another machine: {', '.join(others)}; this one is {machine}."
            " Ratios of two machines differ; --any-machine compares them all the same"
        )
    return rows


def worse(rows: Sequence[Row], baseline: Iterable[Stored], *, asked: Iterable[str]) -> list[Finding]:
    """What is worse now than in a baseline, among the questions that were asked."""
    now = {(row.name, row.case, row.disk, row.peer_name): row for row in rows}
    wanted = set(asked)
    return [finding for stored in baseline if stored.name in wanted for finding in _compared(stored, now)]


def _compared(stored: Stored, now: Mapping[_Named, Row]) -> Iterator[Finding]:
    title = ", ".join(filter(None, (stored.name, stored.case, stored.disk, stored.peer_name)))
    row = now.get(stored.key)
    if row is None:
        yield Finding(title, None)
        return
    less = stored.unit in LESS_IS_BETTER
    for measure in RATIOS:
        was, is_now = getattr(stored, measure), getattr(row, measure)
        if was is None:
            continue
        kind: Literal["limit", "peer"] = "limit" if measure == "ratio_to_limit" else "peer"
        if is_now is None:
            yield Finding(title, None)
        elif is_now > was * (1 + WORSE_MAX) if less else is_now < was * (1 - WORSE_MAX):
            yield Finding(title, kind, was, is_now)
