"""Pages of the log bounded in rows and in bytes, for those who carry it: an event may be as large as its request.

Sizes are those on disk (compressed where Postgres compressed), so nothing is unpacked only to be left out.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, LiteralString, NamedTuple, cast

import psycopg

from event_store.log.envelope import RecordedEvent

PAGE_BYTES_MAX: Final = 8 * 1024 * 1024
"""Payload bytes of a page, as stored; a single larger event is a page of its own."""

STORED_HEADER_BYTES: Final = 4
"""The most that Postgres adds to a stored payload."""

_SELECT: LiteralString = """
select position, stream, version, type, payload::text, metadata::text, recorded_at, leaf, partition_key
from (
    select event.*, sum(pg_column_size(payload)) over (order by position rows unbounded preceding)
        - pg_column_size(payload) as bytes_before
    from log.event
"""
_BOUNDS: LiteralString = """
    order by position limit %(rows_max)s
) as page
where bytes_before < %(bytes_max)s order by position
"""
_HEAD_BEFORE: LiteralString = """
select h.position, h.epoch, p.position, p.stream, p.version, p.type, p.payload, p.metadata, p.recorded_at, p.leaf,
    p.partition_key
from log.head h left join lateral (
"""
_HEAD_BEHIND: LiteralString = ") p on true order by p.position"
_AFTER: Final = _SELECT + "where position > %(after)s and position <= %(upto)s" + _BOUNDS
_STEMMED: LiteralString = " and rtrim(type, '0123456789') = any(%(stems)s)"
"""Stems are few, where the versions of the same events that may be met are some hundred."""
_OF_STEMS: Final = _SELECT + "where position > %(after)s and position <= %(upto)s" + _STEMMED + _BOUNDS
_TAIL: Final = _HEAD_BEFORE + _AFTER + _HEAD_BEHIND
_TAIL_OF_STEMS: Final = _HEAD_BEFORE + _OF_STEMS + _HEAD_BEHIND
_AT: Final = _SELECT + "where position = any(%(positions)s)" + _BOUNDS

_FOUND: Final = """
select e.position from log.event e
where e.position > %(after)s and e.position <= %(upto)s
    and (%(types)s::text[] is null or e.type = any(%(types)s))
    and (%(categories)s::text[] is null or split_part(e.stream, '-', 1) = any(%(categories)s))
order by e.position limit %(limit)s
"""

_Row = tuple[int, str, int, str, str, str, datetime, bytes, str | None]


class Tail(NamedTuple):
    """The log's head and the next events behind a position; all that are wanted up to `reached` are among them."""

    head: int
    epoch: int
    after: int
    reached: int
    events: list[RecordedEvent]


Connection = psycopg.Connection[tuple[object, ...]]
AsyncConnection = psycopg.AsyncConnection[tuple[object, ...]]


def page_after(
    conn: Connection,
    position: int,
    *,
    rows_max: int,
    upto: int | None = None,
    stems: Sequence[str] | None = None,
    bytes_max: int = PAGE_BYTES_MAX,
) -> list[RecordedEvent]:
    """Read the next events in order, only of types with these stems if any are given; none only if there are none.

    Without `upto` the page spans `rows_max` positions: the log has no holes, so that leaves nothing out.
    """
    parameters = {
        "after": position,
        "upto": position + rows_max if upto is None else upto,
        "stems": None if stems is None else list(stems),
        "rows_max": rows_max,
        "bytes_max": bytes_max,
    }
    return _events(conn, _AFTER if stems is None else _OF_STEMS, parameters)


def tail(
    conn: Connection,
    position: int,
    *,
    rows_max: int,
    positions_max: int,
    stems: Sequence[str] | None = None,
    bytes_max: int = PAGE_BYTES_MAX,
) -> Tail:
    """Read the log's head and the next events in order, of types with these stems if any are given, as of one moment.

    No events are looked for where `rows_max` is 0: the tail reaches no further than `position` then.
    """
    parameters = {
        "after": position,
        "upto": position + positions_max,
        "stems": None if stems is None else list(stems),
        # A scan for no type at all would find none in as many rows.
        "rows_max": 0 if stems is not None and not stems else rows_max,
        "bytes_max": bytes_max,
    }
    rows = conn.execute(_TAIL if stems is None else _TAIL_OF_STEMS, parameters, binary=True).fetchall()
    head, epoch = cast("tuple[int, int]", rows[0][:2])
    events = _recorded([row[2:] for row in rows if row[2] is not None])
    upto = max(position, min(head, position + positions_max)) if rows_max else position
    reached = reached_by(events, upto=upto, rows_max=rows_max, bytes_max=bytes_max) if events else upto
    return Tail(head, epoch, after=position, reached=reached, events=events)


async def page_after_async(
    conn: AsyncConnection, position: int, *, rows_max: int, upto: int, bytes_max: int = PAGE_BYTES_MAX
) -> list[RecordedEvent]:
    """Read the next events in order; none only if there are none up to `upto`."""
    parameters = {"after": position, "upto": upto, "rows_max": rows_max, "bytes_max": bytes_max}
    return _recorded(await (await conn.execute(_AFTER, parameters, binary=True)).fetchall())


async def page_at_async(
    conn: AsyncConnection, positions: Sequence[int], *, bytes_max: int = PAGE_BYTES_MAX
) -> list[RecordedEvent]:
    """Read the events at these positions in order, as many as fit: at least the first."""
    parameters = {"positions": list(positions), "rows_max": len(positions), "bytes_max": bytes_max}
    return _recorded(await (await conn.execute(_AT, parameters, binary=True)).fetchall())


async def find_async(
    conn: AsyncConnection,
    *,
    after: int,
    upto: int,
    types: Sequence[str] | None,
    categories: Sequence[str] | None,
    limit: int,
) -> list[int]:
    """The first positions in a range whose events are of these types, in streams of these categories (None: of any).

    All of the range is looked through if need be: no index knows types, or categories.
    """
    given = {
        "after": after,
        "upto": upto,
        "types": None if types is None else list(types),
        "categories": None if categories is None else list(categories),
        "limit": limit,
    }
    rows = await (await conn.execute(_FOUND, given, binary=True)).fetchall()
    return [cast("int", position) for (position,) in rows]


def reached_by(
    events: Sequence[RecordedEvent], *, upto: int, rows_max: int, bytes_max: int = PAGE_BYTES_MAX
) -> int:
    """Up to where a page read with these bounds holds all events: `upto` unless a bound may have cut it."""
    # What is stored of a payload is at most its bytes and a header: a page of fewer bytes was not cut by them.
    size = sum(len(event.payload) + STORED_HEADER_BYTES for event in events)
    return upto if len(events) < rows_max and size < bytes_max else events[-1].position


def page_at(
    conn: Connection, positions: Sequence[int], *, bytes_max: int = PAGE_BYTES_MAX
) -> list[RecordedEvent]:
    """Read the events at these positions in order, as many as fit: at least the first."""
    parameters = {"positions": list(positions), "rows_max": len(positions), "bytes_max": bytes_max}
    return _events(conn, _AT, parameters)


def _events(
    conn: Connection, statement: LiteralString, parameters: Mapping[str, object]
) -> list[RecordedEvent]:
    return _recorded(conn.execute(statement, parameters, binary=True).fetchall())


def _recorded(rows: Sequence[tuple[object, ...]]) -> list[RecordedEvent]:
    return [
        RecordedEvent(position, stream, version, name, payload.encode(), metadata.encode(), at, leaf, key)
        for position, stream, version, name, payload, metadata, at, leaf, key in cast("list[_Row]", rows)
    ]
