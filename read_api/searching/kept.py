"""Answers of searches that are kept in Redis for a minute, so that what many ask is searched once.

Key: `<installation>:product:search:list:<filter>:cursor:<c>:size:<n>`; `<filter>` is a digest of the question and of
the builds that answer it. A value begins with a digest under a key that only processes of the installation can have, so
what anybody else wrote is no answer. It holds the position that it goes up to: it is an answer only while no event of
the catalogue came behind that, which Postgres says. So an event clears all answers before it, also while Redis is away.
So does a movement of stock an answer that shows the SKU, once its last piece goes or its first one comes; counts, and
lists that an SKU comes into, are as old as the answer.
"""

import hashlib
import hmac
import json
import time
from collections.abc import Callable
from functools import cached_property
from typing import Final

import msgspec
from msgspec import Struct

from projections.storing import BuildId
from read_api.checkpoints import CheckpointSnapshot, covered
from read_api.connections import AsyncConnection
from read_api.reads import Reads
from read_api.searching.answering import VIEWS
from read_api.searching.questions import Question
from read_api.searching.search_sql import select_holds
from runtime import documents

TTL_S: Final = 60
"""How long an answer is kept: what is in stock again, and publications that start, come into lists without clearing
them."""

NAME: Final = "product:search:list:"
FIRST: Final = "first"
"""Stands for the cursor of a first page."""

_DIGEST_BYTES: Final = 16
_SCRYPT_COST: Final = 2**14


class KeptAnswer(Struct, frozen=True, array_like=True):
    """The body of an answer, its headers, the cursor of the next page, and which SKUs it shows to be in stock."""

    body: bytes
    headers: dict[str, str]
    next_cursor: str | None
    in_stock: dict[str, bool]


class Kept(Struct, frozen=True, array_like=True):
    """An answer, the position of the log that it goes up to, and when it was made (Unix time)."""

    position: int
    made_at: float
    answered: KeptAnswer


_decode: Final = msgspec.msgpack.Decoder(Kept).decode


class AnswerSlot(Struct, frozen=True):
    """Where the answer to a question is kept, and the table of the SKUs that it is made of."""

    key: str
    products: BuildId


class KeptAnswers:
    """Answers of searches in Redis, for all processes of an installation."""

    def __init__(self, reads: Reads, *, clock: Callable[[], float] = time.time) -> None:
        """Keep them where `reads` has its documents; nowhere without Redis."""
        self._reads = reads
        self._clock = clock
        self._encode = msgspec.msgpack.Encoder().encode

    def slot(self, question: Question) -> AnswerSlot | None:
        """Where the answer to a question is kept; None: nowhere."""
        if self._reads.documents is None:
            return None
        latest = self._reads.poller.latest
        builds = [latest.builds.get(view) for view in VIEWS]
        found = [build.id for build in builds if build is not None]
        if len(found) < len(VIEWS):
            return None
        asked = json.dumps([question.scope, latest.epoch, *map(str, found)])
        filtered = hashlib.blake2b(asked.encode(), digest_size=_DIGEST_BYTES).hexdigest()
        cursor = FIRST if question.cursor is None else _short(question.cursor)
        prefix = documents.installation_prefix(latest.installation)
        return AnswerSlot(f"{prefix}{NAME}{filtered}:cursor:{cursor}:size:{question.limit}", found[0])

    async def get(self, slot: AnswerSlot) -> KeptAnswer | None:
        """The answer that is kept, if it is one still.

        Raises:
            TooManyReads, ViewUnavailable: the database does not say whether it is.
        """
        cache = self._reads.documents
        assert cache is not None, "there is a slot only where there is a cache"
        value = cache.cached(slot.key)
        if value is None:
            values = await cache.get((slot.key,))
            value = None if values is None else values[0]
        kept = None if value is None else self._read(slot, value)
        if kept is None or not 0 <= self._clock() - kept.made_at < TTL_S:
            return None
        return kept.answered if await self._holds(slot, kept) else None

    def put(self, slot: AnswerSlot, snapshot: CheckpointSnapshot, answered: KeptAnswer) -> None:
        """Keep an answer that was made in a snapshot; nobody waits for it."""
        cache = self._reads.documents
        builds = [snapshot.builds[view] for view in VIEWS]
        if cache is None or slot.products != builds[0].id:
            return
        position = min(covered(build.checkpoints, None) for build in builds)
        value = self._encode(Kept(position, self._clock(), answered))
        cache.keep(slot.key, self._digest(slot, value) + value, ttl_s=TTL_S)

    def _read(self, slot: AnswerSlot, value: bytes) -> Kept | None:
        digest, body = value[:_DIGEST_BYTES], value[_DIGEST_BYTES:]
        if not hmac.compare_digest(digest, self._digest(slot, body)):
            return None
        try:
            return _decode(body)
        except msgspec.MsgspecError:
            return None  # of another release

    def _digest(self, slot: AnswerSlot, value: bytes) -> bytes:
        said = slot.key.encode() + b"\x00" + value
        return hashlib.blake2b(said, digest_size=_DIGEST_BYTES, key=self._secret).digest()

    @cached_property
    def _secret(self) -> bytes:
        """The same in all processes, and known to nobody else: of the database's password, slow to guess by it."""
        return hashlib.scrypt(
            self._reads.url.encode(), salt=NAME.encode(), n=_SCRYPT_COST, r=8, p=1, dklen=32
        )

    async def _holds(self, slot: AnswerSlot, kept: Kept) -> bool:
        """Whether no event of the catalogue came since, and all that is shown is in stock as it was."""
        shown = kept.answered.in_stock

        async def read(connection: AsyncConnection) -> bool:
            given = {"position": kept.position, "skus": list(shown), "in_stock": list(shown.values())}
            row = await (await connection.execute(select_holds(slot.products), given)).fetchone()
            assert row is not None, "it is one value"
            return bool(row[0])

        return await self._reads.connections.run(read)


def _short(cursor: str) -> str:
    return hashlib.blake2b(cursor.encode(), digest_size=_DIGEST_BYTES).hexdigest()
