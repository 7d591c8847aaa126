"""Connections to Postgres for reading: every read has a deadline, and a server that does not answer is left alone.

A read that misses its deadline is abandoned, not cancelled: cancelling waits for the very server that does not
answer. Its connection stays out of the pool until the server speaks again, so the pool's size bounds what can hang.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import psycopg
import psycopg_pool
from psycopg import errors

from read_api.errors import BuildGone, ViewUnavailable
from runtime import database
from runtime.breaker import Breaker

READ_TIMEOUT_S: Final = 3.0
"""From asking for a connection to the last row."""

STATEMENT_TIMEOUT: Final = "3s"
"""The server's own limit for one statement."""

CLOSE_TIMEOUT_S: Final = 2.0

AsyncConnection = psycopg.AsyncConnection[tuple[Any, ...]]
Answer = TypeVar("Answer")


class Connections:
    """A pool of read-only connections behind a breaker. Use it as an async context manager."""

    def __init__(
        self, url: str, *, size: int, breaker: Breaker, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Prepare up to `size` connections to `url`; none is opened yet."""
        settings = {"statement_timeout": STATEMENT_TIMEOUT, "default_transaction_read_only": "on"}
        self._pool = database.pool(
            url, role="counterfoil_reader", name="query-api", size=size, settings=settings
        )
        self._breaker = breaker
        self._clock = clock
        self._reads: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> Self:
        """Open connections in the background: a process starts, degraded, without its database."""
        await self._pool.open(wait=False)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close all connections, abandoned ones included."""
        for read in list(self._reads):
            read.cancel()
        await self._pool.close(timeout=CLOSE_TIMEOUT_S)

    async def run(self, read: Callable[[AsyncConnection], Awaitable[Answer]]) -> Answer:
        """What `read` answers, given a connection in autocommit mode.

        Raises:
            ViewUnavailable: the server cannot be reached, or not in time.
            BuildGone: a table is not there any longer.
        """
        if not self._breaker.allows(self._clock()):
            raise ViewUnavailable("the database did not answer a moment ago")
        task = asyncio.create_task(self._read(read))
        self._reads.add(task)
        task.add_done_callback(self._reads.discard)
        await asyncio.wait({task}, timeout=READ_TIMEOUT_S)
        if not task.done():
            task.add_done_callback(_forget)
            self._breaker.failed(self._clock())
            raise ViewUnavailable(f"the database did not answer within {READ_TIMEOUT_S} s")
        try:
            answer = task.result()
        except BuildGone:
            raise
        except ViewUnavailable:
            self._breaker.failed(self._clock())
            raise
        self._breaker.succeeded()
        return answer

    async def _read(self, read: Callable[[AsyncConnection], Awaitable[Answer]]) -> Answer:
        try:
            async with self._pool.connection(timeout=READ_TIMEOUT_S) as connection:
                return await read(connection)
        except errors.UndefinedTable as error:
            raise BuildGone("a build's table is gone") from error
        except (psycopg.OperationalError, psycopg_pool.PoolTimeout, psycopg_pool.PoolClosed) as error:
            raise ViewUnavailable(f"the database cannot be read: {type(error).__name__}") from error


def _forget(task: asyncio.Task[Any]) -> None:
    """Take note of an abandoned read's error, which nobody else will."""
    if not task.cancelled():
        task.exception()
