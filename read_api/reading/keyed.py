"""Reading by id: the document cache first, SQL whenever the cache is not to be trusted."""

from collections.abc import Sequence

from event_store.transport.position_token import PositionToken
from projections.storing import BuildId
from read_api.connections import AsyncConnection, Connections
from read_api.metrics import ReadMetrics
from read_api.polling import CheckpointPoller
from read_api.reading.documents import DocumentCache, DocumentsByKey
from read_api.reading.resource import Found, Resource
from read_api.reading.rows import RowsByKey


class KeyedReader:
    """Answers for the ids of one resource."""

    def __init__(
        self,
        resource: Resource,
        *,
        connections: Connections,
        poller: CheckpointPoller,
        documents: DocumentCache | None,
        metrics: ReadMetrics,
    ) -> None:
        """Read from `documents`, unless there are none, and from the database behind `connections`."""
        self.resource = resource
        self._reads = metrics.of(resource.view.name)
        self._rows = RowsByKey(resource, connections=connections, poller=poller)
        self._documents = (
            DocumentsByKey(resource, documents=documents, poller=poller)
            if documents is not None and resource.view.document is not None
            else None
        )

    def cached(self, key: str) -> Found | None:
        """What the live build has for an id, if the client-side cache has it."""
        if self._documents is None:
            return None
        found = self._documents.cached(key)
        if found is not None:
            self._reads.client_cache.inc()
        return found

    async def read(self, key: str, *, token: PositionToken | None = None) -> Found:
        """What the live build has for an id.

        With a token the answer comes from where the token is reached, if that can be had; the caller still has to
        check the answer's checkpoints.

        Raises:
            ViewUnavailable: neither the cache nor the database can answer.
            TooManyReads: too many others wait.
        """
        if self._documents is None:
            return await self._read_rows(key)
        found = self.cached(key) if token is None else None
        if found is not None:
            return found
        cached = await self._documents.read(key, token)
        if isinstance(cached, Found):
            self._reads.cache.inc()
            return cached
        found = await self._read_rows(key)
        if cached is not None:
            self._documents.fill(cached, found)
        return found

    async def read_own(self, key: str, *, owner: str, token: PositionToken | None = None) -> Found:
        """What the live build has for an id, if it is `owner`'s.

        What is somebody else's is found as what there is not: by the same question to the database, which answers no
        row, wherever else it is kept.

        Raises:
            ViewUnavailable: the database cannot answer.
            TooManyReads: too many others wait.
        """
        found = self.cached(key) if token is None else None
        if found is not None and self.is_own(found, owner):
            return found
        self._reads.sql.inc()
        return await self._rows.read_own(key, owner)

    async def read_on(
        self, connection: AsyncConnection, build: BuildId, keys: Sequence[str], *, owner: str | None
    ) -> dict[str, Found]:
        """What a build has for these ids in the snapshot of a connection; with `owner` only what is theirs.

        Raises:
            BuildGone: the build is not there any longer.
        """
        self._reads.sql.inc(len(keys))
        return await self._rows.read_on(connection, build, keys, owner=owner) if keys else {}

    def is_own(self, found: Found, owner: str) -> bool:
        """Whether what was found is there, and somebody's."""
        return found.body is not None and self.resource.belongs_to(owner, found.body)

    async def _read_rows(self, key: str) -> Found:
        found = await self._rows.read(key)
        self._reads.sql.inc()
        return found

    async def close(self) -> None:
        """Cancel those who wait."""
        await self._rows.close()
