"""Files that are durable when a call returns, and replaced as a whole; private ones are read by their owner alone.

This module imports nothing of ours: the witness, which stands alone, has it too.
"""

import contextlib
import os
import stat
from pathlib import Path
from typing import Final

PRIVATE: Final = stat.S_IRUSR | stat.S_IWUSR
"""The mode of files with secrets."""

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


class ReadableByOthers(Exception):
    """A file with a secret that not only its owner may read; the text says what to do."""


def read_private(path: Path, *, bytes_max: int) -> bytes:
    """The content of a file that only its owner may read, so many bytes at most.

    Raises:
        ReadableByOthers: others may, too.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        content = file.read(bytes_max)
    if mode & _OTHERS:
        raise ReadableByOthers(f"{path} may be read by others than its owner: chmod 600 {path}")
    return content


def create(path: Path, content: bytes, *, mode: int) -> None:
    """Write a file that was not there.

    Raises:
        FileExistsError: there is one.
        OSError: the disk is full, or does not take it; there is no file.
    """
    _write(path, content, mode=mode)
    _make_durable(path.parent)


def replace(path: Path, content: bytes, *, temporary: Path, mode: int) -> None:
    """Write a file in the place of the one that is there, if any: readers see all of it, or the one before.

    `temporary` is in the same file system, and nobody else's. A file that a crash left there is overwritten.

    Raises:
        OSError: the disk is full, or does not take it; the file that was there still is.
    """
    temporary.unlink(missing_ok=True)
    _write(temporary, content, mode=mode)
    try:
        temporary.replace(path)
    except BaseException:
        _remove(temporary)
        raise
    _make_durable(path.parent)


def _write(path: Path, content: bytes, *, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123 - opened above, with its mode
            os.fchmod(descriptor, mode)  # whatever the umask took away
            file.write(content)
            file.flush()
            os.fsync(descriptor)  # before any rename: else a crash may leave the new name on an empty file
    except BaseException:
        _remove(path)
        raise


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


def _make_durable(folder: Path) -> None:
    """A new name is durable when its folder is."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
