"""What happens before a read with a token: impossible tokens are refused, and what can come is waited for.

Where the caller prefers `until=settled`, the token grows first: by everything that came of the commands it names.
"""

import time
from collections.abc import Sequence

from msgspec import structs

from event_store.consumers import settling
from event_store.consumers.settling import Effects, ReactingConsumers
from event_store.transport.partitioning import partition_of
from event_store.transport.position_token import PositionToken
from read_api import freshness
from read_api.connections import AsyncConnection, Connections
from read_api.freshness import Wish
from read_api.polling import CheckpointPoller


class Admission:
    """Admits reads of one process."""

    def __init__(
        self, poller: CheckpointPoller, connections: Connections, *, followers: ReactingConsumers
    ) -> None:
        """`followers` are the consumers whose outcomes tell what came of a command."""
        self._poller = poller
        self._connections = connections
        self._followers = followers

    async def admit(self, wished: Wish, *, views: Sequence[str], at_one_position: bool = False) -> Wish:
        """Wait for what is wished as long as the caller allows; the wish that the answer has to fulfil.

        Returning does not mean that its token is reached: the snapshot that is read decides (`freshness.require`). An
        answer `at_one_position` of the log has what the token names only when every partition is that far.

        Raises:
            ProblemError: `position-lost`, `position-beyond-head`, `malformed-token`.
            ViewUnavailable: the token cannot be judged because the database does not answer.
        """
        if wished.token is None:
            return wished
        give_up_s = time.monotonic() + wished.wait_s
        await freshness.refuse_impossible(wished.token, self._poller, waits=wished.wait_s > 0)
        if wished.until_settled:
            wished = await self._settled(wished, wished.token, give_up_s=give_up_s)
        if at_one_position and wished.token is not None:
            wished = structs.replace(wished, token=self._of_all_partitions(wished.token))
        if wished.wait_s:
            await freshness.wait(
                wished, self._poller, views=views, timeout_s=max(0.0, give_up_s - time.monotonic())
            )
        return wished

    async def _settled(self, wished: Wish, token: PositionToken, *, give_up_s: float) -> Wish:
        requests = await self._connections.run(lambda connection: _requests(connection, token))
        found = await settling.settled(
            lambda: self._connections.run(lambda connection: self._effects(connection, requests)),
            wait_s=give_up_s - time.monotonic(),
            leaving=lambda: self._poller.draining,
        )
        return structs.replace(wished, token=self._extended(token, found), settled=found.header)

    async def _effects(self, connection: AsyncConnection, requests: Sequence[tuple[int, int]]) -> Effects:
        return settling.together(
            [
                await settling.effects_of(connection, first, last, followers=self._followers)
                for first, last in requests
            ]
        )

    def _extended(self, token: PositionToken, found: Effects) -> PositionToken:
        partitions, count = dict(token.partitions), self._poller.latest.partitions[token.generation]
        for event in found.events:
            partition = partition_of(event.partition_key, count)
            partitions[partition] = max(event.position, partitions.get(partition, 0))
        return structs.replace(token, partitions=partitions)

    def _of_all_partitions(self, token: PositionToken) -> PositionToken:
        partitions = range(self._poller.latest.partitions[token.generation])
        return structs.replace(token, partitions=dict.fromkeys(partitions, token.highest))


async def _requests(connection: AsyncConnection, token: PositionToken) -> Sequence[tuple[int, int]]:
    """First and last position of the appends that the events at the token's positions came with."""
    found = [await settling.request_of(connection, position) for position in set(token.partitions.values())]
    return sorted({request for request in found if request is not None})
