"""The file with the key that seals, and, while a new key takes over, the one before it.

One line for each key, as Go's sumdb/note writes private keys; the first one seals. Only its owner may read it.

An error never shows what is in the file.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import structlog

from event_store.proofs.errors import ProofsError
from event_store.proofs.note import MalformedNote, SignerKey
from runtime import durable

FILE_BYTES_MAX: Final = 64 * 1024

log = structlog.get_logger()


class KeyFileError(ProofsError):
    """The file with the key that seals is missing, readable by others, or holds no key."""


def read(path: Path) -> list[SignerKey]:
    """The keys in a file, the one that seals first.

    Raises:
        KeyFileError: the file cannot be used.
    """
    try:
        content = durable.read_private(path, bytes_max=FILE_BYTES_MAX)
    except OSError as error:
        raise KeyFileError(f"the key that seals cannot be read: {path}: {error.strerror}") from error
    except durable.ReadableByOthers as error:
        raise KeyFileError(str(error)) from error
    try:
        keys = [SignerKey.parse(line) for line in content.decode().splitlines() if line.strip()]
    except (MalformedNote, UnicodeDecodeError):
        raise KeyFileError(f"{path} holds no keys that seal") from None
    if not keys:
        raise KeyFileError(f"{path} holds no key: run `counterfoil seal-key generate`")
    if len({key.name for key in keys}) > 1:
        raise KeyFileError(f"the keys in {path} are of several logs")
    return keys


class RereadKeys:
    """The keys in a file, read again whenever it was changed: a key takes over without a restart of who seals."""

    def __init__(self, path: Path) -> None:
        """Read it.

        Raises:
            KeyFileError: it cannot be used.
        """
        self._path = path
        self._seen = _identity(path)
        self._keys = read(path)

    def __call__(self) -> Sequence[SignerKey]:
        """The keys now. While the file cannot be used, those that it held: a slip of the hand ends no sealing."""
        if (found := _identity(self._path)) != self._seen:
            self._seen = found
            try:
                self._keys = read(self._path)
            except KeyFileError as error:
                log.error("seal_key_not_read", reason=str(error))  # noqa: TRY400 - the text says it all
        return self._keys


def create(path: Path, keys: list[SignerKey]) -> None:
    """Write a file that was not there.

    Raises:
        KeyFileError: there is one, or none can be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        durable.create(path, _content(keys), mode=durable.PRIVATE)
    except FileExistsError as error:
        raise KeyFileError(
            f"{path} exists: a key that sealed is never thrown away; `seal-key rotate` adds one"
        ) from error
    except OSError as error:
        raise KeyFileError(f"{path} cannot be written: {error.strerror}") from error


def replace(path: Path, keys: list[SignerKey]) -> None:
    """Write a file in the place of the one that is there, as a whole.

    Raises:
        KeyFileError: it cannot be written; the one that was there still is.
    """
    try:
        durable.replace(
            path, _content(keys), temporary=path.with_name(f"{path.name}.new"), mode=durable.PRIVATE
        )
    except OSError as error:
        raise KeyFileError(f"{path} cannot be written: {error.strerror}") from error


def _identity(path: Path) -> tuple[int, ...] | None:
    """What differs once a file was changed or replaced; None while there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_mode


def _content(keys: list[SignerKey]) -> bytes:
    return "".join(f"{key.secret()}\n" for key in keys).encode()
