"""Where policies stand: registered at a position, then a checkpoint per partition of a generation, then the next.

A policy enters a generation only when it is through with the one before it, with all rows at once, so no position
falls between two generations.
"""

from collections.abc import Mapping, Sequence
from typing import Final, cast

import psycopg
from msgspec import Struct

from commands.policies.progress import Mark
from event_store import generations, reading
from event_store.transport import Generation, Partition

Connection = psycopg.Connection[tuple[object, ...]]
AsyncConnection = psycopg.AsyncConnection[tuple[object, ...]]

_REGISTERED: Final = "select name, registered_position from policy.registration where name = any(%(names)s)"
_ENTERED: Final = """
select name, max(generation) from policy.checkpoint where name = any(%(names)s) group by name
"""
_GENERATION_AT: Final = """
select coalesce(
    (select max(generation) from transport.generation where start_position <= %(position)s + 1),
    (select min(generation) from transport.generation)
)
"""
_CHECKPOINTS: Final = """
select name, partition, position, leaf from policy.checkpoint
where name = any(%(names)s) and generation = %(generation)s
"""
_ENTER: Final = """
insert into policy.checkpoint (name, generation, partition, position, leaf)
select %(name)s, %(generation)s, numbered, %(position)s, %(leaf)s
from generate_series(0, %(partitions)s - 1) as numbered
on conflict do nothing
"""
_HOLD: Final = """
select from policy.checkpoint where name = %(name)s and generation = %(generation)s for share
"""
_REGISTERED_ALL: Final = "select name from policy.registration order by name"
_CONTRADICTED: Final = """
select r.name from policy.registration r
where r.registered_position > %(head)s
    or exists (select from policy.parked k where k.name = r.name and k.last_position > %(head)s)
    or exists (
        select from policy.checkpoint c left join log.event e on e.position = c.position
        where c.name = r.name and (c.position > %(head)s or c.leaf <> e.leaf)
    )
order by r.name
"""
_FORGET_CHECKPOINTS: Final = "delete from policy.checkpoint where name = any(%(names)s)"
_FORGET_PARKED: Final = "delete from policy.parked where name = any(%(names)s)"
_REGISTER_BACK: Final = """
update policy.registration set registered_position = %(head)s
where name = any(%(names)s) and registered_position > %(head)s
"""
_MOVE: Final = """
update policy.checkpoint c set position = m.position, leaf = m.leaf, moved_at = clock_timestamp()
from unnest(%(partitions)s::int[], %(positions)s::bigint[], %(leaves)s::bytea[])
    as m (partition, position, leaf)
where c.name = any(%(names)s) and c.generation = %(generation)s
    and c.partition = m.partition and c.position < m.position
    and exists (select from runtime.lease l where l.name = %(lease)s and l.owner = %(owner)s)
"""
_POSITIONS: Final = """
select r.name, greatest(r.registered_position, coalesce(p.position, 0)), h.position,
    (select coalesce(sum(1 + k.queued), 0)::bigint from policy.parked k where k.name = r.name)
from log.head h cross join policy.registration r
left join lateral (
    select min(case when c.position >= t.position then y.position else c.position end) as position
    from policy.checkpoint c
    join transport.relay y on y.generation = c.generation
    join transport.relay_partition t
        on t.generation = c.generation and t.partition = c.partition
    where c.name = r.name
        and c.generation = (select max(g.generation) from policy.checkpoint g where g.name = r.name)
) p on true
order by r.name
"""


class NotRegistered(LookupError):
    """The database does not know a policy: run `counterfoil migrate`."""


class Standing(Struct, frozen=True):
    """The oldest generation in which a policy still has something to do, and where those policies stand in it."""

    generation: Generation
    marks: Mapping[str, Mapping[Partition, Mark]]

    @property
    def starts(self) -> dict[Partition, Mark]:
        """Where to begin to read each partition: at the policy that is furthest behind."""
        starts: dict[Partition, Mark] = {}
        for marks in self.marks.values():
            for source, mark in marks.items():
                if source not in starts or mark.position < starts[source].position:
                    starts[source] = mark
        return starts


class PolicyPosition(Struct, frozen=True):
    """The highest position up to which a policy is through, how many events that is behind, and what is parked."""

    name: str
    position: int
    lag_events: int
    parked: int


def positions(conn: Connection) -> list[PolicyPosition]:
    """Where every registered policy stands, in one snapshot; a partition at its end counts as the relay's."""
    return _positions(conn.execute(_POSITIONS).fetchall())


async def positions_async(conn: AsyncConnection) -> list[PolicyPosition]:
    """Where every registered policy stands."""
    return _positions(await (await conn.execute(_POSITIONS)).fetchall())


def _positions(rows: Sequence[tuple[object, ...]]) -> list[PolicyPosition]:
    return [
        PolicyPosition(name, min(position, head), max(0, head - position), parked)
        for name, position, head, parked in cast("Sequence[tuple[str, int, int, int]]", rows)
    ]


def standing(conn: Connection, *, names: Sequence[str]) -> Standing:
    """Where these policies stand; those that have never worked enter at the position they registered at.

    Raises:
        NotRegistered: the database was not migrated for one of them.
    """
    with conn.transaction():
        given = {"names": list(names)}
        registered = dict(cast("list[tuple[str, int]]", conn.execute(_REGISTERED, given).fetchall()))
        if missing := sorted(set(names) - set(registered)):
            raise NotRegistered(f"policies not registered: {', '.join(missing)}")
        entered = dict(cast("list[tuple[str, int]]", conn.execute(_ENTERED, given).fetchall()))
        for name in names:
            if name not in entered:
                entered[name] = _enter_first(conn, name, registered[name])
        oldest = min(entered.values())
        active = [name for name in names if entered[name] == oldest]
        return Standing(
            generation=generations.generation_numbered(conn, generation=oldest),
            marks=_marks(conn, active, oldest),
        )


def enter_next(conn: Connection, before: Standing, *, next_generation: Generation) -> None:
    """Begin the next generation for all policies that are through with the one before; not for those set back."""
    with conn.transaction():
        for name in before.marks:
            given = {"name": name, "generation": before.generation.generation}
            if conn.execute(_HOLD, given).rowcount:
                _enter(conn, name, next_generation, next_generation.start_position - 1)


def to_set_back(conn: Connection, *, outcomes_lost: bool) -> list[str]:
    """The policies that stand somewhere the log no longer leads to.

    Whose outcomes were lost cannot be seen from their keys, so with `outcomes_lost` these are all.
    """
    if outcomes_lost:
        rows = conn.execute(_REGISTERED_ALL).fetchall()
    else:
        rows = conn.execute(_CONTRADICTED, {"head": reading.head(conn).position}).fetchall()
    return [cast("str", name) for (name,) in rows]


def set_back(conn: Connection, names: Sequence[str]) -> None:
    """Let policies begin again where they were registered; by the owner, under the log's head lock.

    Triggers that have an outcome are answered from it, the others are decided. What was parked is met again. A worker
    in the middle of a term finds its checkpoints gone and begins anew when its generation has ended.
    """
    given = {"names": list(names), "head": reading.head(conn).position}
    for statement in (_FORGET_CHECKPOINTS, _FORGET_PARKED, _REGISTER_BACK):
        conn.execute(statement, given)


async def move(
    conn: AsyncConnection,
    standing: Standing,
    reached: Mapping[Partition, Mark],
    *,
    lease: str,
    owner: str,
) -> None:
    """Move the checkpoints up, if the lease is still ours; none ever goes back."""
    given = {
        "names": list(standing.marks),
        "generation": standing.generation.generation,
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
