"""Questions to the log besides loading streams: outcomes, places of events, and where the log stands now."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, LiteralString, TypeVar

import psycopg
from msgspec import Struct
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from commands import limits
from event_store import reading

T = TypeVar("T")

Pool = AsyncConnectionPool[reading.AsyncConnection]

_OUTCOME: Final = (
    "select h.epoch, o.fingerprint, o.first_position, o.last_position, o.versions"
    " from log.head h left join log.outcome o on o.key = %s"
)
_STREAM_AT: Final = "select stream from log.event where position = %s"
_POSITION_OF: Final = "select position from log.event where stream = %s and version = %s"
_STANDING: Final = (
    "select h.epoch, g.generation, g.partitions from log.head h"
    " cross join lateral (select * from transport.generation order by generation desc limit 1) g"
)


class LogUnreachable(Exception):
    """The log could not be read in time; nothing was done."""


class Outcome(Struct, frozen=True):
    """What became of a key. Positions are 0 when the decision had no events."""

    fingerprint: bytes
    first: int
    last: int
    versions: tuple[int, ...]


class Standing(Struct, frozen=True):
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
        """The log's epoch, and what became of a key in it (None: nothing yet)."""
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

    async def stream_at(self, position: int) -> str:
        """The stream of the event at a position that is known to exist."""
        row = await self._row(_STREAM_AT, position)
        assert row is not None, "an outcome without its events"
        return str(row[0])

    async def position_of(self, stream: str, version: int) -> int:
        """The position of one event; 0 for the version 0 of a stream without any."""
        row = await self._row(_POSITION_OF, stream, version)
        return 0 if row is None else _number(row[0])

    async def types_since(self, stream: str, version: int) -> list[str]:
        """The types of the events that a stream took behind a version, the first few."""
        events = await self.read(
            lambda connection: reading.read_stream_async(
                connection, stream, after_version=version, limit=limits.EVENT_TYPES_SINCE_MAX
            )
        )
        return [event.type for event in events]

    async def standing(self) -> Standing:
        """Where the log and its transport stand now."""
        row = await self._row(_STANDING)
        assert row is not None, "migrations begin the first generation"
        epoch, generation, partitions = row
        return Standing(epoch=_number(epoch), generation=_number(generation), partitions=_number(partitions))

    async def _row(self, statement: LiteralString, *given: object) -> tuple[object, ...] | None:
        async def ask(connection: reading.AsyncConnection) -> tuple[object, ...] | None:
            async with connection.cursor(binary=True) as cursor:
                return await (await cursor.execute(statement, given)).fetchone()

        return await self.read(ask)


async def _in_time(
    connection: reading.AsyncConnection, ask: Callable[[reading.AsyncConnection], Awaitable[T]]
) -> T:
    """Ask, but not for ever: a server that is frozen or cut off neither answers nor confirms a cancellation."""
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
