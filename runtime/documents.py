"""The seam to the document cache: JSON documents by key, each with the position it is as new as.

A document is written only over an older one, and a checkpoint only from the value its writer last wrote. A reader
trusts a document only as far as its checkpoint reaches.

Keys: `<installation>:<service>:<resource>:e<epoch>:<build>:<id>` for documents, `…:@<partition>` for
checkpoints (no id holds an `@`). A document's value is its position in 20 digits, then its JSON; nothing behind the
digits means that the row was deleted.

Errors:
    DocumentsUnavailable   the cache cannot be reached now, or does not answer in time
"""

import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol, cast

import redis
import redis.exceptions
from redis.backoff import NoBackoff
from redis.retry import Retry

POSITION_DIGITS: Final = 20
DOCUMENTS_PER_CALL_MAX: Final = 1_000
"""Documents that one script call carries; more take several."""
CALL_BYTES_MAX: Final = 4 * 1024 * 1024
"""Bytes of documents that one script call carries, if it carries more than one."""
FORGET_KEYS_PER_CALL: Final = 1_000
"""Keys that one step of forgetting reads and removes."""
WRITE_TIMEOUT_S: Final = 0.5
"""How long a worker waits for the cache."""
TTL_S: Final = 7 * 86_400
"""How long a key stays that nobody writes: documents that nobody reads go, and so do those of a build that is gone.

The view of a document may declare another time for it. A reader that misses a document puts it back; the worker of a
partition keeps its checkpoint alive.
"""

_WRITE: Final = """
local moves = tonumber(ARGV[1])
local ttl = ARGV[#ARGV]
local found = {}
local same = true
for i = 1, moves do
    found[i] = redis.call('GET', KEYS[i]) or ''
    if found[i] ~= ARGV[2 * i] then same = false end
end
-- Checkpoints first: another writer, or a cache that lost its tail, is found before any document is written.
if not same then return found end
local before = 1 + 2 * moves
for i = moves + 1, #KEYS do
    local nth = i - moves
    local value = ARGV[before + 2 * nth - 1]
    -- Only over an older document: a late writer or a replay makes no answer older.
    if redis.call('GETRANGE', KEYS[i], 0, 19) < string.sub(value, 1, 20) then
        redis.call('SET', KEYS[i], value, 'EX', ARGV[before + 2 * nth])
    end
end
for i = 1, moves do
    if ARGV[2 * i + 1] == ARGV[2 * i] then
        redis.call('EXPIRE', KEYS[i], ttl)
    else
        redis.call('SET', KEYS[i], ARGV[2 * i + 1], 'EX', ttl)
    end
end
return 'written'
"""

_TOUCHED: Final = b"~"
"""Stands in a checkpoint before what makes it distinct from before, where documents beyond it were written."""

_Unavailable = (redis.exceptions.RedisError, OSError)


class DocumentsUnavailable(Exception):
    """The cache cannot be reached now, or does not answer in time."""


class Document(NamedTuple):
    """One document; `body` None is a tombstone: at this position there is no such row any longer.

    It is gone `ttl_s` seconds after it was written.
    """

    key: str
    position: int
    body: bytes | None
    ttl_s: int = TTL_S

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
        moved, and documents at most in part. A move to the same value keeps a checkpoint alive.
        """

    def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """The stored values, in the order of the keys."""

    def forget(self, prefix: str) -> int:
        """Remove every key that begins so; how many there were."""

    def close(self) -> None:
        """Close connections."""


def installation_prefix(installation: str) -> str:
    """What all keys of one installation begin with, and no key of another."""
    return f"{installation}:"


def prefix(document: str, *, installation: str, epoch: int, build: str) -> str:
    """What all keys of one build begin with; `document` is `<service>:<resource>`, `build` its label."""
    return f"{installation_prefix(installation)}{document}:e{epoch}:{build}:"


def document_key(prefix: str, id_: str) -> str:
    """The key of one document of a build; parts of a composite id are joined by `~`."""
    return f"{prefix}{id_}"


def is_checkpoint(key: str) -> bool:
    """Whether a key is that of a checkpoint: no id begins with an `@`."""
    return ":@" in key


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
    leaf, _, _ = value[POSITION_DIGITS:].partition(_TOUCHED)
    return MirrorPoint(_position(value), bytes.fromhex(leaf.decode("ascii")) or None)


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
        """See Documents. Documents beyond one call are written first; each call changes the checkpoints' values."""
        *early, last = list(_chunks(documents)) or [[]]
        try:
            for chunk in early:
                touching = [_touching(move) for move in moves]
                if (found := _found(moves, self._write(*_arguments(touching, chunk)))) is not None:
                    return found
                moves = [
                    Move(each.key, each.value or None, move.value)
                    for each, move in zip(touching, moves, strict=True)
                ]
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


def _touching(move: Move) -> Move:
    """The same checkpoint, distinct from before: documents beyond it were written."""
    if move.expected is None:
        return Move(move.key, None, b"")
    before, _, _ = move.expected.partition(_TOUCHED)
    return Move(move.key, move.expected, before + _TOUCHED + secrets.token_hex(4).encode())


def _arguments(moves: Sequence[Move], documents: Sequence[Document]) -> tuple[list[str], list[Any]]:
    """Keys and arguments of the script: the checkpoints first, each with expected and next value.

    Each document has its value and its time to live; the last argument is that of the checkpoints.
    """
    keys = [move.key for move in moves] + [document.key for document in documents]
    values: list[Any] = [len(moves)]
    for move in moves:
        values += (move.expected or b"", move.value)
    for document in documents:
        values += (document.value, document.ttl_s)
    values.append(TTL_S)
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
