"""The Merkle tree over the rows of a view, sorted by key, in memory that does not grow with their number.

Rows come in any order. Their hashes are sorted in parts, each part is kept in a temporary file, and the parts are
merged when the tree is asked for. docs/audit.md specifies leaves and order.
"""

import contextlib
import heapq
import struct
import tempfile
from collections.abc import Iterator
from typing import IO, Final, Self

from msgspec import Struct

from event_store.proofs import merkle
from event_store.proofs.merkle import HASH_BYTES, Frontier
from projections.replay import canonical
from projections.view import ID_SEPARATOR, Key

ROWS_PER_PART: Final = 200_000
"""Hashes that memory holds before they go to a file."""
LEAVES_PER_READ: Final = 4_096

_KEY_LENGTH: Final = struct.Struct(">I")

_Sorted = tuple[bytes, bytes]
"""The text by which a row is sorted, and its leaf."""


class Proof(Struct, frozen=True):
    """A row's entry, its place, and the hashes that lead from it to the root."""

    entry: str
    index: int
    hashes: tuple[bytes, ...]


class RowTree:
    """Rows in, root and one proof out; a context manager, since it has files."""

    def __init__(self, *, wanted: str | None = None) -> None:
        """Begin without rows.

        Args:
            wanted: the key of the row that is to be proven, its parts joined by `~`.
        """
        self._wanted = wanted
        self._wanted_row: tuple[bytes, bytes] | None = None
        self._part: list[_Sorted] = []
        self._opened = contextlib.ExitStack()
        self._parts: list[IO[bytes]] = []
        self._leaves: IO[bytes] | None = None
        self._index: int | None = None
        self._root = merkle.EMPTY_ROOT
        self.rows = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove the files."""
        self._opened.close()

    def add(self, key: Key, body: bytes, *, position: int) -> None:
        """Take in a row by its canonical bytes and the position of the last event in it."""
        assert self._leaves is None, "the tree is built once"
        text = canonical(key)
        entry = entry_of(text, body, position=position)
        if self._wanted is not None and ID_SEPARATOR.join(map(str, key)) == self._wanted:
            self._wanted_row = text, entry
        self._part.append((text, merkle.leaf_hash(entry)))
        self.rows += 1
        if len(self._part) == ROWS_PER_PART:
            self._keep_part()

    def root(self) -> bytes:
        """The root over all rows."""
        self._build()
        return self._root

    def proof(self) -> Proof | None:
        """The proof of the row that is wanted; None if there is no such row."""
        self._build()
        if self._wanted_row is None or self._index is None:
            return None
        hashes = merkle.inclusion_proof(self._index, self.rows, self)
        return Proof(self._wanted_row[1].decode(), self._index, tuple(hashes))

    def subtree(self, level: int, index: int) -> bytes:
        """The root of a complete subtree, from the file of all leaves; see `merkle.Subtrees`."""
        assert self._leaves is not None, "the leaves are merged first"
        left, frontier = 1 << level, Frontier()
        self._leaves.seek((index << level) * HASH_BYTES)
        while left:
            some = self._leaves.read(min(left, LEAVES_PER_READ) * HASH_BYTES)
            for at in range(0, len(some), HASH_BYTES):
                frontier.append(some[at : at + HASH_BYTES])
            left -= len(some) // HASH_BYTES
        return frontier.root()

    def _build(self) -> None:
        if self._leaves is not None:
            return
        self._part.sort()
        self._leaves, frontier = self._file(), Frontier()
        wanted = None if self._wanted_row is None else self._wanted_row[0]
        for text, leaf in heapq.merge(self._part, *map(_read, self._parts)):
            if text == wanted:
                self._index = frontier.size
            frontier.append(leaf)
            self._leaves.write(leaf)
        self._root = frontier.root()
        self._part = []

    def _keep_part(self) -> None:
        file = self._file()
        self._parts.append(file)
        for text, leaf in sorted(self._part):
            file.write(_KEY_LENGTH.pack(len(text)) + text + leaf)
        self._part = []

    def _file(self) -> IO[bytes]:
        return self._opened.enter_context(tempfile.TemporaryFile())


def entry_of(key: bytes, body: bytes, *, position: int) -> bytes:
    """What a leaf is the hash of: one JSON text of key, position and row."""
    return b'{"key":' + key + b',"position":%d,"row":' % position + body + b"}"


def _read(file: IO[bytes]) -> Iterator[_Sorted]:
    file.seek(0)
    while length := file.read(_KEY_LENGTH.size):
        text = file.read(_KEY_LENGTH.unpack(length)[0])
        yield text, file.read(HASH_BYTES)
