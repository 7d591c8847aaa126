"""Turns: commands on one stream go one after another inside a process, in the order in which they came.

Without turns, commands that meet on a stream would all be decided on the same version, and all but one again.
"""

import asyncio
from collections import deque


class Turns:
    """A first-come, first-served queue per stream. A stream that nobody waits for costs nothing."""

    def __init__(self) -> None:
        self._queues: dict[str, deque[asyncio.Future[None]]] = {}

    async def take(self, stream: str) -> None:
        """Wait for the turn on a stream; whoever has it must give it back."""
        queue = self._queues.get(stream)
        if queue is None:
            self._queues[stream] = deque()
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give(stream)  # the turn came in the same moment: it must not be lost
            raise

    def give(self, stream: str) -> None:
        """Let the next one have its turn."""
        queue = self._queues[stream]
        while queue:
            turn = queue.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        del self._queues[stream]
