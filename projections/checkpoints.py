"""Checkpoints of builds, per partition: read them, and move them only from where this worker left them.

Position and revision are compared and set in the transaction that writes the rows, so two workers that both
claim one partition cannot both write: the second finds another revision and starts again.
"""

from collections.abc import Callable, Sequence
from typing import Final, cast

import msgspec
import psycopg

from event_store.transport.transport import Numbering, Partition
from projections.errors import CheckpointConflict
from projections.storing import BuildId

Connection = psycopg.Connection[tuple[object, ...]]

_READ: Final = """
select c.view, c.shape, c.build, c.partition, c.position, c.leaf, c.revision
from views.checkpoint c
join unnest(%(views)s::text[], %(shapes)s::int[], %(builds)s::int[]) as b (view, shape, build)
    using (view, shape, build)
where c.generation = %(generation)s
"""
_GENERATIONS: Final = """
select distinct generation from views.checkpoint
where view = %(view)s and shape = %(shape)s and build = %(build)s order by generation
"""
_MOVE: Final = """
update views.checkpoint c
set position = m.position, leaf = m.leaf, revision = c.revision + 1, updated_at = clock_timestamp()
from unnest(
    %(views)s::text[], %(shapes)s::int[], %(builds)s::int[], %(generations)s::int[], %(partitions)s::int[],
    %(expected)s::bigint[], %(revisions)s::bigint[], %(positions)s::bigint[], %(leaves)b::bytea[]
) as m (view, shape, build, generation, partition, expected, revision, position, leaf)
where c.view = m.view and c.shape = m.shape and c.build = m.build and c.generation = m.generation
    and c.partition = m.partition
    and c.position = m.expected and c.revision = m.revision
"""
"""The generation is one of the columns: a constant there lets the planner, before the first ANALYZE, take the
checkpoints for one row, and compare each of them with each that moves."""
_CREATE: Final = """
insert into views.checkpoint (view, shape, build, generation, partition, position, leaf)
select %(view)s, %(shape)s, %(build)s, %(generation)s, numbered, %(position)s, %(leaf)s
from generate_series(0, %(partitions)s - 1) as numbered
"""


class Cursor(msgspec.Struct, frozen=True):
    """The checkpoint of a build in one partition: position, leaf of the log there, and the row's revision."""

    position: int
    leaf: bytes | None
    revision: int


class Move(msgspec.Struct, frozen=True):
    """One checkpoint from where it was read to a position; the same position only bumps the revision."""

    build: BuildId
    source: Partition
    before: Cursor
    position: int
    leaf: bytes | None

    @property
    def after(self) -> Cursor:
        """The cursor once the move is committed."""
        return Cursor(self.position, self.leaf, self.before.revision + 1)


def read(
    conn: Connection, builds: Sequence[BuildId], *, generation: int
) -> dict[BuildId, dict[Partition, Cursor]]:
    """The cursors of these builds in a generation; builds without any have an empty dictionary."""
    found: dict[BuildId, dict[Partition, Cursor]] = {build: {} for build in builds}
    parameters = {**_columns(builds), "generation": generation}
    rows = conn.execute(_READ, parameters, binary=True).fetchall()
    for view, shape, build, partition, position, leaf, revision in cast("list[_Row]", rows):
        found[BuildId(view, shape, build)][partition] = Cursor(position, leaf, revision)
    return found


def generations(conn: Connection, build: BuildId) -> list[int]:
    """The generations in which a build has checkpoints, oldest first."""
    parameters = {"view": build.view, "shape": build.shape, "build": build.build}
    return [cast("int", row[0]) for row in conn.execute(_GENERATIONS, parameters)]


def move(conn: Connection, moves: Sequence[Move], *, generation: int) -> Callable[[], None]:
    """Move checkpoints, inside the transaction that writes their rows.

    The answer is to be called before the commit, in a pipeline after its results are there. It raises
    CheckpointConflict when at least one checkpoint was not where it was read: then nothing may be committed.
    """
    parameters = {
        **_columns([each.build for each in moves]),
        "generations": [generation] * len(moves),
        "partitions": [each.source for each in moves],
        "expected": [each.before.position for each in moves],
        "revisions": [each.before.revision for each in moves],
        "positions": [each.position for each in moves],
        "leaves": [each.leaf for each in moves],
    }
    cursor = conn.execute(_MOVE, parameters)

    def check() -> None:
        moved = cursor.rowcount
        if moved != len(moves):
            raise CheckpointConflict(
                f"{len(moves) - moved} of {len(moves)} checkpoints were moved by another"
            )

    return check


def create(
    conn: Connection,
    build: BuildId,
    *,
    numbering: Numbering,
    position: int,
    leaf: bytes | None,
) -> None:
    """Make a build's checkpoints of a generation, or of the whole log, all at one position."""
    parameters = {
        "view": build.view,
        "shape": build.shape,
        "build": build.build,
        "generation": numbering.generation,
        "partitions": numbering.partitions,
        "position": position,
        "leaf": leaf,
    }
    conn.execute(_CREATE, parameters)


_Row = tuple[str, int, int, int, int, bytes | None, int]


def _columns(builds: Sequence[BuildId]) -> dict[str, list[str] | list[int]]:
    return {
        "views": [each.view for each in builds],
        "shapes": [each.shape for each in builds],
        "builds": [each.build for each in builds],
    }
