"""Queries of the log besides loading streams: outcomes, places of events, and the log's current state."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, LiteralString, TypeVar, cast

import psycopg
from msgspec import Struct
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from commands import limits
from event_store.log import reading

T = TypeVar("T")

Pool = AsyncConnectionPool[reading.AsyncConnection]

_OUTCOME: Final = (
    "select h.epoch, o.fingerprint, o.first_position, o.last_position, o.versions"
    " from log.head h left join log.outcome o on o.key = %s"
)
_FINGERPRINTS: Final = "select key, fingerprint from log.outcome where key = any(%s)"
_PLACED: Final = (
    "select stream, position, coalesce(partition_key, stream) from log.event"
    " where position between %s and %s order by position"
)
_PLACED_AT: Final = (
    "select position, coalesce(partition_key, stream) from log.event where stream = %s and version = %s"
)
_VERSION_AT: Final = (
    "select version from log.event where stream = %s and position <= %s order by version desc limit 1"
)
_LOG_STATE: Final = (
    "select h.epoch, g.generation, g.partitions from log.head h"
    " cross join lateral (select * from transport.generation order by generation desc limit 1) g"
)


class LogUnreachable(Exception):
    """The log could not be read in time; nothing was done."""


class Outcome(Struct, frozen=True):
    """The outcome of a key. Positions are 0 if the decision had no events."""

    fingerprint: bytes
    first: int
    last: int
    versions: tuple[int, ...]


class Placed(Struct, frozen=True):
    """Where one event lies: its stream, its position in the log, and its partition key."""

    stream: str
    position: int
    key: str


NOWHERE: Final = Placed(stream="", position=0, key="")
"""Where the last event of a stream without any lies."""


class LogState(Struct, frozen=True):
    """The epoch of the log, and number and partition count of the newest topic generation."""

    epoch: int
    generation: int
    partitions: int


class LogReader:
    """Reads through a pool. A read is repeated where a pooled connection turns out to be dead."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def read(self, ask: Callable[[reading.AsyncConnection], Awaitable[T]]) -> T:
        """What `ask` reads through one connection; it may be called several times.

        Raises:
            LogUnreachable: the database does not answer.
        """
        for attempt in range(1, limits.LOAD_ATTEMPTS_MAX + 1):
            try:
                async with self._pool.connection() as connection:
                    return await _in_time(connection, ask)
            except PoolTimeout as error:
                raise LogUnreachable(str(error)) from error
            except psycopg.OperationalError as error:
                if attempt == limits.LOAD_ATTEMPTS_MAX:
                    raise LogUnreachable(str(error).strip()) from error
                await self._pool.check()
        raise AssertionError("the last attempt answers or raises")

    async def outcome(self, key: bytes) -> tuple[int, Outcome | None]:
        """The log's epoch, and the outcome of a key in it (None: none yet)."""
        row = await self._row(_OUTCOME, key)
        assert row is not None, "log.head always has its one row"
        epoch, fingerprint, first, last, versions = row
        if fingerprint is None:
            return _number(epoch), None
        assert isinstance(fingerprint, bytes)
        assert isinstance(versions, list)
        found = Outcome(
            fingerprint=fingerprint, first=_number(first), last=_number(last), versions=tuple(versions)
        )
        return _number(epoch), found

    async def fingerprints(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """The fingerprints of those keys that have an outcome."""
        rows = await self._rows(_FINGERPRINTS, list(keys))
        return dict(cast("list[tuple[bytes, bytes]]", rows))

    async def placed(self, first: int, last: int) -> list[Placed]:
        """Where the events of one append lie, in order: no more than an append may hold."""
        rows = await self._rows(_PLACED, first, last)
        return [Placed(str(stream), _number(position), str(key)) for stream, position, key in rows]

    async def placed_at(self, stream: str, version: int) -> Placed:
        """Where one event lies; `NOWHERE` for the version 0 of a stream without any."""
        rows = await self._rows(_PLACED_AT, stream, version)
        return Placed(stream, _number(rows[0][0]), str(rows[0][1])) if rows else NOWHERE

    async def version_at(self, stream: str, position: int) -> int:
        """The version of a stream as of a position; 0 if it had no event then."""
        row = await self._row(_VERSION_AT, stream, position)
        return 0 if row is None else _number(row[0])

    async def types_since(self, stream: str, version: int) -> list[str]:
        """The types of the events that a stream took behind a version, the first few."""
        events = await self.read(
            lambda connection: reading.read_stream_async(
                connection, stream, after_version=version, limit=limits.EVENT_TYPES_SINCE_MAX
            )
        )
        return [event.type for event in events]

    async def log_state(self) -> LogState:
        """The current state of the log and its transport."""
        row = await self._row(_LOG_STATE)
        assert row is not None, "migrations begin the first generation"
        epoch, generation, partitions = row
        return LogState(epoch=_number(epoch), generation=_number(generation), partitions=_number(partitions))

    async def _row(self, statement: LiteralString, *given: object) -> tuple[object, ...] | None:
        rows = await self._rows(statement, *given)
        return rows[0] if rows else None

    async def _rows(self, statement: LiteralString, *given: object) -> list[tuple[object, ...]]:
        async def ask(connection: reading.AsyncConnection) -> list[tuple[object, ...]]:
            async with connection.cursor(binary=True) as cursor:
                return await (await cursor.execute(statement, given)).fetchall()

        return await self.read(ask)


async def _in_time(
    connection: reading.AsyncConnection, ask: Callable[[reading.AsyncConnection], Awaitable[T]]
) -> T:
    """Query with a limit of time: a frozen or disconnected server neither answers nor confirms a cancellation."""
    asking = asyncio.ensure_future(ask(connection))
    try:
        done, _ = await asyncio.wait({asking}, timeout=limits.READ_TIMEOUT_S)
    except asyncio.CancelledError:
        _abandon(connection, asking)
        raise
    if not done:
        _abandon(connection, asking)
        raise LogUnreachable(f"no answer within {limits.READ_TIMEOUT_S:g} s")
    return asking.result()


def _abandon(connection: reading.AsyncConnection, asking: asyncio.Future[T]) -> None:
    asking.add_done_callback(lambda done: done.cancelled() or done.exception())
    asking.cancel()
    connection.pgconn.finish()


def _number(value: object) -> int:
    assert isinstance(value, int)
    return value
