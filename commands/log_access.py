"""The parts of deciding and appending on one log, opened together: reader, states, poller, writer."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar

from msgspec import Struct
from prometheus_client import CollectorRegistry

from commands.execution import Execution
from commands.log_polling import LogPoller
from commands.log_reading import LogReader
from commands.states import States
from runtime import database
from runtime.database import Role

T = TypeVar("T")


class Opened(Struct, frozen=True):
    """One writer on one log, with reader, states and poller."""

    reader: LogReader
    states: States
    poller: LogPoller
    execution: Execution


@contextlib.asynccontextmanager
async def opened(
    url: str, *, role: Role, name: str, readers: int, registry: CollectorRegistry | None = None
) -> AsyncIterator[Opened]:
    """Open all parts; at the end requests in flight are finished.

    Args:
        url: the log's database.
        role: of the sessions that read.
        name: of the sessions: `<name> reader` and `<name> writer`.
        readers: connections for reading.
        registry: where conflicts are counted.

    Raises:
        LogUnreachable, StoreUnavailable: the log cannot be reached.
    """
    pooled = database.pool(url, role=role, name=f"{name} reader", size=readers, settings=database.LOOKUPS)
    async with pooled as pool:
        reader = LogReader(pool)
        states = States(reader)
        poller = LogPoller(reader, log_state=await reader.log_state(), on_new_epoch=states.drop_all)
        writing = Execution.open(
            url, name=f"{name} writer", reader=reader, states=states, poller=poller, registry=registry
        )
        async with writing as execution:
            yield Opened(reader, states, poller, execution)


class Aside:
    """The event loop of a consumer's thread: it runs only while the thread waits for it, from round to round."""

    def __init__(self) -> None:
        """Nothing is opened yet."""
        self.running: set[asyncio.Task[Any]] = set()
        """Tasks that have not been seen to end."""
        self._runner = asyncio.Runner()
        self._opened = contextlib.AsyncExitStack()

    def open(self, opening: contextlib.AbstractAsyncContextManager[T]) -> T:
        """Enter a block that ends when this is closed; closes everything if that fails."""
        try:
            return self.run(self._opened.enter_async_context(opening))
        except BaseException:
            self.close()
            raise

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run the loop until `work` is done; other tasks continue meanwhile."""
        return self._runner.run(work)

    def begin(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Begin something, from within the loop."""
        task = asyncio.get_running_loop().create_task(work)
        self.running.add(task)
        return task

    async def ended(self, *, within_s: float) -> set[asyncio.Task[Any]]:
        """The tasks that have ended; waits for the first."""
        if not self.running:
            return set()
        ended, self.running = await asyncio.wait(
            self.running, timeout=within_s, return_when=asyncio.FIRST_COMPLETED
        )
        return ended

    def close(self, *, grace_s: float = 0.0) -> None:
        """Wait for running tasks for a limited time, cancel the rest, then leave the blocks."""
        try:
            self.run(self._closed(grace_s))
        finally:
            self._runner.close()

    async def _closed(self, grace_s: float) -> None:
        if self.running and grace_s:
            _, self.running = await asyncio.wait(self.running, timeout=grace_s)
        for task in self.running:
            task.cancel()
        await asyncio.gather(*self.running, return_exceptions=True)
        await self._opened.aclose()
