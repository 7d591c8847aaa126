"""Reading the log: by position, by stream, by partition key, by type, and whole by COPY.

What both colours need (SQL text, row to value) stands once; the two sets of functions differ only in awaiting.
"""

import binascii
import functools
import re
from collections.abc import Generator, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Any, Final, LiteralString, NamedTuple

import psycopg
from psycopg import sql

from event_store.log import copying
from event_store.log.envelope import RecordedEvent

Connection = psycopg.Connection[tuple[Any, ...]]
AsyncConnection = psycopg.AsyncConnection[tuple[Any, ...]]

EVENTS_PER_READ_MAX: Final = 5_000
"""Events that one read returns at most; callers go on from the last position."""

POSITIONS_PER_SEGMENT: Final = 20_000
"""Positions copied in one transaction by who reads the whole log: some tenths of a second."""

POSITIONS_PER_SHORT_SEGMENT: Final = 200
"""The same for who gives way to appends: below a millisecond, so an append that waits for it waits no longer."""

STREAMS_PER_READ_MAX: Final = 500
"""Streams that one query loads; more are asked for in several."""

KEYS_PER_READ_MAX: Final = 50
"""Partition keys whose events one query reads: each may have as many as are asked for altogether."""

EVENTS_PER_STREAM_MAX: Final = 1_000
"""Events of one stream that one query loads: some milliseconds of an event loop that has other things to do."""

EVENTS_OF_STREAMS_MAX: Final = 4_000
"""Events that one query loads of all its streams together."""

_COLUMNS: LiteralString = (
    "e.position, e.stream, e.version, e.type, e.payload::text, e.metadata::text,"
    " e.recorded_at, e.leaf, e.partition_key"
)
_HEAD: Final = "select position, epoch, recorded_at from log.head"
_HISTORY: Final = "select i.id::text, h.epoch from log.installation i, log.head h"
_COPIED: Final = "select copied from log.installation"
_EPOCHS: Final = "select epoch, first_position from log.epoch order by epoch"
_AFTER: Final = (
    f"select {_COLUMNS} from log.event e where e.position > %s and e.position <= %s"
    " order by e.position limit %s"
)
_AFTER_OF_TYPES: Final = (
    f"select {_COLUMNS} from log.event e where e.position > %s and e.position <= %s and e.type = any(%s)"
    " order by e.position limit %s"
)
_STREAM: Final = (
    f"select {_COLUMNS} from log.event e where e.stream = %s and e.version > %s and e.position <= %s"
    " order by e.version limit %s"
)
_STREAMS: Final = (
    "select e.stream, s.version, e.version, e.position, e.type, e.payload::text, coalesce(e.partition_key, e.stream)"
    " from unnest(%(streams)s::text[], %(versions)s::bigint[]) as s (stream, version)"
    " cross join lateral (select * from log.event x where x.stream = s.stream and x.version > s.version"
    " order by x.version limit %(limit)s) e"
    " order by e.stream, s.version, e.version"
)
_TAGGED: Final = (
    "select h.position, e.stream, e.version, e.position, e.type, e.payload::text, coalesce(e.partition_key, e.stream)"
    " from log.head h left join lateral ("
    "select x.* from unnest(%(types)s::text[]) as a (type)"
    " cross join lateral (select t.position from log.tag t"
    " where t.tag = %(tag)s and t.type = a.type and t.position > %(after)s and t.position <= %(upto)s"
    " and not exists (select from unnest(%(others)s::text[]) as o (tag) where not exists ("
    "select from log.tag x where x.tag = o.tag and x.type = a.type and x.position = t.position))"
    " order by t.position limit %(limit)s) t"
    " join log.event x on x.position = t.position order by t.position limit %(limit)s"
    ") e on true order by e.position"
)
_KEY: Final = (
    f"select {_COLUMNS} from log.event e where e.stream = %(key)s and e.partition_key is null"
    " and e.position > %(after)s and e.position <= %(upto)s"
    f" union all select {_COLUMNS} from log.event e where e.partition_key = %(key)s"
    " and e.position > %(after)s and e.position <= %(upto)s"
    " order by position limit %(limit)s"
)
_CHANGED: Final = (
    "select distinct coalesce(e.partition_key, e.stream) from log.event e"
    " where e.position > %s and e.position <= %s and e.type = any(%s)"
)
# Each half is limited by itself: one key may have as many events as all may have together.
_KEYS: Final = (
    f"select {_COLUMNS} from unnest(%(keys)s::text[]) as k (key) cross join lateral ("
    "(select * from log.event x where x.stream = k.key and x.partition_key is null and x.position <= %(upto)s"
    " and x.type = any(%(types)s) order by x.version limit %(limit)s)"
    " union all (select * from log.event x where x.partition_key = k.key and x.position <= %(upto)s"
    " and x.type = any(%(types)s) order by x.position limit %(limit)s)"
    ") e order by e.position limit %(limit)s"
)
_LEAF: Final = "select leaf from log.event where position = %s"
_LEAVES: Final = "select position, leaf from log.event where position = any(%s)"
_RECORDED_AT: Final = "select recorded_at from log.event where position = %s"
_IS_AHEAD: Final = "select %s > greatest(clock_timestamp(), recorded_at) from log.head"

_FIELD: Final = b"\x1f"
_QUOTE: Final = b"\x1e"
_COLUMNS_COPIED: Final = 9
_QUOTED_OR_NOT: Final = re.compile(rb"(?:\x1e([^\x1e]*(?:\x1e\x1e[^\x1e]*)*)\x1e|([^\x1e\x1f\n]*))[\x1f\n]")
_RANGE: Final = sql.SQL(
    "select e.position, e.stream, e.version, e.type, e.payload, e.metadata,"
    " (extract(epoch from e.recorded_at) * 1000000)::bigint, encode(e.leaf, 'hex'), '.' || e.partition_key"
    " from log.event e where e.position > {after} and e.position <= {upto}{types} order by e.position"
)
_COPY: Final = sql.SQL("copy ({range}) to stdout with (format csv, delimiter E'\\x1f', quote E'\\x1e')")
_BY_INDEX: Final = "set local enable_sort = off"
"""Without statistics, as in a log just filled, the planner takes any range for small and would sort the whole log."""
_OF_TYPES: Final = sql.SQL(" and e.type = any({types})")

_UNIX_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NO_END: Final = 2**63 - 1


class TimeAhead(Exception):
    """A time of recording that lies ahead of the log's own clock."""


class Head(NamedTuple):
    """The log's last position (0 when empty), its epoch and the newest `recorded_at`."""

    position: int
    epoch: int
    recorded_at: datetime | None


class StreamEvent(NamedTuple):
    """The parts of an event that a fold of its stream needs."""

    stream: str
    version: int
    position: int
    type: str
    payload: bytes
    key: str


class History(NamedTuple):
    """The installation and the epoch of the log, which keep documents of two histories apart."""

    installation: str
    epoch: int


class Epoch(NamedTuple):
    """One life of the log and its first position."""

    epoch: int
    first_position: int


def head(connection: Connection) -> Head:
    """The head of the log."""
    return _head(connection.execute(_HEAD).fetchone())


async def head_async(connection: AsyncConnection) -> Head:
    """The head of the log."""
    return _head(await (await connection.execute(_HEAD)).fetchone())


def history(connection: Connection) -> History:
    """The installation and the epoch of the log."""
    row = connection.execute(_HISTORY).fetchone()
    assert row is not None, "both tables always have their one row"
    return History(*row)


async def history_async(connection: AsyncConnection) -> History:
    """The same for async callers."""
    row = await (await connection.execute(_HISTORY)).fetchone()
    assert row is not None, "both tables always have their one row"
    return History(*row)


def is_copy(connection: Connection) -> bool:
    """Whether this installation began as a copy of another one."""
    return connection.execute(_COPIED).fetchone() == (True,)


def epochs(connection: Connection) -> list[Epoch]:
    """Every epoch, oldest first."""
    return [Epoch(*row) for row in _rows(connection, _EPOCHS, [])]


def epoch_of(known: Sequence[Epoch], position: int, *, otherwise: int = 0) -> int:
    """The epoch that a position lies in, of those that are known; `otherwise` where none begins at or before it."""
    return max((one.epoch for one in known if one.first_position <= position), default=otherwise)


def leaf_at(connection: Connection, position: int) -> bytes | None:
    """The leaf at a position, None beyond the head."""
    row = connection.execute(_LEAF, [position]).fetchone()
    return None if row is None else bytes(row[0])


def leaves_at(connection: Connection, positions: Iterable[int]) -> dict[int, bytes]:
    """The leaves at these positions; those beyond the head are left out."""
    return {position: bytes(leaf) for position, leaf in _rows(connection, _LEAVES, [list(positions)])}


def position_at(connection: Connection, time: datetime) -> int:
    """The last position recorded at or before a time, 0 if none: recorded_at never falls, so this names a prefix.

    Found by halving, which takes a few dozen reads by key however long the log is, and no index by time.

    Raises:
        TimeAhead: until then more may still be recorded, so no prefix has that name yet.
    """
    row = connection.execute(_IS_AHEAD, [time]).fetchone()
    assert row is not None, "log.head always has its one row"
    if row[0]:
        raise TimeAhead(f"{time.isoformat()} has not come yet")
    low, high = 0, head(connection).position
    while low < high:
        middle = (low + high + 1) // 2
        row = connection.execute(_RECORDED_AT, [middle]).fetchone()
        if row is None:
            raise LookupError(f"the log has no event at position {middle}: run `counterfoil audit verify`")
        if row[0] <= time:
            low = middle
        else:
            high = middle - 1
    return low


def read_after(
    connection: Connection,
    position: int,
    *,
    limit: int = EVENTS_PER_READ_MAX,
    upto: int | None = None,
    types: Sequence[str] | None = None,
) -> list[RecordedEvent]:
    """Events behind a position in order, of all types or of these.

    Position order is commit order, so a reader that goes on from the last position it got never misses one.
    """
    end = _NO_END if upto is None else upto
    if types is None:
        return [_event(row) for row in _rows(connection, _AFTER, [position, end, limit])]
    return [_event(row) for row in _rows(connection, _AFTER_OF_TYPES, [position, end, list(types), limit])]


async def read_after_async(
    connection: AsyncConnection, position: int, *, limit: int = EVENTS_PER_READ_MAX, upto: int | None = None
) -> list[RecordedEvent]:
    """Events behind a position in order."""
    end = _NO_END if upto is None else upto
    return [_event(row) for row in await _rows_async(connection, _AFTER, [position, end, limit])]


def read_stream(
    connection: Connection,
    stream: str,
    *,
    after_version: int = -1,
    upto: int | None = None,
    limit: int = EVENTS_PER_READ_MAX,
) -> list[RecordedEvent]:
    """Events of one stream in order, behind a version and up to a position of the log."""
    end = _NO_END if upto is None else upto
    return [_event(row) for row in _rows(connection, _STREAM, [stream, after_version, end, limit])]


async def read_stream_async(
    connection: AsyncConnection,
    stream: str,
    *,
    after_version: int = -1,
    upto: int | None = None,
    limit: int = EVENTS_PER_READ_MAX,
) -> list[RecordedEvent]:
    """Events of one stream in order, behind a version and up to a position of the log."""
    end = _NO_END if upto is None else upto
    return [
        _event(row) for row in await _rows_async(connection, _STREAM, [stream, after_version, end, limit])
    ]


def read_key(
    connection: Connection,
    key: str,
    *,
    after: int = 0,
    upto: int | None = None,
    limit: int = EVENTS_PER_READ_MAX,
) -> list[RecordedEvent]:
    """Events of one partition key in position order: what the rows of a keyed view are folded from."""
    end = _NO_END if upto is None else upto
    given = {"key": key, "after": after, "upto": end, "limit": limit}
    return [_event(row) for row in _rows(connection, _KEY, given)]


def keys_changed(connection: Connection, *, after: int, upto: int, types: Sequence[str]) -> list[str]:
    """The partition keys of the events of these types between two positions: cheap as long as those are near."""
    return [key for (key,) in _rows(connection, _CHANGED, [after, upto, list(types)])]


def read_keys(
    connection: Connection, keys: Sequence[str], *, upto: int, types: Sequence[str], limit: int
) -> list[RecordedEvent]:
    """The first events of these types of some partition keys up to a position, in position order."""
    found: list[RecordedEvent] = []
    for start in range(0, len(keys), KEYS_PER_READ_MAX):
        given = {
            "keys": list(keys[start : start + KEYS_PER_READ_MAX]),
            "upto": upto,
            "types": list(types),
            "limit": limit - len(found),
        }
        found += [_event(row) for row in _rows(connection, _KEYS, given)]
        if len(found) >= limit:
            break
    return sorted(found, key=attrgetter("position"))


def events_per_stream(streams: int) -> int:
    """How many events of each of so many streams one query loads at most."""
    return min(EVENTS_PER_STREAM_MAX, EVENTS_OF_STREAMS_MAX // max(min(streams, STREAMS_PER_READ_MAX), 1))


async def load_streams_async(
    connection: AsyncConnection, after: Sequence[tuple[str, int]], *, limit: int
) -> dict[tuple[str, int], list[StreamEvent]]:
    """The next events of streams, each behind a version, at most `limit` of each; streams without any are absent.

    A stream of which so many come may have more: what is behind the last of them is asked for next.
    """
    found: dict[tuple[str, int], list[StreamEvent]] = {}
    for start in range(0, len(after), STREAMS_PER_READ_MAX):
        chunk = after[start : start + STREAMS_PER_READ_MAX]
        given = {
            "streams": [stream for stream, _ in chunk],
            "versions": [version for _, version in chunk],
            "limit": limit,
        }
        for stream, behind, *rest in await _rows_async(connection, _STREAMS, given):
            found.setdefault((stream, behind), []).append(_stream_event(stream, *rest))
    return found


async def read_tagged_async(
    connection: AsyncConnection,
    tags: Sequence[str],
    types: Sequence[str],
    *,
    after: int = 0,
    upto: int | None = None,
    limit: int,
) -> tuple[int, list[StreamEvent]]:
    """The log's last position, and the events behind a position that carry all of these tags, in order.

    One query sees both: a reader that found fewer than `limit` events has all there are up to that position. The index
    is read along the first tag; the others are looked up for each event that carries it.
    """
    given = {
        "tag": tags[0],
        "others": list(tags[1:]),
        "types": list(types),
        "after": after,
        "upto": _NO_END if upto is None else upto,
        "limit": limit,
    }
    rows = await _rows_async(connection, _TAGGED, given)
    head: int = rows[0][0]
    return head, [_stream_event(*row) for _, *row in rows if row[0] is not None]


def copy_log(
    connection: Connection,
    *,
    after: int = 0,
    upto: int | None = None,
    types: Sequence[str] | None = None,
) -> Iterator[RecordedEvent]:
    """The log in position order as a stream of rows, the fastest way to read much of it.

    The rows come from one snapshot, and memory holds no more of them than a chunk. COPY writes CSV with
    control characters for delimiter and quote: JSON never holds them raw, so nearly every chunk is cut into fields
    without looking at quotes, and what is done with a column is done by one call for all its rows.
    """
    only = sql.SQL("") if types is None else _OF_TYPES.format(types=sql.Literal(list(types)))
    given = {"after": sql.Literal(after), "upto": sql.Literal(_NO_END if upto is None else upto)}
    statement = _COPY.format(range=_RANGE.format(**given, types=only))
    with connection.transaction():
        connection.execute(_BY_INDEX)
        for chunk in copying.chunks(connection, statement):
            yield from _copied(chunk)


def copy_segments(
    connection: Connection,
    *,
    after: int = 0,
    upto: int,
    types: Sequence[str] | None = None,
    positions: int = POSITIONS_PER_SEGMENT,
) -> Generator[RecordedEvent, None, None]:
    """As `copy_log`, so many positions in each transaction: what stands at or below the head never changes.

    A snapshot of the whole log would keep the vacuum from cleaning up behind every append while it is read. The
    connection is taken until the last event was read or the generator is closed.
    """
    for start in range(after, upto, positions):
        end = min(upto, start + positions)
        yield from copy_log(connection, after=start, upto=end, types=types)


def _copied(chunk: bytes) -> Iterator[RecordedEvent]:
    fields = _fields(chunk)
    assert len(fields) % _COLUMNS_COPIED == 0, "a copied row has another number of fields"
    position, stream, version, type_name, payload, metadata, recorded_at, leaf, key = (
        fields[column::_COLUMNS_COPIED] for column in range(_COLUMNS_COPIED)
    )
    if not all(map(all, (stream, type_name, payload, metadata))):
        raise ValueError("a row lacks what every event has")
    return map(
        RecordedEvent,
        map(int, position),
        map(bytes.decode, stream),
        map(int, version),
        map(_type_name, type_name),
        payload,
        metadata,
        map(_moment, recorded_at),
        map(binascii.unhexlify, leaf),
        [each[1:].decode() if each else None for each in key],  # behind a point: an empty key is not none
    )


def _fields(chunk: bytes) -> list[bytes]:
    """The fields of all rows, one after another. Values with a delimiter, a quote or a line break come quoted."""
    if _QUOTE in chunk:
        found = _QUOTED_OR_NOT.findall(chunk)
        return [quoted.replace(_QUOTE * 2, _QUOTE) if quoted else plain for quoted, plain in found]
    return chunk[:-1].replace(b"\n", _FIELD).split(_FIELD) if chunk else []


_type_name = functools.lru_cache(maxsize=1_024)(bytes.decode)


@functools.lru_cache(maxsize=64)
def _moment(microseconds: bytes) -> datetime:
    """Events of one batch share their time, so most are found."""
    return _UNIX_EPOCH + timedelta(microseconds=int(microseconds))


def _head(row: tuple[Any, ...] | None) -> Head:
    if row is None:
        raise LookupError("the log has no head: run `counterfoil migrate`")
    position, epoch, recorded_at = row
    return Head(position, epoch, recorded_at if position else None)


def _event(row: tuple[Any, ...]) -> RecordedEvent:
    position, stream, version, type_name, payload, metadata, recorded_at, leaf, key = row
    return RecordedEvent(
        position, stream, version, type_name, payload.encode(), metadata.encode(), recorded_at, leaf, key
    )


def _stream_event(
    stream: str, version: int, position: int, type_name: str, payload: str, key: str
) -> StreamEvent:
    return StreamEvent(stream, version, position, type_name, payload.encode(), key)


def _rows(connection: Connection, statement: LiteralString, given: Any) -> list[tuple[Any, ...]]:
    with connection.cursor(binary=True) as cursor:
        return cursor.execute(statement, given).fetchall()


async def _rows_async(
    connection: AsyncConnection, statement: LiteralString, given: Any
) -> list[tuple[Any, ...]]:
    async with connection.cursor(binary=True) as cursor:
        return await (await cursor.execute(statement, given)).fetchall()
