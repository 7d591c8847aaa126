"""Checkpoints of builds, per partition: read them, and move them only from where this worker left them.

Builds that one worker feeds stand at the same position nearly always, so they share one checkpoint for each partition:
one row moves with a step, however many views there are. A build that stands elsewhere (behind, stopped, new) has its
position in a row of its own, joins the others in the step that brings it to where they are, and leaves them in the step
that does not.

Revisions are compared and set in the transaction that writes the rows, so two workers that both claim one partition
cannot both write: the second finds another revision and starts again. A worker that lets a build join or leave moves
the revision of the shared checkpoint, so a worker that moves it knows all the builds that it moves.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Final, LiteralString, cast

import msgspec
import psycopg

from event_store.transport.transport import Numbering, Partition
from projections.errors import CheckpointConflict
from projections.storing import BuildId

Connection = psycopg.Connection[tuple[object, ...]]

MOVED: Final = "counterfoil:views"
"""The channel on which a transaction that moves checkpoints says so, for readers who wait."""

_OF_BUILDS: LiteralString = """
join unnest(%(views)s::text[], %(shapes)s::int[], %(builds)s::int[]) as b (view, shape, build)
    using (view, shape, build)
"""
_READ: Final = f"""
select c.view, c.shape, c.build, c.partition, c.position, c.leaf, c.revision, c.shared
from views.checkpoint c {_OF_BUILDS}
where c.generation = %(generation)s
"""
_GENERATIONS: Final = """
select distinct generation from views.build_checkpoint
where view = %(view)s and shape = %(shape)s and build = %(build)s order by generation
"""
_MOVE: Final = """
update views.build_checkpoint c
set position = m.position, leaf = m.leaf, shared = m.shared, revision = c.revision + 1, updated_at = clock_timestamp()
from unnest(
    %(views)s::text[], %(shapes)s::int[], %(builds)s::int[], %(generations)s::int[], %(partitions)s::int[],
    %(revisions)s::bigint[], %(positions)s::bigint[], %(leaves)b::bytea[], %(shared)s::text[]
) as m (view, shape, build, generation, partition, revision, position, leaf, shared)
where c.view = m.view and c.shape = m.shape and c.build = m.build and c.generation = m.generation
    and c.partition = m.partition and c.revision = m.revision
"""
"""The generation is one of the columns: a constant there lets the planner, before the first ANALYZE, take the
checkpoints for one row, and compare each of them with each that moves."""
_MOVE_SHARED: Final = """
update views.shared_checkpoint c
set position = m.position, leaf = m.leaf, revision = c.revision + 1, updated_at = clock_timestamp()
from unnest(
    %(partitions)s::int[], %(revisions)s::bigint[], %(positions)s::bigint[], %(leaves)b::bytea[]
) as m (partition, revision, position, leaf)
where c.name = %(name)s and c.generation = %(generation)s and c.partition = m.partition and c.revision = m.revision
"""
_CREATE: Final = """
insert into views.build_checkpoint (view, shape, build, generation, partition, position, leaf)
select %(view)s, %(shape)s, %(build)s, %(generation)s, numbered, %(position)s, %(leaf)s
from generate_series(0, %(partitions)s - 1) as numbered
"""
_CREATE_SHARED: Final = f"""
insert into views.shared_checkpoint (name, generation, partition)
select distinct %(name)s, c.generation, c.partition
from views.build_checkpoint c {_OF_BUILDS}
where c.generation = %(generation)s and (c.partition = any(%(partitions)s::int[])) is not false
on conflict do nothing
"""
_CLAIM: Final = f"""
update views.shared_checkpoint set revision = revision + 1
where generation = %(generation)s and (partition = any(%(partitions)s::int[])) is not false
    and ((name = %(name)s) is not false or name in (
        select c.shared from views.build_checkpoint c {_OF_BUILDS}
    ))
returning name, partition, position, leaf, revision
"""
_LEAVE: Final = """
update views.build_checkpoint c
set position = s.position, leaf = s.leaf, shared = null, revision = c.revision + 1, updated_at = clock_timestamp()
from views.shared_checkpoint s
where c.shared = s.name and c.generation = s.generation and c.partition = s.partition
    and s.name = any(%(claimed)s) and s.generation = %(generation)s
    and (s.partition = any(%(partitions)s::int[])) is not false
    and (s.name = %(name)s) is distinct from ((c.view, c.shape, c.build) in (
        select * from unnest(%(views)s::text[], %(shapes)s::int[], %(builds)s::int[])
    ))
"""

_ANNOUNCE: Final = f'notify "{MOVED}"'


class Cursor(msgspec.Struct, frozen=True):
    """The checkpoint of a build in one partition: position, leaf of the log there, and its own row's revision.

    `shared` names the shared checkpoint of which it is the position.
    """

    position: int
    leaf: bytes | None
    revision: int
    shared: str | None = None


class Move(msgspec.Struct, frozen=True):
    """One checkpoint from where it was read to a position; the same position only bumps a revision.

    `shared` names the shared checkpoint at which the build stands afterwards; `written`: its own row is written.
    """

    build: BuildId
    source: Partition
    before: Cursor
    position: int
    leaf: bytes | None
    shared: str | None = None
    written: bool = True

    @property
    def after(self) -> Cursor:
        """The cursor once the move is committed."""
        return Cursor(self.position, self.leaf, self.before.revision + self.written, self.shared)


Ends = Mapping[Partition, tuple[int, bytes | None]]
"""Where shared checkpoints stand behind a transaction: position and leaf."""


class SharedCheckpoints:
    """The checkpoints at which the builds of one worker stand together, one for each of its partitions."""

    def __init__(self, name: str, *, generation: int) -> None:
        """`name` is common to all workers between which partitions change hands. Nothing is known before `claim`."""
        self.name = name
        self._generation = generation
        self._points: dict[Partition, Cursor] = {}
        self._builds: dict[Partition, set[BuildId]] = {}

    def claim(
        self, conn: Connection, builds: Sequence[BuildId], *, sources: Collection[Partition] | None
    ) -> None:
        """Take partitions over (None: all), inside a transaction that then reads the cursors.

        Builds other than these leave, and these leave those of other names. Workers that moved the checkpoints until
        now find another revision.
        """
        parameters = {
            **_columns(builds),
            "name": self.name,
            "generation": self._generation,
            "partitions": None if sources is None else list(sources),
        }
        conn.execute(_CREATE_SHARED, parameters)
        points = _leave(conn, parameters)
        self._points = {
            source: Cursor(position, leaf, revision, name)
            for name, source, position, leaf, revision in points
            if name == self.name
        }
        self._builds = {source: set() for source in self._points}

    def adopted(self, build: BuildId, cursors: Mapping[Partition, Cursor]) -> None:
        """Note where a build stands that was read behind `claim`.

        Raises:
            CheckpointConflict: workers of another name took it over meanwhile.
        """
        for source, cursor in cursors.items():
            if cursor.shared == self.name:
                self._builds[source].add(build)
            elif cursor.shared is not None:
                raise CheckpointConflict(f"{build} was taken over by {cursor.shared}")

    def pending(self, moves: Iterable[Move]) -> "PendingMoves":
        """Begin a transaction of these moves, all of which are then to be placed."""
        by_source: dict[Partition, list[Move]] = {}
        for move in moves:
            by_source.setdefault(move.source, []).append(move)
        ends = {}
        for source, some in by_source.items():
            if (point := self._points.get(source)) is not None:
                all_move = self._builds[source] <= {move.build for move in some}
                end = max(some, key=_position) if all_move else point
                ends[source] = (end.position, end.leaf)
        return PendingMoves(self.name, ends)

    def move(self, conn: Connection, pending: "PendingMoves") -> Callable[[], None]:
        """What the function of this name does, and the shared checkpoints that are concerned to their ends."""
        ends = pending.concerned()
        if not ends:
            return move(conn, pending.moves, generation=self._generation)
        parameters = {
            "name": self.name,
            "generation": self._generation,
            "partitions": list(ends),
            "revisions": [self._points[source].revision for source in ends],
            "positions": [position for position, _ in ends.values()],
            "leaves": [leaf for _, leaf in ends.values()],
        }
        # They come first: a worker that lost its partition waits here, then finds that it did.
        check_points = _checked(conn.execute(_MOVE_SHARED, parameters), len(ends))
        check_rows = move(conn, pending.moves, generation=self._generation)

        def check() -> None:
            check_points()
            check_rows()

        return check

    def moved(self, pending: "PendingMoves") -> None:
        """Follow a transaction that is through."""
        for source, (position, leaf) in pending.concerned().items():
            revision = self._points[source].revision + 1
            self._points[source] = Cursor(position, leaf, revision, self.name)
        for each in pending.moves:
            if each.shared is not None:
                self._builds[each.source].add(each.build)
            elif each.before.shared is not None:
                self._builds[each.source].discard(each.build)


class PendingMoves:
    """The moves of one transaction, each placed at a shared checkpoint or apart from it."""

    def __init__(self, name: str, ends: Ends) -> None:
        """`name` is that of the shared checkpoints; `ends` are where they stand behind the transaction.

        A shared checkpoint of which one build does not move ends where it stands.
        """
        self.moves: list[Move] = []
        self._name = name
        self._ends = ends

    def place(self, move: Move, *, apart: bool, noted: bool) -> Move:
        """A move, said to stand at the shared checkpoint afterwards or not.

        Args:
            move: where to.
            apart: the build is not moved any more.
            noted: more is written of the build than rows; then its own row is, too, which is gone when the build is.
        """
        shared = not apart and self._ends.get(move.source) == (move.position, move.leaf)
        written = noted or not shared or move.before.shared is None
        name = self._name if shared else None
        placed = Move(move.build, move.source, move.before, move.position, move.leaf, name, written)
        self.moves.append(placed)
        return placed

    def concerned(self) -> Ends:
        """The ends of shared checkpoints at which a build stands before or afterwards."""
        sources = {each.source for each in self.moves if each.shared or each.before.shared}
        return {source: end for source, end in self._ends.items() if source in sources}


def read(
    conn: Connection, builds: Sequence[BuildId], *, generation: int
) -> dict[BuildId, dict[Partition, Cursor]]:
    """The cursors of these builds in a generation; builds without any have an empty dictionary."""
    found: dict[BuildId, dict[Partition, Cursor]] = {build: {} for build in builds}
    parameters = {**_columns(builds), "generation": generation}
    rows = conn.execute(_READ, parameters, binary=True).fetchall()
    for view, shape, build, partition, position, leaf, revision, shared in cast("list[_Row]", rows):
        found[BuildId(view, shape, build)][partition] = Cursor(position, leaf, revision, shared)
    return found


def generations(conn: Connection, build: BuildId) -> list[int]:
    """The generations in which a build has checkpoints, oldest first."""
    parameters = {"view": build.view, "shape": build.shape, "build": build.build}
    return [cast("int", row[0]) for row in conn.execute(_GENERATIONS, parameters)]


def separate(conn: Connection, *, generation: int) -> None:
    """Let every build of a generation leave the shared checkpoints; workers that moved them find another revision."""
    with conn.transaction():
        _leave(conn, {**_columns([]), "name": None, "generation": generation, "partitions": None})


def move(conn: Connection, moves: Sequence[Move], *, generation: int) -> Callable[[], None]:
    """Write the rows of moves, inside the transaction that writes what was folded.

    The answer is to be called before the commit, in a pipeline after its results are there. It raises
    CheckpointConflict when at least one checkpoint was not where it was read: then nothing may be committed.
    """
    written = [each for each in moves if each.written]
    parameters = {
        **_columns([each.build for each in written]),
        "generations": [generation] * len(written),
        "partitions": [each.source for each in written],
        "revisions": [each.before.revision for each in written],
        "positions": [each.position for each in written],
        "leaves": [each.leaf for each in written],
        "shared": [each.shared for each in written],
    }
    if not written:
        return lambda: None
    return _checked(conn.execute(_MOVE, parameters), len(written))


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


def announce(conn: Connection) -> None:
    """Let those who wait for a view hear that views moved, once the transaction is through."""
    # Unlike an append, the transaction waits for no flush, so it has the lock of a NOTIFY for a moment only.
    conn.execute(_ANNOUNCE)


_Row = tuple[str, int, int, int, int, bytes | None, int, str | None]
_Point = tuple[str, int, int, bytes | None, int]

_position = attrgetter("position")


def _leave(conn: Connection, parameters: Mapping[str, object]) -> "list[_Point]":
    """Claim shared checkpoints, and let builds leave them; those that were claimed."""
    # Two statements: the second sees who joined before the first had the rows for itself.
    points = cast("list[_Point]", conn.execute(_CLAIM, parameters, binary=True).fetchall())
    conn.execute(_LEAVE, {**parameters, "claimed": list({name for name, *_ in points})})
    return points


def _checked(cursor: psycopg.Cursor[tuple[object, ...]], expected: int) -> Callable[[], None]:
    def check() -> None:
        if cursor.rowcount != expected:
            raise CheckpointConflict(
                f"{expected - cursor.rowcount} of {expected} checkpoints were moved by another"
            )

    return check


def _columns(builds: Sequence[BuildId]) -> dict[str, list[str] | list[int]]:
    return {
        "views": [each.view for each in builds],
        "shapes": [each.shape for each in builds],
        "builds": [each.build for each in builds],
    }
