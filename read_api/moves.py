"""Moves that views moved, so that a process in which somebody waits for one hardly polls.

Projections say so on a channel of Postgres, in the transaction that moves checkpoints. A connection can be lost without
a word, and a pooler can give it to others, so who waits looks again every now and then all the same.
"""

import asyncio
from types import TracebackType
from typing import Final, Self

import psycopg
import structlog
from psycopg import sql

from projections.checkpoints import MOVED
from runtime import database

LISTEN_AGAIN_S: Final = 1.0
"""The pause behind a connection that was lost or refused."""

log = structlog.get_logger()


class Moves:
    """Moves of views as they are heard, on a connection of its own. Use it as an async context manager."""

    def __init__(self, url: str) -> None:
        """Nothing is connected yet."""
        self.heard = False
        """Whether moves are heard now."""
        self._url = url
        self._next: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Start to listen."""
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening."""
        assert self._task is not None, "left without having been entered"
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    @property
    def next_move(self) -> "asyncio.Future[None]":
        """Done once views moved after this was asked for, as far as that is heard."""
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
        return self._next

    async def _run(self) -> None:
        while True:
            try:
                await self._listen()
            except psycopg.Error as error:
                if self.heard:
                    log.info("views_not_heard", reason=str(error))
            finally:
                self.heard = False
            await asyncio.sleep(LISTEN_AGAIN_S)

    async def _listen(self) -> None:
        connecting = database.connect_async(self._url, role="counterfoil_reader", name="query-api hints")
        async with await connecting as connection:
            await connection.execute(sql.SQL("listen {}").format(sql.Identifier(MOVED)))
            log.info("views_heard")
            self.heard = True
            self._announce()  # they may have moved while nobody listened
            async for _ in connection.notifies():
                self._announce()

    def _announce(self) -> None:
        moved, self._next = self._next, None
        if moved is not None:
            moved.set_result(None)
