"""Connections to Postgres for reading: every read has a deadline, whatever the server does.

A read that misses its deadline is hung up on: its socket is shut down, so the driver sees a lost connection at once.
Cancelling it would wait for the very server that does not answer.
"""

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import psycopg
import psycopg_pool
from psycopg import errors

from read_api.errors import BuildGone, TooManyReads, TooSlow, ViewUnavailable
from runtime import database
from runtime.breaker import Breaker

READ_TIMEOUT_S: Final = 3.0
"""From asking for a connection to the last row."""

CONNECTION_WAIT_S: Final = 1.0
"""How long a read may wait for others to give a connection back, or for a lost one to be replaced."""

HELD_WAIT_S: Final = 5.0
"""How long it may take to get a connection to hold, which may have to be made first."""

STATEMENT_TIMEOUT: Final = "2500ms"
"""The server's own limit for one statement, within the read's."""

CLOSE_TIMEOUT_S: Final = 2.0

AsyncConnection = psycopg.AsyncConnection[tuple[Any, ...]]
Answer = TypeVar("Answer")


class Connections:
    """A pool of read-only connections behind a breaker. Use it as an async context manager."""

    def __init__(
        self,
        url: str,
        *,
        size: int,
        breaker: Breaker,
        idle: int = database.POOL_IDLE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare up to `size` connections to `url`, of which `idle` stay open; none is opened yet."""
        settings = {
            "statement_timeout": STATEMENT_TIMEOUT,
            "default_transaction_read_only": "on",
            "jit": "off",  # a search would be compiled for longer than it runs
        }
        self._pool = database.pool(
            url, role="counterfoil_reader", name="query-api", size=size, idle=idle, settings=settings
        )
        self._breaker = breaker
        self._clock = clock
        self._reads: dict[asyncio.Task[Any], AsyncConnection | None] = {}

    async def __aenter__(self) -> Self:
        """Open connections in the background: a process starts, degraded, without its database."""
        await self._pool.open(wait=False)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close all connections, those in use included."""
        for read in list(self._reads):
            self._end(read)
        await self._pool.close(timeout=CLOSE_TIMEOUT_S)

    async def run(self, read: Callable[[AsyncConnection], Awaitable[Answer]]) -> Answer:
        """What `read` answers, given a connection in autocommit mode.

        Raises:
            ViewUnavailable: the server cannot be reached, or not in time.
            BuildGone: a table is not there any longer.
            TooManyReads: all connections are in use.
        """
        return await self._in_time(self._read(read))

    @contextlib.asynccontextmanager
    async def held(self) -> AsyncIterator["HeldConnection"]:
        """A connection for several reads of one transaction, each with a deadline; it is rolled back at the end.

        Raises:
            ViewUnavailable: the server cannot be reached.
            TooManyReads: all connections are in use.
        """
        with self._translated():
            connection = await self._pool.getconn(timeout=HELD_WAIT_S)
        try:
            yield HeldConnection(self, connection)
        finally:
            # What is not rolled back in time was hung up on; the pool replaces it.
            with contextlib.suppress(ViewUnavailable):
                await self.on(connection, AsyncConnection.rollback)
            await self._pool.putconn(connection)

    async def on(
        self, connection: AsyncConnection, read: Callable[[AsyncConnection], Awaitable[Answer]]
    ) -> Answer:
        """What `read` answers, given a connection that is held.

        Raises:
            ViewUnavailable, BuildGone: as `run` does.
        """
        return await self._in_time(self._translating(connection, read))

    async def _in_time(self, read: Coroutine[Any, Any, Answer]) -> Answer:
        if not self._breaker.allows(self._clock()):
            read.close()
            raise ViewUnavailable("the database did not answer a moment ago")
        task = asyncio.create_task(read)
        self._reads[task] = None
        task.add_done_callback(self._forget)
        await asyncio.wait({task}, timeout=READ_TIMEOUT_S)
        if not task.done():
            self._end(task)
            self._breaker.failed(self._clock())
            raise ViewUnavailable(f"the database did not answer within {READ_TIMEOUT_S} s")
        return self._judged(task)

    def _judged(self, task: asyncio.Task[Answer]) -> Answer:
        """The task's answer or error; the breaker hears what it says about the server."""
        try:
            answer = task.result()
        except (BuildGone, TooSlow):
            self._breaker.succeeded()  # it answered, if only with a refusal
            raise
        except ViewUnavailable:
            self._breaker.failed(self._clock())
            raise
        self._breaker.succeeded()
        return answer

    async def _read(self, read: Callable[[AsyncConnection], Awaitable[Answer]]) -> Answer:
        with self._translated():
            async with self._pool.connection(timeout=CONNECTION_WAIT_S) as connection:
                return await self._translating(connection, read)

    async def _translating(
        self, connection: AsyncConnection, read: Callable[[AsyncConnection], Awaitable[Answer]]
    ) -> Answer:
        task = asyncio.current_task()
        assert task is not None, "a read runs in a task of its own"
        self._reads[task] = connection
        with self._translated():
            return await read(connection)

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """What the driver raises, as an error of ours."""
        try:
            yield
        except errors.UndefinedTable as error:
            raise BuildGone("a build's table is gone") from error
        except errors.UndefinedColumn as error:
            raise ViewUnavailable("the build that answers now has no such column") from error
        except errors.QueryCanceled as error:
            raise TooSlow("the database took too long for this read") from error
        except psycopg_pool.PoolTimeout as error:
            if any(self._reads.values()):
                raise TooManyReads("all connections to the database are in use") from error
            raise ViewUnavailable("the database cannot be reached") from error
        except (psycopg.OperationalError, psycopg_pool.PoolClosed) as error:
            raise ViewUnavailable(f"the database cannot be read: {type(error).__name__}") from error

    def _end(self, task: asyncio.Task[Any]) -> None:
        connection = self._reads.get(task)
        if connection is None:
            task.cancel()  # still waiting for a connection
        elif not connection.closed:
            _hang_up(connection)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        """Drop a finished read, and take note of its error, which nobody else does once it was given up."""
        self._reads.pop(task, None)
        if not task.cancelled():
            task.exception()


class HeldConnection:
    """A connection that is held; every read over it has a deadline."""

    def __init__(self, connections: Connections, connection: AsyncConnection) -> None:
        self._connections = connections
        self._connection = connection

    async def run(self, read: Callable[[AsyncConnection], Awaitable[Answer]]) -> Answer:
        """What `read` answers.

        Raises:
            ViewUnavailable: the server does not answer, or not in time.
            BuildGone: a table is not there any longer.
        """
        return await self._connections.on(self._connection, read)


def _hang_up(connection: AsyncConnection) -> None:
    """Make the connection's socket end, without closing the descriptor that the event loop watches."""
    with socket.socket(fileno=os.dup(connection.fileno())) as line:
        try:
            line.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # it ended by itself just now
