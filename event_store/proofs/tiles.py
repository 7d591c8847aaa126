"""The tree as tiles of 256 hashes, in files named as https://c2sp.org/tlog-tiles names them.

A tile spans eight levels of the tree, so a proof about a million events reads some three of them. A full tile never
changes; a tile that is not full yet is written anew, under its width, for each size that a checkpoint is signed for.

Errors:
    TilesDamaged   a tile that the tree needs is missing, or has another length
"""

import contextlib
import secrets
import shutil
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Protocol

from event_store.proofs import merkle
from event_store.proofs.merkle import HASH_BYTES, Leaves
from runtime import durable

LEVELS_PER_TILE: Final = 8
WIDTH: Final = 1 << LEVELS_PER_TILE
"""Hashes in a full tile: 8 KiB."""

TILES_CACHED_MAX: Final = 64
"""Tiles that one reader keeps, of those it read last."""

_UNFINISHED: Final = ".unfinished"
"""Folder of files that are being written; what a crash left in it is removed before the next write."""


class TilesDamaged(Exception):
    """A tile is missing or has another length than it must have; it can be built again from the log."""


class Store(Protocol):
    """Where tiles and the files next to them are kept, by name."""

    def read(self, name: str) -> bytes | None:
        """The content; None if there is no such file."""

    def write(self, name: str, content: bytes) -> None:
        """Put the content there as a whole; when this returns, it survives a crash of the machine."""

    def discard(self, name: str) -> None:
        """Remove what is there, a file or a folder, if it is."""


class Directory:
    """A folder of a file system: names are paths below it."""

    def __init__(self, root: Path) -> None:
        """The folder need not exist before the first write."""
        self.root = root
        self._unfinished = root / _UNFINISHED
        self._swept = False

    def read(self, name: str) -> bytes | None:
        """The content; None if there is no such file.

        Raises:
            OSError: it cannot be read.
        """
        try:
            return (self.root / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def write(self, name: str, content: bytes) -> None:
        """Put the content there as a whole; when this returns, it survives a crash of the machine.

        Raises:
            OSError: the disk is full, or does not take it; what was there still is.
        """
        path = self.root / name
        if not self._swept:
            shutil.rmtree(self._unfinished, ignore_errors=True)
            self._swept = True
        for folder in (self._unfinished, path.parent):
            folder.mkdir(parents=True, exist_ok=True)
        durable.replace(path, content, temporary=self._unfinished / secrets.token_hex(8), mode=0o644)

    def discard(self, name: str) -> None:
        """Remove a file or a folder; a name that is gone already is no failure."""
        path = self.root / name
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


class Tiles:
    """The subtrees of a tree of one size, read from its tiles."""

    def __init__(self, store: Store, size: int) -> None:
        """Nothing is read yet."""
        self._store = store
        self._size = size
        self._read: OrderedDict[tuple[int, int], Leaves] = OrderedDict()

    def subtree(self, level: int, index: int) -> bytes:
        """The root of a complete subtree.

        Raises:
            TilesDamaged: its tile cannot be read.
        """
        row, above = divmod(level, LEVELS_PER_TILE)
        number, place = divmod(index << above, WIDTH)
        return self._tile(row, number).subtree(above, place >> above)

    def leaf(self, index: int) -> bytes:
        """The hash of a leaf.

        Raises:
            TilesDamaged: its tile cannot be read.
        """
        return self.subtree(0, index)

    def _tile(self, row: int, number: int) -> Leaves:
        if (tile := self._read.get((row, number))) is not None:
            self._read.move_to_end((row, number))
            return tile
        width = min(WIDTH, (self._size >> LEVELS_PER_TILE * row) - number * WIDTH)
        assert width > 0, "a tree has no subtree beyond its size"
        tile = Leaves(_hashes(_content(self._store, row, number, width)))
        self._read[row, number] = tile
        if len(self._read) > TILES_CACHED_MAX:
            self._read.popitem(last=False)
        return tile


def extend(store: Store, size: int, leaves: Sequence[bytes]) -> list[str]:
    """Write the tiles that a tree has after these leaves and had not before, as a tree of `size` leaves.

    Nothing that a smaller tree needs is changed or removed.

    Returns:
        What no tree of the new size needs any more: discard it once its checkpoint is published.

    Raises:
        TilesDamaged: a tile that is to be filled cannot be read.
    """
    replaced: list[str] = []
    added, row = list(leaves), 0
    while added:
        number, begun = divmod(size >> LEVELS_PER_TILE * row, WIDTH)
        if begun:
            added = [*_hashes(_content(store, row, number, begun)), *added]
        full: list[bytes] = []
        for start in range(0, len(added), WIDTH):
            tile = added[start : start + WIDTH]
            name = name_of(row, number + start // WIDTH, len(tile))
            store.write(name, b"".join(tile))
            if len(tile) == WIDTH:
                full.append(merkle.root_of(tile))
                replaced.append(f"{name}.p")
        added, row = full, row + 1
    return replaced


def damaged(store: Store, size: int) -> Iterator[str]:
    """What is wrong with the tiles above the leaves: those that are missing, cut, or do not follow from those below.

    Whether the leaves are those of the log, only the log can tell.
    """
    row, count, expected = 0, size, b""
    while count:
        above: list[bytes] = []
        for number in range((count + WIDTH - 1) // WIDTH):
            width = min(WIDTH, count - number * WIDTH)
            content = expected[number * WIDTH * HASH_BYTES :][: width * HASH_BYTES]
            try:
                found = _content(store, row, number, width)
            except TilesDamaged as error:
                found = content
                yield str(error)
            if row and found != content:
                yield f"{name_of(row, number, width)} does not follow from the tiles below it"
            if width == WIDTH:
                above.append(merkle.root_of(_hashes(content if row else found)))
        row, count, expected = row + 1, len(above), b"".join(above)


def name_of(row: int, number: int, width: int = WIDTH) -> str:
    """The name of a tile: `tile/<level>/<number>`, with its width where it is not full."""
    groups = [f"{number % 1000:03}"]
    while number := number // 1000:
        groups.append(f"x{number % 1000:03}")
    path = f"tile/{row}/{'/'.join(reversed(groups))}"
    return path if width == WIDTH else f"{path}.p/{width}"


def _content(store: Store, row: int, number: int, width: int) -> bytes:
    """The first `width` hashes of a tile, from the file of that width or from the full tile."""
    content = store.read(name_of(row, number, width))
    if content is None and width < WIDTH:
        content = store.read(name_of(row, number))
        content = None if content is None else content[: width * HASH_BYTES]
    if content is None or len(content) != width * HASH_BYTES:
        problem = "is missing" if content is None else f"has {len(content)} bytes"
        raise TilesDamaged(f"{name_of(row, number, width)} {problem}")
    return content


def _hashes(content: bytes) -> list[bytes]:
    return list(_cut(content))


def _cut(content: bytes) -> Iterator[bytes]:
    for start in range(0, len(content), HASH_BYTES):
        yield content[start : start + HASH_BYTES]
