"""Documents by key from the cache, and the rule by which one is believed.

A document is believed as far as its partition's mirror checkpoint, fetched with it in the same MGET, and only while
that checkpoint is not behind what SQL had a second ago. A cache that was down, flushed, lost its tail or came back
with old content therefore answers nothing until its worker has mirrored anew. A missing document is no answer either:
only SQL says that something does not exist.
"""

import asyncio
import functools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import structlog

from event_store.transport.partitioning import partition_of
from event_store.transport.position_token import PositionToken
from read_api.errors import DocumentsUnavailable
from read_api.reading.coalescing import Coalescer
from read_api.reading.resource import Found, Resource
from read_api.standing import LiveBuild, Look, Standing
from read_api.watching import Watch
from runtime import documents as cache
from runtime.breaker import Breaker, BreakerState
from runtime.documents import AsyncDocuments

ANSWER_TIMEOUT_S: Final = 0.02
"""What a cache that does not answer may cost a read."""

FLIGHTS_MAX: Final = 2
"""Questions to the cache under way at once."""

KEYS_PER_READ_MAX: Final = 16
"""Keys that one read may ask for; a token that names more partitions is answered by SQL."""

KEYS_KEPT_MAX: Final = 1_024
"""Names of checkpoints kept; there are a few dozen at a time."""

log = structlog.get_logger()

Values = tuple[bytes | None, ...]


class DocumentCache:
    """The cache as all resources of a process share it: coalesced, with a deadline, behind a breaker."""

    def __init__(
        self, documents: AsyncDocuments, *, breaker: Breaker, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Ask `documents`; `clock` gives seconds."""
        self._documents = documents
        self._breaker = breaker
        self._clock = clock
        self._lost = False
        self._coalescer: Coalescer[tuple[str, ...], Values] = Coalescer(self._fetch, flights_max=FLIGHTS_MAX)

    @property
    def answers(self) -> bool:
        """Whether the cache answered when it was last asked."""
        return self._breaker.state is BreakerState.CLOSED

    async def get(self, keys: tuple[str, ...]) -> Values | None:
        """The values of these keys as of one moment; None when the cache cannot be asked now."""
        if not self._breaker.allows(self._clock()):
            return None
        try:
            return await self._coalescer.ask(keys)
        except DocumentsUnavailable:
            return None

    async def close(self) -> None:
        """Cancel those who wait and let go of connections."""
        await self._coalescer.close()
        await self._documents.close()

    async def _fetch(self, asked: Sequence[tuple[str, ...]]) -> Mapping[tuple[str, ...], Values]:
        """All keys of a batch in one MGET, so that documents and their checkpoints are of one moment."""
        distinct = list(dict.fromkeys(key for keys in asked for key in keys))
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                values = await self._documents.get_many(distinct)
        except (TimeoutError, cache.DocumentsUnavailable) as error:
            self._breaker.failed(self._clock())
            self._note(str(error) or f"no answer within {ANSWER_TIMEOUT_S} s")
            raise DocumentsUnavailable(str(error) or "too slow") from error
        self._breaker.succeeded()
        self._note("")
        found = dict(zip(distinct, values, strict=True))
        return {keys: tuple(found[key] for key in keys) for keys in asked}

    def _note(self, reason: str) -> None:
        """Log that the cache went or came back, once each."""
        if self._lost and self.answers:
            log.info("document_cache_answers_again")
        elif not self._lost and not self.answers:
            log.warning("document_cache_lost", reason=reason)
        self._lost = not self.answers


class DocumentsByKey:
    """Documents of one resource."""

    def __init__(self, resource: Resource, *, documents: DocumentCache, watch: Watch) -> None:
        """Read documents of the build that `watch` says is live."""
        assert resource.view.document is not None, "only views with a document are kept in the cache"
        self._resource = resource
        self._name: str = resource.view.document
        self._documents = documents
        self._watch = watch

    async def read(self, key: str, token: PositionToken | None) -> Found | None:
        """The document of an id, or its tombstone; None when SQL has to answer.

        A token asks for a document that has everything in its partitions.
        """
        look = self._watch.latest
        build = look.builds.get(self._resource.view.name)
        partition_key = self._resource.partition_key(key)
        # What is parked is known as far as the latest look goes, so that is how far an answer from here may go.
        if build is None or partition_key is None or build.may_be_parked(partition_key):
            return None
        count = look.partitions.get(build.standing.generation, 0)
        if not count or not _known_to_have(token, build.standing):
            return None
        own = partition_of(partition_key, count)
        if own not in build.standing.positions:
            return None
        partitions = (own, *(p for p in (token.partitions if token else ()) if p != own))
        if len(partitions) >= KEYS_PER_READ_MAX:
            return None
        values = await self._documents.get(self._keys(key, partitions, look, build))
        return None if values is None else self._believed(values, partitions, token, look, build)

    def _keys(self, key: str, partitions: Sequence[int], look: Look, build: LiveBuild) -> tuple[str, ...]:
        prefix = _prefix(self._name, look.installation, look.epoch, build.id.label)
        return (cache.document_key(prefix, key), *[_checkpoint_key(prefix, p) for p in partitions])

    def _believed(
        self,
        values: Values,
        partitions: Sequence[int],
        token: PositionToken | None,
        look: Look,
        build: LiveBuild,
    ) -> Found | None:
        document, *points = values
        if document is None or None in points:
            return None
        try:
            position, body = cache.parse_document(document)
            mirrored = {
                p: cache.parse_checkpoint(point).position
                for p, point in zip(partitions, points, strict=True)
                if point is not None
            }
        except ValueError:
            return None  # not written by a worker of ours
        own = partitions[0]
        if mirrored[own] < self._bound(own, build):
            return None
        if token is not None and any(mirrored[p] < at for p, at in token.partitions.items()):
            return None
        stood = build.standing
        positions = {p: min(at, stood.positions[p]) for p, at in mirrored.items()}
        return Found(
            build=build.id,
            body=body,
            position=position,
            standing=Standing(look.epoch, stood.generation, positions),
        )

    def _bound(self, partition: int, build: LiveBuild) -> int:
        """What the mirror must have: what SQL had a second ago, or has now if partitions were counted anew since."""
        before = self._watch.settled.builds.get(build.id.view, build)
        if before.standing.generation != build.standing.generation:
            before = build
        return before.standing.positions[partition]


@functools.lru_cache(maxsize=KEYS_KEPT_MAX)
def _prefix(name: str, installation: str, epoch: int, label: str) -> str:
    return cache.prefix(name, installation=installation, epoch=epoch, build=label)


@functools.lru_cache(maxsize=KEYS_KEPT_MAX)
def _checkpoint_key(prefix: str, partition: int) -> str:
    return cache.checkpoint_key(prefix, partition=partition)


def _known_to_have(token: PositionToken | None, standing: Standing) -> bool:
    """Whether the latest look saw the token reached, partition by partition."""
    if token is None:
        return True
    return token.generation == standing.generation and all(
        standing.positions.get(p, -1) >= at for p, at in token.partitions.items()
    )
