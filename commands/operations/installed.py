"""The state that operators' acts need besides their streams: parked keys, builds of views, triggers."""

from typing import Final, LiteralString, TypeVar, cast

from msgspec import Struct
from psycopg.rows import class_row

from domain.event import type_name
from domain.operations.builds import Build
from domain.operations.events import EventSkipped
from domain.operations.parked_keys import Parked
from domain.operations.skips import SKIPS
from event_store.consumers.reserved import ACTS, RESERVED
from event_store.log.reading import AsyncConnection

T = TypeVar("T")

_PARKED: Final = """
select nullif(shape, 0) as shape, position from consumers.parked
where consumer = %(consumer)s and partition_key = %(partition_key)s order by shape, build
"""
_BUILDS: Final = """
select b.shape, b.build, coalesce((l.shape, l.build) = (b.shape, b.build), false) as live,
    coalesce((l.previous_shape, l.previous_build) = (b.shape, b.build), false) as previous,
    b.state = 'folding' as folding
from views.build b left join views.live l on l.view = b.view
where b.view = %(view)s order by b.shape, b.build
"""
_VIEWS: Final = "select distinct view from views.build order by view"
_CONSUMERS: Final = "select consumer from consumers.registration union select view from views.build"
_TRIGGER: Final = """
select e.leaf, (select max(p.epoch) from log.epoch p where p.first_position <= e.position)
from consumers.registration r join log.event e on e.position = %(position)s
where r.consumer = %(consumer)s and r.kind = 'process'
"""
_IS_SKIPPED: Final = """
select exists (
    select from log.event
    where stream = %(stream)s and type = %(type)s and (payload ->> 'position')::bigint = %(position)s
)
"""


class OutcomeTrigger(Struct, frozen=True):
    """What the outcome of a process manager about an event is known by."""

    leaf: bytes
    epoch: int


async def parked(connection: AsyncConnection, *, consumer: str, partition_key: str) -> list[Parked]:
    """Where a key of a consumer is parked: nowhere, once, or in several builds of a view."""
    return await _rows(connection, _PARKED, Parked, consumer=consumer, partition_key=partition_key)


async def builds(connection: AsyncConnection, view: str) -> list[Build]:
    """The builds of a view; none where there is no such view."""
    return await _rows(connection, _BUILDS, Build, view=view)


async def views(connection: AsyncConnection) -> list[str]:
    """The names of all views that have a build."""
    rows = await (await connection.execute(_VIEWS)).fetchall()
    return [cast("str", name) for (name,) in rows]


async def consumers(connection: AsyncConnection) -> frozenset[str]:
    """The names of everything that may be paused: consumers, process managers, senders and views."""
    rows = await (await connection.execute(_CONSUMERS)).fetchall()
    return frozenset((*RESERVED, *(cast("str", name) for (name,) in rows))) - {ACTS}


async def trigger(connection: AsyncConnection, *, consumer: str, position: int) -> OutcomeTrigger | None:
    """The event at a position as a trigger; None where the consumer is no process manager, or there is no event."""
    given = {"consumer": consumer, "position": position}
    row = await (await connection.execute(_TRIGGER, given)).fetchone()
    return None if row is None else OutcomeTrigger(cast("bytes", row[0]), cast("int", row[1]))


async def is_skipped(connection: AsyncConnection, *, consumer: str, position: int) -> bool:
    """Whether the log says that a consumer without shapes goes on without an event."""
    given = {"stream": SKIPS.stream(consumer), "type": type_name(EventSkipped), "position": position}
    return await (await connection.execute(_IS_SKIPPED, given)).fetchone() == (True,)


async def _rows(
    connection: AsyncConnection, statement: LiteralString, kind: type[T], **given: object
) -> list[T]:
    async with connection.cursor(row_factory=class_row(kind)) as cursor:
        return await (await cursor.execute(statement, given)).fetchall()
