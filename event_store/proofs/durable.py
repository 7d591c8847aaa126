"""Files that are durable when a call returns, and replaced as a whole. This module imports nothing of ours."""

import contextlib
import os
from pathlib import Path


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
