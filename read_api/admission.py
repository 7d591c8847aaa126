"""What happens before a read with a token: impossible tokens are refused, and what can come is waited for.

Where the caller prefers `until=settled`, the token grows first: by everything that came of the commands it names.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Final

from msgspec import structs

from event_store.consumers import settling
from event_store.consumers.settling import Effects, Followers
from event_store.partitioning import partition_of
from event_store.position_token import PositionToken
from read_api import freshness
from read_api.connections import AsyncConnection, Connections
from read_api.freshness import Wish
from read_api.watching import Watch

LOOK_FIRST_S: Final = 0.01
LOOK_MAX_S: Final = 0.1
LOOK_GROWTH: Final = 1.5
"""Pauses between two looks at what came of a command."""


class Admission:
    """Admits reads of one process."""

    def __init__(self, watch: Watch, connections: Connections, *, followers: Followers) -> None:
        """`followers` are the consumers whose outcomes tell what came of a command."""
        self._watch = watch
        self._connections = connections
        self._followers = followers

    async def admit(self, wished: Wish, *, views: Sequence[str]) -> Wish:
        """Wait for what is wished as long as the caller allows; the wish that the answer has to fulfil.

        Returning does not mean that its token is reached: the snapshot that is read decides (`freshness.require`).

        Raises:
            ProblemError: `position-lost`, `position-beyond-head`, `malformed-token`.
            ViewUnavailable: the token cannot be judged because the database does not answer.
        """
        if wished.token is None:
            return wished
        give_up_s = time.monotonic() + wished.wait_s
        await freshness.refuse_impossible(wished.token, self._watch)
        if wished.until_settled:
            wished = await self._settled(wished, wished.token, give_up_s=give_up_s)
        if wished.wait_s:
            await freshness.wait(
                wished, self._watch, views=views, timeout_s=max(0.0, give_up_s - time.monotonic())
            )
        return wished

    async def _settled(self, wished: Wish, token: PositionToken, *, give_up_s: float) -> Wish:
        pause_s = LOOK_FIRST_S
        while True:
            found = await self._connections.run(lambda connection: self._effects(connection, token))
            left_s = give_up_s - time.monotonic()
            if found.wait_is_over or left_s <= 0 or self._watch.draining:
                break
            await asyncio.sleep(min(pause_s, left_s))
            pause_s = min(LOOK_MAX_S, pause_s * LOOK_GROWTH)
        return structs.replace(wished, token=self._extended(token, found), settled=found.header)

    async def _effects(self, connection: AsyncConnection, token: PositionToken) -> Effects:
        """What came of the commands that recorded the events at the token's positions."""
        requests = {
            request
            for position in sorted(set(token.partitions.values()))
            if (request := await settling.request_of(connection, position)) is not None
        }
        return settling.together(
            [
                await settling.effects_of(connection, first, last, followers=self._followers)
                for first, last in sorted(requests)
            ]
        )

    def _extended(self, token: PositionToken, found: Effects) -> PositionToken:
        partitions, count = dict(token.partitions), self._watch.latest.partitions[token.generation]
        for event in found.events:
            partition = partition_of(event.partition_key, count)
            partitions[partition] = max(event.position, partitions.get(partition, 0))
        return structs.replace(token, partitions=partitions)
