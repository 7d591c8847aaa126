"""Checkpoints of process managers: registered at a position, then a mark per partition of a generation, then the next.

A process enters a generation only when it is through with the one before it, with all rows at once, so no position
falls between two generations.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, cast

import psycopg
from msgspec import Struct

from commands.processes.process import Process
from event_store.consumers import parking, starting
from event_store.consumers.checkpoints import Mark
from event_store.consumers.parking import Active, Scope
from event_store.log import reading
from event_store.transport import generations
from event_store.transport.transport import WHOLE_LOG, Generation, Partition

Connection = psycopg.Connection[tuple[object, ...]]

_REGISTER: Final = """
insert into consumers.registration (consumer, registered_position)
select %(name)s, coalesce(%(position)s, h.position) from log.head h
on conflict (consumer) do nothing
"""
_REGISTERED: Final = """
select consumer, registered_position from consumers.registration where consumer = any(%(names)s)
"""
_ENTERED: Final = """
select consumer, max(generation) from consumers.checkpoint where consumer = any(%(names)s) group by consumer
"""
_GENERATION_AT: Final = """
select coalesce(
    (select max(generation) from transport.generation where start_position <= %(position)s + 1),
    (select min(generation) from transport.generation)
)
"""
_CHECKPOINTS: Final = """
select consumer, partition, position, leaf from consumers.checkpoint
where consumer = any(%(names)s) and generation = %(generation)s
"""
_ENTER: Final = """
insert into consumers.checkpoint (consumer, generation, partition, position, leaf)
select %(name)s, %(generation)s, numbered, %(position)s, %(leaf)s
from generate_series(0, %(partitions)s - 1) as numbered
on conflict do nothing
"""
_HOLD: Final = """
select from consumers.checkpoint where consumer = %(name)s and generation = %(generation)s for share
"""
_REGISTERED_ALL: Final = """
select r.consumer from consumers.registration r
where not exists (select from consumers.checkpoint c where c.consumer = r.consumer and c.generation = %(whole_log)s)
order by r.consumer
"""
_CONTRADICTED: Final = """
select r.consumer from consumers.registration r
where not exists (select from consumers.checkpoint c where c.consumer = r.consumer and c.generation = %(whole_log)s)
    and (
        r.registered_position > %(head)s
        or exists (select from consumers.parked k where k.consumer = r.consumer and k.last_position > %(head)s)
        or exists (
            select from consumers.checkpoint c left join log.event e on e.position = c.position
            where c.consumer = r.consumer and (c.position > %(head)s or c.leaf <> e.leaf)
        )
    )
order by r.consumer
"""
_IN_A_GENERATION: Final = """
select exists (select from consumers.checkpoint where consumer = %(name)s and generation <> %(whole_log)s)
"""
_FORGET_CHECKPOINTS: Final = "delete from consumers.checkpoint where consumer = any(%(names)s)"
_REGISTER_BACK: Final = """
update consumers.registration set registered_position = %(head)s
where consumer = any(%(names)s) and registered_position > %(head)s
"""
_MOVE: Final = """
update consumers.checkpoint c set position = m.position, leaf = m.leaf, moved_at = clock_timestamp()
from unnest(%(partitions)s::int[], %(positions)s::bigint[], %(leaves)s::bytea[])
    as m (partition, position, leaf)
where c.consumer = any(%(names)s) and c.generation = %(generation)s
    and c.partition = m.partition and c.position < m.position
    and exists (select from runtime.lease l where l.name = %(lease)s and l.owner = %(owner)s)
"""
_POSITIONS: Final = """
select r.consumer, greatest(r.registered_position, coalesce(p.position, 0)), h.position,
    (select coalesce(sum(1 + k.queued), 0)::bigint from consumers.parked k where k.consumer = r.consumer)
from log.head h cross join consumers.registration r
left join lateral (
    select min(case when c.position >= t.position then y.position else c.position end) as position
    from consumers.checkpoint c
    join transport.relay y on y.generation = c.generation
    join transport.relay_partition t
        on t.generation = c.generation and t.partition = c.partition
    where c.consumer = r.consumer
        and c.generation = (select max(g.generation) from consumers.checkpoint g where g.consumer = r.consumer)
) p on true
where r.consumer = any(%(names)s)
order by r.consumer
"""


_WHOLE_LOG: Final = {"whole_log": WHOLE_LOG.generation}
"""Consumers that tail the log have their checkpoint there: they are no processes."""


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


def positions(conn: Connection, *, names: Sequence[str]) -> list[ProcessPosition]:
    """The position of each of these processes, in one snapshot; a partition at its end counts as the relay's."""
    rows = conn.execute(_POSITIONS, {"names": list(names)}).fetchall()
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
        given = {"name": process.name, "position": starting.position_of(process.start)}
        conn.execute(_REGISTER, given)


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


def is_process(conn: Connection, consumer: str) -> bool:
    """Whether a consumer that has begun is a process manager, also where it is not declared."""
    return conn.execute(_IN_A_GENERATION, {"name": consumer, **_WHOLE_LOG}).fetchone() == (True,)


def to_set_back(conn: Connection, *, outcomes_lost: bool) -> list[str]:
    """The processes whose checkpoint the log no longer leads to.

    Whose outcomes were lost cannot be seen from their keys, so with `outcomes_lost` these are all.
    """
    if outcomes_lost:
        rows = conn.execute(_REGISTERED_ALL, _WHOLE_LOG).fetchall()
    else:
        rows = conn.execute(_CONTRADICTED, {"head": reading.head(conn).position, **_WHOLE_LOG}).fetchall()
    return [cast("str", name) for (name,) in rows]


def set_back(conn: Connection, names: Sequence[str]) -> None:
    """Let processes begin again where they were registered; by the owner, under the log's head lock.

    Triggers that have an outcome are answered from it, the others are decided. What was parked is met again. A worker
    in the middle of a term finds its checkpoints gone and begins anew when its generation has ended.
    """
    given = {"names": list(names), "head": reading.head(conn).position}
    for statement in (_FORGET_CHECKPOINTS, _REGISTER_BACK):
        conn.execute(statement, given)
    for name in names:
        parking.forget(conn, Scope(name))


def move(
    conn: Connection, checkpoints: Checkpoints, reached: Mapping[Partition, Mark], *, active: Active
) -> None:
    """Move the checkpoints up, if the lease is still ours; none ever goes back."""
    given = {
        "names": list(checkpoints.marks),
        "generation": checkpoints.generation.generation,
        "partitions": list(reached),
        "positions": [mark.position for mark in reached.values()],
        "leaves": [mark.leaf for mark in reached.values()],
        "lease": active.lease,
        "owner": active.owner,
    }
    conn.execute(_MOVE, given)


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
