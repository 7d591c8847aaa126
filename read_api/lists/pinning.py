"""Pages of a list as of one position, whatever was written since.

Rows that have not changed since are read as they are; those that have are folded back: their keys are those of the
events since, and their rows are folded from the log up to the position. Both come from one snapshot, so every page is
exact. It is paid for by who asks, so how much may have changed is limited; a list that was pinned too long ago says so.

Rows of a global view gather many keys and cannot be folded back. Where the key alone decides which rows a page has, a
page of rows that have not changed since is the page of then; any other is refused.
"""

from typing import Any, Final

import msgspec
import psycopg
from msgspec import Struct

from event_store.consumers import parking
from read_api import checkpoints, freshness
from read_api.audit import changed
from read_api.checkpoints import Checkpoints, CheckpointSnapshot, LiveBuild, covered
from read_api.lists import statements
from read_api.lists.declaring import ListOf
from read_api.lists.requests import Page, Pin
from read_api.reading import tables
from read_api.reading.resource import RowDict
from read_api.reading.tables import Table
from read_api.reads import live
from runtime.problems import ProblemError

_SNAPSHOT: Final = "set transaction isolation level repeatable read, read only"

_encode = msgspec.json.Encoder().encode

Connection = psycopg.Connection[Any]


class Pinned(Struct, frozen=True):
    """The rows of one page, one more if there is another page, and what they are of."""

    snapshot: CheckpointSnapshot
    pin: Pin
    rows: list[RowDict]


def folded_back(connection: Connection, listed: ListOf, asked: Page) -> Pinned:
    """One page, its rows folded back where they have changed.

    Raises:
        ProblemError: `position-lost`, `stale-read`, `pin-expired`.
        BuildGone, ViewUnavailable: the view cannot be read now.
    """
    with connection.transaction():
        connection.execute(_SNAPSHOT)
        row = connection.execute(checkpoints.SNAPSHOT, {"parked_max": parking.KEYS_SHOWN_MAX}).fetchone()
        assert row is not None, "log.head always has its one row"
        snapshot = checkpoints.read_snapshot(str(row[0]), seen_at=0.0)
        build = live(snapshot, listed.view.name)
        pin = pin_of(asked, build, snapshot)
        if build.id.shape != listed.view.shape:
            raise ProblemError(
                "pin-expired", "The rows have another shape now; begin again without a cursor."
            )
        before = changed.since(connection, listed.view, pin.position, head=snapshot.position)
        table = tables.described(build.id, connection.execute(tables.COLUMNS, [tables.name_of(build.id)]))
        return Pinned(snapshot, pin, _rows(connection, table, listed, asked, before))


def _rows(
    connection: Connection, table: Table, listed: ListOf, asked: Page, before: changed.EarlierRows
) -> list[RowDict]:
    question = asked.question
    statement = statements.select_folded_back(
        table,
        question.filters(listed),
        question.sort,
        key=listed.view.key[0],
        falling=question.falling,
        after=asked.after is not None,
    )
    given = {
        **question.values,
        **(statements.place(statements.AFTER, question.sort, asked.after) if asked.after else {}),
        "changed": list(before.ids),
        "rows": _encode(before.rows).decode(),
        "limit": asked.limit + 1,
    }
    with connection.cursor(binary=True) as cursor:
        found = cursor.execute(statement, given, prepare=False)
        return [table.row(list(values)) for values in found]


def pin_of(asked: Page, build: LiveBuild, snapshot: CheckpointSnapshot) -> Pin:
    """The pin of the pages before, or a new one at the highest position of which the view has everything.

    Raises:
        ProblemError: `position-lost`, or `stale-read`: another build answers now, which is not that far yet.
    """
    reached = covered(build.checkpoints, snapshot.published.get(build.checkpoints.generation))
    pin = asked.pin
    if pin is None:
        return Pin(snapshot.epoch, reached)
    freshness.refuse_lost(snapshot, epoch=pin.epoch, position=pin.position)
    if reached < pin.position:
        raise ProblemError("stale-read", f"Position {pin.position} is not in the view yet.")
    return pin


def checkpoints_of(pinned: Pinned) -> Checkpoints:
    """How far the rows stand: everything up to the pin, and nothing of what came later."""
    generation = max(pinned.snapshot.partitions)
    at_pin = dict.fromkeys(range(pinned.snapshot.partitions[generation]), pinned.pin.position)
    return Checkpoints(pinned.snapshot.epoch, generation, at_pin)
