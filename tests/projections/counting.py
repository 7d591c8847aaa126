"""Views made to fail on demand, over an event of their own."""

from typing import Any

from domain.event import Event, event_type
from projections.view import GLOBAL, CachedDocument, Key, Row, View

DOCUMENT_TTL_S = 86_400
POISON = -1


@event_type("counting.counted.v1")
class Counted(Event, frozen=True):
    counter: str
    number: int


class Counter(Row, frozen=True):
    counter: str
    count: int
    total: int
    numbers: tuple[int, ...]


class Total(Row, frozen=True):
    name: str
    count: int
    total: int


class Faults:
    """What the folds shall fail on; emptied when the bug is fixed."""

    def __init__(self) -> None:
        self.numbers = {POISON}

    def check(self, number: int) -> None:
        if number in self.numbers:
            raise RuntimeError(f"the fold cannot take {number}")


def counting_views(faults: Faults) -> tuple[View[Any], View[Any]]:
    """A keyed document view and a global one, whose folds fail on the numbers in `faults`."""
    counters = View(
        name="counters",
        row=Counter,
        key=("counter",),
        shape=1,
        document=CachedDocument("counting:counter", ttl_s=DOCUMENT_TTL_S),
        category="counter",
    )
    totals = View(name="totals", row=Total, key=("name",), shape=1, kind=GLOBAL)

    @counters.on(Counted)
    def counted(row: Counter | None, event: Counted) -> Counter | None:
        faults.check(event.number)
        row = row or Counter(event.counter, 0, 0, ())
        return Counter(event.counter, row.count + 1, row.total + event.number, (*row.numbers, event.number))

    def everything(_: Counted) -> list[Key]:
        return [("all",)]

    @totals.on(Counted, keys=everything)
    def added(row: Total | None, event: Counted) -> Total | None:
        faults.check(event.number)
        row = row or Total("all", 0, 0)
        return Total("all", row.count + 1, row.total + event.number)

    return counters, totals


def counts(*pairs: tuple[str, int]) -> list[tuple[str, Event]]:
    """Events ready to be appended, from (counter, number)."""
    return [(f"counter-{counter}", Counted(counter, number)) for counter, number in pairs]
