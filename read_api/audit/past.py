"""What was: rows as of an earlier position, folded from the log in threads, a few at a time."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from functools import partial
from typing import Any, Final, TypeVar

import msgspec
import psycopg
from msgspec import Struct
from psycopg import errors
from psycopg_pool import ConnectionPool, PoolTimeout

from event_store.log import reading
from event_store.transport.partitioning import partition_of
from event_store.transport.position_token import PositionToken
from projections import replay
from projections.errors import FoldFailed
from read_api.errors import BuildGone, TooManyReads, ViewUnavailable
from read_api.parameters import invalid_parameter
from read_api.polling import CheckpointPoller
from read_api.reading.resource import Resource
from runtime import database, problems, rfc3339
from runtime.problems import Fault, ProblemError

PAST_READS_MAX: Final = 2
"""Folds under way at once: each takes a thread and a connection."""

PAST_WAITING_MAX: Final = 32
"""Requests that wait for a fold; more are refused at once."""

PAST_TIMEOUT_S: Final = 5.0
"""What one fold may wait for its connection, seconds."""

_SETTINGS: Final = {"statement_timeout": "5s", "default_transaction_read_only": "on"}

Connection = psycopg.Connection[Any]
Answer = TypeVar("Answer")

_is_position = re.compile(r"[0-9]{1,19}").fullmatch
_encode = msgspec.json.Encoder().encode


class AsItWas(Struct, frozen=True):
    """A row as of a position of the log; `applied` is that position as a token."""

    as_of: int
    body: bytes | None
    applied: str


class Past:
    """Reads what takes folding, in threads: folding is work for a processor, not for the event loop."""

    def __init__(self, url: str, *, poller: CheckpointPoller) -> None:
        """Prepare connections to `url`; none is opened yet."""
        self._poller = poller
        self._pool = ConnectionPool(
            database.address(url, role="counterfoil_reader", name="query-api past", settings=_SETTINGS),
            kwargs={"autocommit": True},
            min_size=0,
            max_size=PAST_READS_MAX,
            timeout=PAST_TIMEOUT_S,
            open=False,
        )
        self._slots = asyncio.Semaphore(PAST_READS_MAX)
        self._waiting = 0

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Open connections when they are needed, and close them at the end."""
        await asyncio.to_thread(self._pool.open, wait=False)
        try:
            yield
        finally:
            await asyncio.to_thread(self._pool.close)

    async def row(self, resource: Resource, key: str, *, as_of: str) -> AsItWas:
        """The row of an id at a position, or at a time: an RFC 3339 text with offset.

        Raises:
            ProblemError: `invalid-parameter`, `position-beyond-head`, `stale-read`.
            TooManyReads: too many others wait.
            ViewUnavailable: the log cannot be read.
        """
        moment = _moment(as_of)
        position, body = await self.read(lambda connection: _folded(connection, resource, key, moment))
        return AsItWas(position, body, self._applied(resource, key, position))

    async def position_at(self, time: datetime) -> int:
        """The last position recorded at or before a time, 0 if none.

        Raises:
            event_store.log.reading.TimeAhead: more may still be recorded until then.
            TooManyReads: too many others wait.
            ViewUnavailable: the log cannot be read.
        """
        return await self.read(partial(reading.position_at, time=time))

    async def read(self, read: Callable[[Connection], Answer]) -> Answer:
        """What `read` answers in a thread, given a connection in autocommit mode.

        Raises:
            TooManyReads: too many others wait.
            ViewUnavailable: the log cannot be read.
            BuildGone: a table is not there any longer.
        """
        if self._waiting >= PAST_WAITING_MAX:
            raise TooManyReads("too many reads of the past are waiting")
        self._waiting += 1
        try:
            async with self._slots:
                return await asyncio.to_thread(self._run, read)
        finally:
            self._waiting -= 1

    def _run(self, read: Callable[[Connection], Answer]) -> Answer:
        try:
            with self._pool.connection() as connection:
                return read(connection)
        except errors.UndefinedTable as error:
            raise BuildGone("a build's table is gone") from error
        except (psycopg.OperationalError, PoolTimeout) as error:
            raise ViewUnavailable(f"the log cannot be read: {type(error).__name__}") from error

    def _applied(self, resource: Resource, key: str, position: int) -> str:
        snapshot = self._poller.latest
        generation = max(snapshot.partitions)
        partition = partition_of(resource.partition_key(key) or "", snapshot.partitions[generation])
        return PositionToken(snapshot.epoch, generation, {partition: position}).encode()


def _folded(
    connection: Connection, resource: Resource, key: str, moment: int | datetime
) -> tuple[int, bytes | None]:
    position = _position(connection, moment)
    try:
        row = replay.fold_prefix(connection, resource.view, (key,), upto=position)
    except FoldFailed as error:
        detail = (
            f"The event at position {error.position} cannot be folded, so nothing is known of later ones."
        )
        raise ProblemError("stale-read", detail, parked_at=error.position) from error
    return position, None if row is None else _encode(row)


def _moment(as_of: str) -> int | datetime:
    if _is_position(as_of):
        return int(as_of)
    try:
        return rfc3339.moment(as_of)
    except ValueError as error:
        hint = " A plus sign in an address is written %2B." if " " in as_of else ""
        detail = f"as_of is a position of the log, or an RFC 3339 time with offset such as 2026-01-31T12:00:00Z.{hint}"
        raise invalid_parameter("as_of", detail) from error


def _position(connection: Connection, moment: int | datetime) -> int:
    if isinstance(moment, datetime):
        try:
            return reading.position_at(connection, moment)
        except reading.TimeAhead as error:
            raise invalid_parameter("as_of", f"{error}: the answer could still change") from error
    head = reading.head(connection).position
    if moment > head:
        fault = Fault(detail=f"The log ends at position {head}", parameter="as_of")
        raise problems.of_fault("position-beyond-head", fault, head=head)
    return moment
