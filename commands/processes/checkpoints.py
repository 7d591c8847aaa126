"""Checkpoints of process managers: registered at a position, then a mark per partition of a generation, then the next.

A process enters a generation only when it is through with the one before it, with all rows at once, so no position
falls between two generations.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, cast

import psycopg
from msgspec import Struct

from commands.processes.process import HEAD, ORIGIN, Process
from commands.processes.progress import Mark
from event_store import generations, reading
from event_store.transport import Generation, Partition

Connection = psycopg.Connection[tuple[object, ...]]
AsyncConnection = psycopg.AsyncConnection[tuple[object, ...]]

_REGISTER: Final = """
insert into process.registration (name, registered_position)
select %(name)s, coalesce(%(position)s, h.position) from log.head h
on conflict (name) do nothing
"""
_REGISTERED: Final = "select name, registered_position from process.registration where name = any(%(names)s)"
_ENTERED: Final = """
select name, max(generation) from process.checkpoint where name = any(%(names)s) group by name
"""
_GENERATION_AT: Final = """
select coalesce(
    (select max(generation) from transport.generation where start_position <= %(position)s + 1),
    (select min(generation) from transport.generation)
)
"""
_CHECKPOINTS: Final = """
select name, partition, position, leaf from process.checkpoint
where name = any(%(names)s) and generation = %(generation)s
"""
_ENTER: Final = """
insert into process.checkpoint (name, generation, partition, position, leaf)
select %(name)s, %(generation)s, numbered, %(position)s, %(leaf)s
from generate_series(0, %(partitions)s - 1) as numbered
on conflict do nothing
"""
_HOLD: Final = """
select from process.checkpoint where name = %(name)s and generation = %(generation)s for share
"""
_REGISTERED_ALL: Final = "select name from process.registration order by name"
_CONTRADICTED: Final = """
select r.name from process.registration r
where r.registered_position > %(head)s
    or exists (select from process.parked k where k.name = r.name and k.last_position > %(head)s)
    or exists (
        select from process.checkpoint c left join log.event e on e.position = c.position
        where c.name = r.name and (c.position > %(head)s or c.leaf <> e.leaf)
    )
order by r.name
"""
_FORGET_CHECKPOINTS: Final = "delete from process.checkpoint where name = any(%(names)s)"
_FORGET_PARKED: Final = "delete from process.parked where name = any(%(names)s)"
_REGISTER_BACK: Final = """
update process.registration set registered_position = %(head)s
where name = any(%(names)s) and registered_position > %(head)s
"""
_MOVE: Final = """
update process.checkpoint c set position = m.position, leaf = m.leaf, moved_at = clock_timestamp()
from unnest(%(partitions)s::int[], %(positions)s::bigint[], %(leaves)s::bytea[])
    as m (partition, position, leaf)
where c.name = any(%(names)s) and c.generation = %(generation)s
    and c.partition = m.partition and c.position < m.position
    and exists (select from runtime.lease l where l.name = %(lease)s and l.owner = %(owner)s)
"""
_POSITIONS: Final = """
select r.name, greatest(r.registered_position, coalesce(p.position, 0)), h.position,
    (select coalesce(sum(1 + k.queued), 0)::bigint from process.parked k where k.name = r.name)
from log.head h cross join process.registration r
left join lateral (
    select min(case when c.position >= t.position then y.position else c.position end) as position
    from process.checkpoint c
    join transport.relay y on y.generation = c.generation
    join transport.relay_partition t
        on t.generation = c.generation and t.partition = c.partition
    where c.name = r.name
        and c.generation = (select max(g.generation) from process.checkpoint g where g.name = r.name)
) p on true
order by r.name
"""


class Checkpoints(Struct, frozen=True):
    """The oldest generation in which a process still has something to do, and the marks of those processes in it."""

    generation: Generation
    marks: Mapping[str, Mapping[Partition, Mark]]


class ProcessPosition(Struct, frozen=True):
    """The highest position up to which a process is through, how many events that is behind, and what is parked."""

    name: str
    position: int
    lag_events: int
    parked: int


def positions(conn: Connection) -> list[ProcessPosition]:
    """The position of every registered process, in one snapshot; a partition at its end counts as the relay's."""
    return _positions(conn.execute(_POSITIONS).fetchall())


async def positions_async(conn: AsyncConnection) -> list[ProcessPosition]:
    """The position of every registered process."""
    return _positions(await (await conn.execute(_POSITIONS)).fetchall())


def _positions(rows: Sequence[tuple[object, ...]]) -> list[ProcessPosition]:
    return [
        ProcessPosition(name, min(position, head), max(0, head - position), parked)
        for name, position, head, parked in cast("Sequence[tuple[str, int, int, int]]", rows)
    ]


def register(conn: Connection, processes: Iterable[Process]) -> None:
    """Note where processes begin, unless it is noted already: it never changes afterwards.

    Whoever is first does it, the worker that is to decide or the command API before its routes answer: no event of a
    route can be recorded before the process that waits for it is registered.
    """
    for process in processes:
        position = {HEAD: None, ORIGIN: 0}[process.start] if isinstance(process.start, str) else process.start
        conn.execute(_REGISTER, {"name": process.name, "position": position})


def entered(conn: Connection, *, names: Sequence[str]) -> Checkpoints:
    """The checkpoints of these registered processes; those without any get them where they were registered."""
    assert names, "nobody works for no process"
    with conn.transaction():
        given = {"names": list(names)}
        registered = dict(cast("list[tuple[str, int]]", conn.execute(_REGISTERED, given).fetchall()))
        generation_of = dict(cast("list[tuple[str, int]]", conn.execute(_ENTERED, given).fetchall()))
        for name in names:
            if name not in generation_of:
                generation_of[name] = _enter_first(conn, name, registered[name])
        oldest = min(generation_of.values())
        active = [name for name in names if generation_of[name] == oldest]
        return Checkpoints(
            generation=generations.generation_numbered(conn, generation=oldest),
            marks=_marks(conn, active, oldest),
        )


def enter_next(conn: Connection, before: Checkpoints, *, next_generation: Generation) -> None:
    """Begin the next generation for all processes that are through with the one before; not for those set back."""
    with conn.transaction():
        for name in before.marks:
            given = {"name": name, "generation": before.generation.generation}
            if conn.execute(_HOLD, given).rowcount:
                _enter(conn, name, next_generation, next_generation.start_position - 1)


def to_set_back(conn: Connection, *, outcomes_lost: bool) -> list[str]:
    """The processes whose checkpoint the log no longer leads to.

    Whose outcomes were lost cannot be seen from their keys, so with `outcomes_lost` these are all.
    """
    if outcomes_lost:
        rows = conn.execute(_REGISTERED_ALL).fetchall()
    else:
        rows = conn.execute(_CONTRADICTED, {"head": reading.head(conn).position}).fetchall()
    return [cast("str", name) for (name,) in rows]


def set_back(conn: Connection, names: Sequence[str]) -> None:
    """Let processes begin again where they were registered; by the owner, under the log's head lock.

    Triggers that have an outcome are answered from it, the others are decided. What was parked is met again. A worker
    in the middle of a term finds its checkpoints gone and begins anew when its generation has ended.
    """
    given = {"names": list(names), "head": reading.head(conn).position}
    for statement in (_FORGET_CHECKPOINTS, _FORGET_PARKED, _REGISTER_BACK):
        conn.execute(statement, given)


async def move(
    conn: AsyncConnection,
    checkpoints: Checkpoints,
    reached: Mapping[Partition, Mark],
    *,
    lease: str,
    owner: str,
) -> None:
    """Move the checkpoints up, if the lease is still ours; none ever goes back."""
    given = {
        "names": list(checkpoints.marks),
        "generation": checkpoints.generation.generation,
        "partitions": list(reached),
        "positions": [mark.position for mark in reached.values()],
        "leaves": [mark.leaf for mark in reached.values()],
        "lease": lease,
        "owner": owner,
    }
    await conn.execute(_MOVE, given)


def _enter_first(conn: Connection, name: str, registered: int) -> int:
    row = conn.execute(_GENERATION_AT, {"position": registered}).fetchone()
    assert row is not None, "an expression without a table gives one row"
    generation = generations.generation_numbered(conn, generation=cast("int", row[0]))
    _enter(conn, name, generation, max(registered, generation.start_position - 1))
    return generation.generation


def _enter(conn: Connection, name: str, generation: Generation, position: int) -> None:
    given = {
        "name": name,
        "generation": generation.generation,
        "position": position,
        "leaf": reading.leaf_at(conn, position) if position else None,
        "partitions": generation.partitions,
    }
    conn.execute(_ENTER, given)


def _marks(conn: Connection, names: Sequence[str], generation: int) -> dict[str, dict[Partition, Mark]]:
    marks: dict[str, dict[Partition, Mark]] = {name: {} for name in names}
    rows = conn.execute(_CHECKPOINTS, {"names": list(names), "generation": generation}).fetchall()
    for name, partition, position, leaf in cast("list[tuple[str, int, int, bytes | None]]", rows):
        marks[name][partition] = Mark(position, leaf)
    return marks
