"""Stream locks: commands on one stream go one after another inside a process, in the order in which they came.

Without locks, commands that meet on a stream would all be decided on the same version, and all but one again.
"""

import asyncio
from collections import deque


class StreamLocks:
    """A first-come, first-served queue per stream. A stream that nobody waits for costs nothing."""

    def __init__(self) -> None:
        self._queues: dict[str, deque[asyncio.Future[None]]] = {}

    async def take(self, stream: str) -> None:
        """Wait for the lock on a stream; its holder must give it back."""
        queue = self._queues.get(stream)
        if queue is None:
            self._queues[stream] = deque()
            return
        lock: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(lock)
        try:
            await lock
        except asyncio.CancelledError:
            if lock.done() and not lock.cancelled():
                self.give(stream)  # the lock came in the same moment: it must not be lost
            raise

    def give(self, stream: str) -> None:
        """Pass the lock to the next caller."""
        queue = self._queues[stream]
        while queue:
            lock = queue.popleft()
            if not lock.done():
                lock.set_result(None)
                return
        del self._queues[stream]
