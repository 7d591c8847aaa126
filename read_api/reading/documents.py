"""Documents by key: from this process, where the client-side cache has them, else from Redis or Valkey in one MGET.

`mirror` has the rule by which they are trusted. A missing document is no answer: only SQL says that something does
not exist.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import structlog
from msgspec import Struct

from event_store.transport.position_token import PositionToken
from read_api.errors import DocumentsUnavailable
from read_api.polling import CheckpointPoller
from read_api.reading.coalescing import Coalescer
from read_api.reading.mirror import MirroredDocuments
from read_api.reading.resource import Found, Resource
from runtime import documents as cache
from runtime.breaker import Breaker, BreakerState
from runtime.documents import Document
from runtime.tracked_documents import TrackedDocuments

ANSWER_TIMEOUT_S: Final = 0.02
"""What a cache that does not answer may cost a read."""

FLIGHTS_MAX: Final = 2
"""Questions to the cache under way at once."""

KEYS_PER_READ_MAX: Final = 16
"""Keys that one read may ask for; a token that names more partitions is answered by SQL."""

log = structlog.get_logger()

Values = tuple[bytes | None, ...]


class DocumentCache:
    """The cache as all resources of a process share it: coalesced, with a deadline, behind a breaker."""

    def __init__(
        self, documents: TrackedDocuments, *, breaker: Breaker, clock: Callable[[], float] = time.monotonic
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

    @property
    def cached_bytes(self) -> int:
        """Bytes in the client-side cache."""
        return self._documents.cached_bytes

    def cached(self, key: str) -> bytes | None:
        """The value of a document if this process has it."""
        return self._documents.cached(key)

    def cached_checkpoint(self, key: str, *, asked_since: float) -> bytes | None:
        """A checkpoint that this process asked for after a time of its clock."""
        return self._documents.cached_checkpoint(key, asked_since=asked_since)

    async def get(self, keys: tuple[str, ...]) -> Values | None:
        """The values of these keys as of one moment; None when the cache cannot be asked now."""
        if not self._breaker.allows(self._clock()):
            return None
        try:
            return await self._coalescer.ask(keys)
        except DocumentsUnavailable:
            return None

    def fill(self, document: Document, *, checkpoint_key: str, checkpoint: bytes) -> None:
        """Put back a document that was missed while this was the checkpoint, unless the cache is left alone now."""
        if self.answers:
            self._documents.fill(document, checkpoint_key=checkpoint_key, checkpoint=checkpoint)

    def keep(self, key: str, value: bytes, *, ttl_s: int) -> None:
        """Keep something for so many seconds that is no document, unless the cache is left alone now."""
        if self.answers:
            self._documents.keep(key, value, ttl_s=ttl_s)

    async def close(self) -> None:
        """Cancel those who wait and hang up."""
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


class MissedDocument(Struct, frozen=True):
    """A document that the cache did not have at this checkpoint of its partition."""

    id: str
    partition: int
    checkpoint: bytes
    mirror: MirroredDocuments


class _Asked(Struct, frozen=True):
    """A read of one id: the keys of its document and of the checkpoints of `partitions`, its own first."""

    id: str
    keys: tuple[str, ...]
    partitions: tuple[int, ...]
    token: PositionToken | None
    mirror: MirroredDocuments


class DocumentsByKey:
    """Documents of one resource."""

    def __init__(
        self,
        resource: Resource,
        *,
        documents: DocumentCache,
        poller: CheckpointPoller,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Read documents of the build that `poller` says is live; `clock` is that of `documents`."""
        assert resource.view.document is not None, "only views with a document are kept in the cache"
        self._resource = resource
        self._name: str = resource.view.document
        self._documents = documents
        self._poller = poller
        self._clock = clock
        self._mirror: MirroredDocuments | None = None

    def cached(self, key: str) -> Found | None:
        """The document of an id, or its tombstone, if the client-side cache has it and it is trusted."""
        mirror, own = self._placed(key)
        if mirror is None or own is None:
            return None
        document = self._documents.cached(mirror.prefix + key)
        checkpoint = self._documents.cached_checkpoint(mirror.checkpoint_keys[own], asked_since=mirror.since)
        if document is None or checkpoint is None:
            return None
        return mirror.found(document, mirror.trusted(own, checkpoint))

    async def read(self, key: str, token: PositionToken | None) -> "Found | MissedDocument | None":
        """The document of an id, or its tombstone; otherwise SQL has to answer, also for what is `MissedDocument`.

        A token asks for a document that has everything in its partitions.
        """
        mirror, own = self._placed(key)
        if mirror is None or own is None or not mirror.may_have(token):
            return None
        partitions = (own, *(p for p in (token.partitions if token else ()) if p != own))
        if len(partitions) >= KEYS_PER_READ_MAX:
            return None
        keys = (mirror.prefix + key, *[mirror.checkpoint_keys[p] for p in partitions])
        asked = _Asked(key, keys, partitions, token, mirror)
        values = await self._documents.get(keys)
        return None if values is None else _found(values, asked)

    def fill(self, missing: "MissedDocument", found: Found) -> None:
        """Put back the document that SQL had after it was found missing."""
        mirror, stood = missing.mirror, found.checkpoints
        if not found.position or found.parked_at is not None:
            return
        if (found.build, stood.epoch, stood.generation) != mirror.names:
            return
        if not mirror.is_within(missing.checkpoint, stood.positions[missing.partition]):
            return
        document = Document(
            mirror.prefix + missing.id, found.position, found.body, self._resource.view.document_ttl_s
        )
        self._documents.fill(
            document,
            checkpoint_key=mirror.checkpoint_keys[missing.partition],
            checkpoint=missing.checkpoint,
        )

    def _placed(self, key: str) -> tuple[MirroredDocuments | None, int | None]:
        """The documents of the build that is live now, and the partition of an id; None where only SQL answers."""
        latest, settled = self._poller.latest, self._poller.settled
        mirror = self._mirror
        if mirror is None or mirror.latest is not latest or mirror.settled is not settled:
            same = mirror is not None and mirror.latest is latest
            since = mirror.since if mirror is not None and same else self._clock()
            mirror = MirroredDocuments.of(
                self._resource.view.name, self._name, latest=latest, settled=settled, since=since
            )
            self._mirror = mirror
        partition_key = self._resource.partition_key(key)
        if mirror is None or partition_key is None:
            return None, None
        return mirror, mirror.partition(partition_key)


def _found(values: Values, asked: _Asked) -> Found | MissedDocument | None:
    document, *found = values
    checkpoints = {p: value for p, value in zip(asked.partitions, found, strict=True) if value is not None}
    if len(checkpoints) < len(asked.partitions):
        return None
    own = asked.partitions[0]
    if document is None:
        return MissedDocument(asked.id, own, checkpoints[own], asked.mirror)
    return asked.mirror.found(document, asked.mirror.trusted_with(asked.token, own, checkpoints))
