"""A log that lost its end: what else of the database still speaks of events that are gone.

A copy of the whole database is of one moment, and then nothing does. Where tables are of different moments, or the
end of the log was cut off by hand, outcomes may be left whose events are gone. Their requests would be answered as
done for ever and never be done again, so a fence removes them.

Errors:
    NotOneMoment
    ├── HeadAndEventsDiffer   the head is not at the last event
    └── RequestCutInTwo       the log ends between the events of one request
"""

from typing import Final, cast

import psycopg

Connection = psycopg.Connection[tuple[object, ...]]

_ENDS: Final = "select h.position, (select coalesce(max(e.position), 0) from log.event e) from log.head h"
_CUT_IN_TWO: Final = """
select first_position, last_position from log.outcome
where first_position <= %(head)s and last_position > %(head)s
order by first_position limit 1
"""
_BEYOND: Final = "select count(*) from log.outcome where last_position > %(head)s"
_REMOVE: Final = "delete from log.outcome where last_position > %(head)s"


class NotOneMoment(Exception):
    """The tables of the log are of different moments, and no fence can make one log of them."""


class HeadAndEventsDiffer(NotOneMoment):
    """The head is not at the last event."""

    def __init__(self, *, head: int, last: int) -> None:
        what = f"events up to {last} stand behind it" if last > head else f"the last event is {last}"
        super().__init__(
            f"nothing was fenced: the head is at {head}, {what}. Restore all tables of schema log from one copy"
        )


class RequestCutInTwo(NotOneMoment):
    """The log ends between the events of one request, which are one decision: all of them, or none."""

    def __init__(self, *, head: int, first: int, last: int) -> None:
        super().__init__(
            f"nothing was fenced: the log ends at {head}, in the middle of a request's events {first} to {last}."
            f" Restore a copy of one moment, or cut the log off at {first - 1}"
        )


def outcomes_beyond(conn: Connection) -> int:
    """How many outcomes speak of events behind the head; the whole table is read.

    Raises:
        NotOneMoment: the log has no end that could be fenced.
    """
    head = _end(conn)
    row = conn.execute(_BEYOND, {"head": head}).fetchone()
    assert row is not None, "an aggregate answers one row"
    return cast("int", row[0])


def remove_outcomes_beyond(conn: Connection) -> int:
    """Remove them, by the owner of the log and under its head lock; how many there were.

    Raises:
        NotOneMoment: as `outcomes_beyond`.
    """
    return conn.execute(_REMOVE, {"head": _end(conn)}).rowcount


def _end(conn: Connection) -> int:
    row = conn.execute(_ENDS).fetchone()
    assert row is not None, "log.head always has its one row"
    head, last = cast("tuple[int, int]", row)
    if head != last:
        raise HeadAndEventsDiffer(head=head, last=last)
    torn = conn.execute(_CUT_IN_TWO, {"head": head}).fetchone()
    if torn is not None:
        raise RequestCutInTwo(head=head, first=cast("int", torn[0]), last=cast("int", torn[1]))
    return head
