"""Master keys: they wrap the data keys of subjects, and are in no database.

They come from a file, one of 43 characters (256 bits in base64url) on each line, or from the environment, separated by
commas. The first one wraps; the others unwrap what was wrapped before a rotation. A data key that names another one
makes the file be read again, so that a rotation needs no restart.

A key management service would take the place of this class: all that is asked of it is to wrap and to unwrap.
"""

import base64
import binascii
import hashlib
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import Struct

from runtime import durable
from runtime.keyring.errors import MasterKeyError
from runtime.settings import Settings

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
KEYS_MAX: Final = 16
"""Master keys in one file: the one that wraps, and those before it."""

_FILE_BYTES_MAX: Final = 4096


class Wrapped(Struct, frozen=True):
    """A key as the key database has it: which master key wrapped it, and what came of that."""

    master: str
    content: bytes


class MasterKeys:
    """The master keys of an installation."""

    def __init__(self, read: Callable[[], Sequence[bytes]]) -> None:
        """Read them.

        Raises:
            MasterKeyError: they cannot be used.
        """
        self._read = read
        self._ciphers: dict[str, AESGCM] = {}
        self._refresh()

    @property
    def first(self) -> str:
        """The name of the one that wraps."""
        return next(iter(self._ciphers))

    def wrap(self, key: bytes, *, name: str) -> Wrapped:
        """A key under the first master key. Only under the same name is it unwrapped."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return Wrapped(self.first, nonce + self._ciphers[self.first].encrypt(nonce, key, name.encode()))

    def unwrap(self, wrapped: Wrapped, *, name: str) -> bytes:
        """A key as it was wrapped.

        Raises:
            MasterKeyError: it was wrapped under a master key that is not here, or under another name.
        """
        if wrapped.master not in self._ciphers:
            self._refresh()
        cipher = self._ciphers.get(wrapped.master)
        if cipher is None:
            raise MasterKeyError(
                f"a key was wrapped under the master key {wrapped.master}, which is not here"
            )
        try:
            return cipher.decrypt(wrapped.content[:NONCE_BYTES], wrapped.content[NONCE_BYTES:], name.encode())
        except InvalidTag as error:
            raise MasterKeyError(f"the key {name} was changed, or is in the place of another one") from error

    def _refresh(self) -> None:
        self._ciphers = {name_of(key): AESGCM(key) for key in self._read()}


def of_settings(settings: Settings, *, make: bool = False) -> MasterKeys:
    """The master keys of an installation; `make`: in a file that is written now if there is none.

    Raises:
        MasterKeyError: they cannot be used.
    """
    if settings.master_key is not None:
        given = settings.master_key.get_secret_value()
        return MasterKeys(lambda: _parsed(given.replace(",", "\n"), of="COUNTERFOIL_MASTER_KEY"))
    path = settings.master_key_path
    if make and not path.exists():
        create(path)
    return MasterKeys(lambda: read(path))


def name_of(key: bytes) -> str:
    """What a master key is called: a digest of its 256 random bits, which tells nothing of them."""
    return hashlib.sha256(b"counterfoil master key\0" + key).hexdigest()[:16]


def read(path: Path) -> Sequence[bytes]:
    """The master keys in a file, the one that wraps first.

    Raises:
        MasterKeyError: it cannot be used.
    """
    try:
        content = durable.read_private(path, bytes_max=_FILE_BYTES_MAX)
    except FileNotFoundError as error:
        raise MasterKeyError(
            f"there is no master key: {path}: the first command API makes it; start one, or copy its file here"
        ) from error
    except OSError as error:
        raise MasterKeyError(f"the master key cannot be read: {path}: {error.strerror}") from error
    except durable.ReadableByOthers as error:
        raise MasterKeyError(str(error)) from error
    return _parsed(content.decode("ascii", errors="replace"), of=str(path))


def create(path: Path) -> None:
    """Write a file with a new key for its owner alone; one that another process made meanwhile stays.

    Raises:
        MasterKeyError: none can be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        durable.create(path, _text([secrets.token_bytes(KEY_BYTES)]), mode=durable.PRIVATE)
    except FileExistsError:
        return
    except OSError as error:
        raise MasterKeyError(f"{path} cannot be written: {error.strerror}") from error


def rotate(path: Path) -> str:
    """Put a new key before those in a file, as a whole; its name.

    Raises:
        MasterKeyError: the file cannot be used, or holds too many.
    """
    keys = [secrets.token_bytes(KEY_BYTES), *read(path)]
    return _replaced(path, keys)


def drop_old(path: Path) -> str:
    """Leave only the first key in a file; its name. Nothing may be wrapped under the others any more.

    Raises:
        MasterKeyError: the file cannot be used.
    """
    return _replaced(path, read(path)[:1])


def _replaced(path: Path, keys: Sequence[bytes]) -> str:
    if len(keys) > KEYS_MAX:
        raise MasterKeyError(f"{path} holds {KEYS_MAX} keys: run `counterfoil master-key rewrap` first")
    temporary = path.with_name(f"{path.name}.new")
    try:
        durable.replace(path, _text(keys), temporary=temporary, mode=durable.PRIVATE)
    except OSError as error:
        raise MasterKeyError(f"{path} cannot be written: {error.strerror}") from error
    return name_of(keys[0])


def _text(keys: Sequence[bytes]) -> bytes:
    return b"".join(base64.urlsafe_b64encode(key).rstrip(b"=") + b"\n" for key in keys)


def _parsed(text: str, *, of: str) -> Sequence[bytes]:
    try:
        keys = [base64.b64decode(f"{line.strip()}=", altchars=b"-_", validate=True) for line in text.split()]
    except (ValueError, binascii.Error):
        keys = []
    if not keys or any(len(key) != KEY_BYTES for key in keys) or len(keys) > KEYS_MAX:
        raise MasterKeyError(f"{of} does not hold 1 to {KEYS_MAX} keys of {KEY_BYTES} bytes in base64url")
    return keys
