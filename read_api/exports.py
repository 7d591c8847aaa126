"""The few connections over which whole lists are read: each is held, with its snapshot, as long as an export runs."""

import contextlib
from collections.abc import AsyncIterator
from typing import Final

from read_api.connections import Connections, HeldConnection
from read_api.errors import TooManyReads

EXPORTS_MAX: Final = 2
"""Exports under way at once in one process; more are refused."""

_BEGIN: Final = "begin isolation level repeatable read, read only"


class Exports:
    """The connections of exports, and how many are under way."""

    def __init__(self, connections: Connections) -> None:
        """Read over `connections`, of which each export takes one."""
        self._connections = connections
        self._under_way = 0

    @contextlib.asynccontextmanager
    async def snapshot(self) -> AsyncIterator[HeldConnection]:
        """A connection inside a transaction that sees one snapshot.

        Raises:
            TooManyReads: too many exports are under way.
            ViewUnavailable: the database does not answer.
        """
        if self._under_way >= EXPORTS_MAX:
            raise TooManyReads("too many exports are under way")
        self._under_way += 1
        try:
            async with self._connections.held() as held:
                await held.run(lambda connection: connection.execute(_BEGIN))
                yield held
        finally:
            self._under_way -= 1
