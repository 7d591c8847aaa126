"""What every route reads through: connections, the poller over live views, and the document cache."""

import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Annotated, Any, Final, TypeVar

from fastapi import Depends, Request
from prometheus_client import CollectorRegistry
from psycopg import IsolationLevel

from event_store.consumers import parking
from event_store.consumers.settling import ReactingConsumers
from event_store.log.erasures import erased_behind
from projections.view import View
from read_api import checkpoints
from read_api.admission import Admission
from read_api.checkpoints import CheckpointSnapshot, LiveBuild
from read_api.connections import AsyncConnection, Connections
from read_api.errors import BuildGone, ReadError, ViewUnavailable
from read_api.exports import EXPORTS_MAX, Exports
from read_api.metrics import ReadMetrics, observe_client_cache, observe_servers
from read_api.moves import Moves
from read_api.polling import CheckpointPoller
from read_api.reading.documents import DocumentCache
from read_api.reading.keyed import KeyedReader
from read_api.reading.resource import Resource
from read_api.reveal import Open, Reveal
from runtime.breaker import Breaker
from runtime.http.routes import CONFINED_TO
from runtime.keyring import keyring as keyrings
from runtime.keyring.errors import KeyringError, KeysUnreachable, NoKeyDatabase
from runtime.keyring.keyring import Erasures, Keyring, SealedField, Unopened
from runtime.problems import ProblemError
from runtime.settings import Settings, SettingsError
from runtime.telemetry import Readiness
from runtime.tracked_documents import TrackedDocuments

MEGABYTE: Final = 1024 * 1024

Answer = TypeVar("Answer")
Read = Callable[[AsyncConnection, CheckpointSnapshot], Awaitable[Answer]]


def _opening(keyring: Keyring) -> Open:
    """Opens personal data; without its keys there is no answer."""

    async def opening(fields: Sequence[SealedField]) -> Sequence[str | Unopened]:
        try:
            return await keyring.open(fields)
        except KeyringError as error:
            raise ViewUnavailable(str(error)) from error

    return opening


class Reads:
    """Everything that is opened once per process. Use `opened` around the time in which requests are answered."""

    def __init__(
        self, settings: Settings, *, followers: ReactingConsumers, registry: CollectorRegistry
    ) -> None:
        """Prepare connections; nothing is opened yet. Figures go to `registry`.

        `followers` are the consumers whose outcomes tell what came of a command.

        Raises:
            SettingsError: the settings name none.
        """
        if settings.database_url is None:
            raise SettingsError("COUNTERFOIL_DATABASE_URL: the query API needs a database")
        self._settings = settings
        self.time_zone = settings.time_zone
        self.url = url = settings.database_url.get_secret_value()
        self.connections = Connections(url, size=settings.database_pool_size, breaker=Breaker())
        # A connection of its own: lists that take all others must not make the checkpoints of every view old.
        self._polling = Connections(url, size=1, breaker=Breaker())
        # Nor must exports, which take as long as their readers like.
        self._exporting = Connections(url, size=EXPORTS_MAX, idle=0, breaker=Breaker())
        self.exports = Exports(self._exporting)
        self.readiness = Readiness(self._ready)
        self._moves = Moves(url)
        self.poller = CheckpointPoller(
            self._polling, moves=self._moves, draining=lambda: self.readiness.draining
        )
        self.opening: Open | None = None
        self.keyring: Keyring | None = None
        self.admission = Admission(self.poller, self.connections, followers=followers)
        self.documents = (
            None
            if settings.redis_url is None
            else DocumentCache(
                TrackedDocuments(
                    settings.redis_url.get_secret_value(),
                    cache_bytes_max=settings.redis_client_cache_mb * MEGABYTE,
                ),
                breaker=Breaker(),
            )
        )
        self._readers: list[KeyedReader] = []
        self._metrics = ReadMetrics(registry)
        cache = self.documents
        if cache is not None:
            observe_client_cache(registry, size_bytes=lambda: cache.cached_bytes)
        observe_servers(
            registry,
            postgres=lambda: self.poller.sees,
            redis=None if cache is None else lambda: cache.answers,
        )

    def keyed(self, resource: Resource) -> KeyedReader:
        """A reader by id."""
        reader = KeyedReader(
            resource,
            connections=self.connections,
            poller=self.poller,
            documents=self.documents,
            metrics=self._metrics,
        )
        self._readers.append(reader)
        return reader

    def reveal(self, view: View[Any]) -> Reveal:
        """The step that shows the personal data of a view."""
        return Reveal(view, lambda: self.opening)

    async def email_digest(self, address: str) -> str:
        """The keyed hash by which an address is found.

        Raises:
            ProblemError: `no-key-database`: nobody's address was ever taken.
            ViewUnavailable: its key cannot be read now.
        """
        if self.keyring is None:
            raise ProblemError("no-key-database", f"{NoKeyDatabase()}.")
        try:
            return await self.keyring.lookup_digest("email", address)
        except KeyringError as error:
            raise ViewUnavailable(str(error)) from error

    async def require_own(self, resource: Resource, key: str, *, owner: str) -> None:
        """Refuse what is not there, or somebody else's, before anything is asked that takes longer for what is there.

        Raises:
            ProblemError: `not-found`.
            TooManyReads, ViewUnavailable: as every read by id.
        """
        reader = next(each for each in self._readers if each.resource == resource)
        if (await reader.read_own(key, owner=owner)).body is None:
            raise ProblemError("not-found", f"There is no {resource.noun} {key!r}.")

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Open everything, and close it at the end. Neither server need be there at the beginning."""
        async with (
            self.connections,
            self._polling,
            self._exporting,
            self._moves,
            self.poller,
            self._keys() as keyring,
        ):
            self.keyring, self.opening = keyring, None if keyring is None else _opening(keyring)
            try:
                yield
            finally:
                self.keyring, self.opening = None, None
                for reader in self._readers:
                    await reader.close()
                if self.documents is not None:
                    await self.documents.close()

    def _keys(self) -> contextlib.AbstractAsyncContextManager[Keyring | None]:
        """What opens personal data; None where no key database is configured."""

        async def erasures(position: int) -> Erasures:
            try:
                found = await self.connections.run(lambda connection: erased_behind(connection, position))
            except ReadError as error:
                raise KeysUnreachable(str(error)) from error
            return Erasures(found.epoch, found.position, found.key_ids)

        return keyrings.opened(
            self._settings, role="counterfoil_revealer", name="query-api", erasures=erasures
        )

    def _ready(self) -> bool:
        """Whether requests should come here.

        Without the cache SQL answers everything; without the database the cache still answers reads by id, once the
        views were seen.
        """
        cached = self.documents is not None and self.documents.answers
        return self.poller.sees or (self.poller.has_seen and cached)

    async def snapshot(self, read: Read[Answer]) -> tuple[CheckpointSnapshot, Answer]:
        """The checkpoints and what `read` answers, in one snapshot.

        Raises:
            ViewUnavailable: the database does not answer.
        """

        async def both(connection: AsyncConnection) -> tuple[CheckpointSnapshot, Answer]:
            if connection.isolation_level is not IsolationLevel.REPEATABLE_READ:
                await connection.set_isolation_level(IsolationLevel.REPEATABLE_READ)
            async with connection.transaction():
                snapshot = await snapshot_on(connection)
                return snapshot, await read(connection, snapshot)

        try:
            return await self.connections.run(both)
        except BuildGone:
            # Dropped between the pointer's snapshot and the first use of the table: the pointer has moved since.
            return await self.connections.run(both)


async def snapshot_on(connection: AsyncConnection) -> CheckpointSnapshot:
    """The checkpoints in the snapshot that the connection is in."""
    cursor = await connection.execute(checkpoints.SNAPSHOT, {"parked_max": parking.KEYS_SHOWN_MAX})
    row = await cursor.fetchone()
    assert row is not None, "log.head always has its one row"
    return checkpoints.read_snapshot(str(row[0]), seen_at=time.monotonic())


def live(snapshot: CheckpointSnapshot, view: str) -> LiveBuild:
    """The live build of a view.

    Raises:
        ViewUnavailable: none is live yet.
    """
    build = snapshot.builds.get(view)
    if build is None:
        raise ViewUnavailable(f"no build of {view} is live yet")
    return build


def _reads(request: Request) -> Reads:
    reads = request.scope["app"].state.reads
    assert isinstance(reads, Reads)
    return reads


OpenReads = Annotated[Reads, Depends(_reads)]
"""How a route asks for what the process opened."""


def _only_of(request: Request) -> str | None:
    only_of: str | None = request.scope[CONFINED_TO]
    return only_of


OnlyOf = Annotated[str | None, Depends(_only_of)]
"""How a route that requires `Owned` asks whose objects alone there are for its caller; None: everybody's."""
