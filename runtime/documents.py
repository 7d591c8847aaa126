"""The seam to the document cache: JSON documents by key, each with the position it is as new as.

A document is written only over an older one, and a checkpoint only from the value its writer last wrote, so a
late writer, a replay or a cache that lost its tail never makes an answer older. Whoever reads believes a document
only as far as its checkpoint reaches.

Keys: `<installation>:<service>:<resource>:e<epoch>:<build>:<id>` for documents, `…:@<partition>` for
checkpoints (no id holds an `@`). A document's value is its position in 20 digits, then its JSON; nothing behind the
digits means that the row was deleted.

Errors:
    DocumentsUnavailable   the cache cannot be reached now, or does not answer in time
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol, cast

import redis
import redis.asyncio
import redis.exceptions
from redis.backoff import NoBackoff
from redis.retry import Retry

POSITION_DIGITS: Final = 20
DOCUMENTS_PER_CALL_MAX: Final = 1_000
"""Documents that one script call carries; more take several."""
CALL_BYTES_MAX: Final = 4 * 1024 * 1024
"""Bytes of documents that one script call carries, if it carries more than one."""
FORGET_KEYS_PER_CALL: Final = 1_000
"""Keys that one step of forgetting looks at and removes."""
WRITE_TIMEOUT_S: Final = 0.5
"""How long a worker waits for the cache."""
READ_TIMEOUT_S: Final = 0.03
"""How long a reader waits for the cache before it asks Postgres."""

_WRITE: Final = """
local moves = tonumber(ARGV[1])
local found = {}
local same = true
for i = 1, moves do
    found[i] = redis.call('GET', KEYS[i]) or ''
    if found[i] ~= ARGV[2 * i] then same = false end
end
if not same then return found end
local shift = 1 + moves
for i = moves + 1, #KEYS do
    local value = ARGV[shift + i]
    if redis.call('GETRANGE', KEYS[i], 0, 19) < string.sub(value, 1, 20) then
        redis.call('SET', KEYS[i], value)
    end
end
for i = 1, moves do
    if ARGV[2 * i + 1] ~= ARGV[2 * i] then redis.call('SET', KEYS[i], ARGV[2 * i + 1]) end
end
return 'written'
"""

_Unavailable = (redis.exceptions.RedisError, OSError)


class DocumentsUnavailable(Exception):
    """The cache cannot be reached now, or does not answer in time."""


class Document(NamedTuple):
    """One document; `body` None is a tombstone: at this position there is no such row any longer."""

    key: str
    position: int
    body: bytes | None

    @property
    def value(self) -> bytes:
        """As it is stored."""
        return b"%020d" % self.position + (self.body or b"")


class MirrorPoint(NamedTuple):
    """How far the documents of one build and partition go: a position and the log's leaf there."""

    position: int
    leaf: bytes | None

    @property
    def value(self) -> bytes:
        """As it is stored."""
        return b"%020d" % self.position + (self.leaf or b"").hex().encode()


class Move(NamedTuple):
    """A checkpoint from the value its worker last wrote (None: absent) to the next."""

    key: str
    expected: bytes | None
    value: bytes


class Documents(Protocol):
    """Where documents are kept. Every call may raise DocumentsUnavailable."""

    def put_if_newer(self, documents: Sequence[Document]) -> None:
        """Write each document unless one of the same or a higher position is there; tombstones too."""

    def move_checkpoints(
        self, moves: Sequence[Move], *, documents: Sequence[Document] = ()
    ) -> Mapping[str, bytes | None] | None:
        """Write documents as `put_if_newer`, then move the checkpoints, if all are as expected.

        Answers None when it did. Otherwise what was found under each checkpoint's key; then no checkpoint was
        moved, and documents at most in part.
        """

    def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """The stored values, in the order of the keys."""

    def forget(self, prefix: str) -> int:
        """Remove every key that begins so; how many there were."""

    def close(self) -> None:
        """Let go of connections."""


class AsyncDocuments(Protocol):
    """The part of the seam that readers use, for async callers."""

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """The stored values, in the order of the keys."""

    async def put_if_newer(self, documents: Sequence[Document]) -> None:
        """Fill the cache, never over something newer."""

    async def close(self) -> None:
        """Let go of connections."""


def installation_prefix(installation: str) -> str:
    """What all keys of one installation begin with, and no key of another."""
    return f"{installation}:"


def prefix(document: str, *, installation: str, epoch: int, build: str) -> str:
    """What all keys of one build begin with; `document` is `<service>:<resource>`, `build` its label."""
    return f"{installation_prefix(installation)}{document}:e{epoch}:{build}:"


def document_key(prefix: str, id_: str) -> str:
    """The key of one document of a build; parts of a composite id are joined by `~`."""
    return f"{prefix}{id_}"


def checkpoint_key(prefix: str, *, partition: int) -> str:
    """The key of the checkpoint of one partition of a build."""
    return f"{prefix}@{partition}"


def parse_document(value: bytes) -> tuple[int, bytes | None]:
    """Position and JSON of a stored value, None for a tombstone.

    Raises:
        ValueError: nobody of ours wrote this.
    """
    position = _position(value)
    return position, value[POSITION_DIGITS:] or None


def parse_checkpoint(value: bytes) -> MirrorPoint:
    """A stored checkpoint.

    Raises:
        ValueError: nobody of ours wrote this.
    """
    return MirrorPoint(_position(value), bytes.fromhex(value[POSITION_DIGITS:].decode("ascii")) or None)


class RedisDocuments:
    """Documents in Redis or Valkey."""

    def __init__(self, url: str, *, timeout_s: float = WRITE_TIMEOUT_S) -> None:
        """Connect when first used."""
        self._client = redis.Redis.from_url(
            url,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), 0),
        )
        self._write = self._client.register_script(_WRITE)

    def put_if_newer(self, documents: Sequence[Document]) -> None:
        """See Documents."""
        self.move_checkpoints((), documents=documents)

    def move_checkpoints(
        self, moves: Sequence[Move], *, documents: Sequence[Document] = ()
    ) -> Mapping[str, bytes | None] | None:
        """See Documents. Documents beyond one call are written before the checkpoints move."""
        *early, last = list(_chunks(documents)) or [[]]
        keep = [Move(move.key, move.expected, move.expected or b"") for move in moves]
        try:
            for chunk in early:
                if (found := _found(moves, self._write(*_arguments(keep, chunk)))) is not None:
                    return found
            return _found(moves, self._write(*_arguments(moves, last)))
        except _Unavailable as error:
            raise DocumentsUnavailable(f"the document cache does not answer: {error}") from error

    def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """See Documents."""
        if not keys:
            return []
        try:
            return cast("list[bytes | None]", self._client.mget(keys))
        except _Unavailable as error:
            raise DocumentsUnavailable(f"the document cache does not answer: {error}") from error

    def forget(self, prefix: str) -> int:
        """See Documents."""
        forgotten = 0
        try:
            keys: list[bytes] = []
            for key in self._client.scan_iter(match=f"{prefix}*", count=FORGET_KEYS_PER_CALL):
                keys.append(key)
                if len(keys) == FORGET_KEYS_PER_CALL:
                    forgotten += self._client.unlink(*keys)
                    keys = []
            return forgotten + (self._client.unlink(*keys) if keys else 0)
        except _Unavailable as error:
            raise DocumentsUnavailable(f"the document cache does not answer: {error}") from error

    def close(self) -> None:
        """See Documents."""
        self._client.close()


class AsyncRedisDocuments:
    """Documents in Redis or Valkey, for readers."""

    def __init__(self, url: str, *, timeout_s: float = READ_TIMEOUT_S, connections_max: int = 8) -> None:
        """Connect when first used."""
        self._client = redis.asyncio.Redis.from_url(
            url,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            max_connections=connections_max,
            retry=redis.asyncio.retry.Retry(NoBackoff(), 0),
        )
        self._write = self._client.register_script(_WRITE)

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """See AsyncDocuments."""
        if not keys:
            return []
        try:
            return cast("list[bytes | None]", await self._client.mget(keys))
        except _Unavailable as error:
            raise DocumentsUnavailable(f"the document cache does not answer: {error}") from error

    async def put_if_newer(self, documents: Sequence[Document]) -> None:
        """See AsyncDocuments."""
        try:
            for chunk in _chunks(documents):
                await self._write(*_arguments((), chunk))
        except _Unavailable as error:
            raise DocumentsUnavailable(f"the document cache does not answer: {error}") from error

    async def close(self) -> None:
        """See AsyncDocuments."""
        await self._client.aclose()


class MemoryDocuments:
    """Documents in this process, for simulation and for a shop without Redis; the same answers as Redis."""

    def __init__(self) -> None:
        self._values: dict[str, bytes] = {}

    def put_if_newer(self, documents: Sequence[Document]) -> None:
        """See Documents."""
        for document in documents:
            held = self._values.get(document.key, b"")
            if held[:POSITION_DIGITS] < document.value[:POSITION_DIGITS]:
                self._values[document.key] = document.value

    def move_checkpoints(
        self, moves: Sequence[Move], *, documents: Sequence[Document] = ()
    ) -> Mapping[str, bytes | None] | None:
        """See Documents."""
        found = {move.key: self._values.get(move.key) for move in moves}
        if any(found[move.key] != move.expected for move in moves):
            return found
        self.put_if_newer(documents)
        self._values.update({move.key: move.value for move in moves})
        return None

    def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """See Documents."""
        return [self._values.get(key) for key in keys]

    def forget(self, prefix: str) -> int:
        """See Documents."""
        gone = [key for key in self._values if key.startswith(prefix)]
        for key in gone:
            del self._values[key]
        return len(gone)

    def close(self) -> None:
        """See Documents."""


def _position(value: bytes) -> int:
    digits = value[:POSITION_DIGITS]
    if len(digits) < POSITION_DIGITS or not digits.isdigit():
        raise ValueError(f"{value[:40]!r} does not begin with a position")
    return int(digits)


def _arguments(moves: Sequence[Move], documents: Sequence[Document]) -> tuple[list[str], list[Any]]:
    """Keys and arguments of the script: the checkpoints first, each with expected and next value."""
    keys = [move.key for move in moves] + [document.key for document in documents]
    values: list[Any] = [len(moves)]
    for move in moves:
        values += (move.expected or b"", move.value)
    values += [document.value for document in documents]
    return keys, values


def _found(moves: Sequence[Move], answer: object) -> Mapping[str, bytes | None] | None:
    if not isinstance(answer, list):
        return None
    return {move.key: found or None for move, found in zip(moves, answer, strict=True)}


def _chunks(documents: Iterable[Document]) -> Iterator[list[Document]]:
    chunk: list[Document] = []
    size = 0
    for document in documents:
        length = len(document.body or b"")
        if chunk and (len(chunk) == DOCUMENTS_PER_CALL_MAX or size + length > CALL_BYTES_MAX):
            yield chunk
            chunk, size = [], 0
        chunk.append(document)
        size += length
    if chunk:
        yield chunk
