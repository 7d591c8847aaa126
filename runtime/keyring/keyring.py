"""The keyring: seals and opens personal fields, each under the data key of its subject (ADR 77).

A key that is open is kept for a minute at most. Keys on the list of erasures open nothing, whether or not the key
database, perhaps a restored backup of it, has them: the list is in the log, is read before anything is opened, and
again every second. A keyring that could not read it for a minute opens nothing.
"""

import asyncio
import contextlib
import hmac
import secrets
import time
import unicodedata
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from enum import Enum
from typing import Final

import structlog
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import Struct

from runtime import database
from runtime.database import Role
from runtime.keyring import master as master_keys
from runtime.keyring.errors import KeyringError, KeysUnreachable, MasterKeyError
from runtime.keyring.key_rows import KeyRow, KeyRows
from runtime.keyring.master import MasterKeys
from runtime.settings import Settings

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
DIGEST_BYTES: Final = 16

OPEN_FOR_S: Final = 60.0
"""How long a key that was read from the database is kept."""

OPEN_MAX: Final = 10_000
"""Keys that are kept at most, about 500 bytes each."""

ERASURES_EVERY_S: Final = 1.0
ERASURES_KNOWN_FOR_S: Final = 60.0
"""How long the list of erasures is relied on after it was read."""

CONNECTIONS: Final = 4
_LOOKUP_NAME: Final = "lookup"

log = structlog.get_logger()


class SealedField(Struct, frozen=True):
    """A sealed value and where it opens: the stream that recorded it first, and the name of its field there."""

    stream: str
    field: str
    key_id: str
    nonce: bytes
    ciphertext: bytes


class Unopened(Enum):
    """Why a sealed value shows nothing."""

    ERASED = "erased"
    """Its subject was erased: nobody can open it ever again."""
    UNREADABLE = "unreadable"
    """It was changed or moved, or its key is missing though nobody was erased: operators find it in the log."""


class Erasures(Struct, frozen=True):
    """A part of the list of erasures: the keys, up to which position of which epoch of the log."""

    epoch: int
    position: int
    key_ids: Sequence[str]


ReadErasures = Callable[[int], Awaitable[Erasures]]
"""The erasures behind a position of the log. Raises KeysUnreachable where the log does not answer."""


class Keyring:
    """Seals and opens for one process."""

    def __init__(
        self,
        rows: KeyRows,
        masters: MasterKeys,
        erasures: ReadErasures,
        *,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.rows = rows
        self._masters = masters
        self._read_erasures = erasures
        self._now_s = now_s
        self._open: dict[str, tuple[AESGCM, float]] = {}
        self._erased: set[str] = set()
        self._to_destroy: set[str] = set()
        self._known_at_s = float("-inf")
        self._epoch, self._position = 0, 0
        self._lookup: bytes | None = None

    async def seal(
        self, subject: str, values: Mapping[str, str], *, stream: str | None = None
    ) -> dict[str, SealedField]:
        """Values by the names of their fields, sealed under the key of a subject, which gets one if it has none.

        They open in `stream`, that of the subject itself where none is named.

        Raises:
            KeyringError: the key cannot be read or made.
        """
        return self._sealed_under(await self._row_of(subject), values, place=stream or subject)

    async def seal_row(self, subject: str, values: Mapping[str, str]) -> dict[str, SealedField]:
        """As `seal`, for rows of a table: no sweep looks for the key in the log.

        It takes the same work whether or not the subject has a key.

        Raises:
            KeyringError: the key cannot be read or made.
        """
        row = await self.rows.obtain(subject, self._made())
        if row.key_id in self._erased:  # and not deleted yet
            await self.rows.destroy([row.key_id])
            row = await self.rows.obtain(subject, self._made())
        return self._sealed_under(row, values, place=subject)

    async def key_of(self, subject: str) -> str:
        """The id of the key of a subject, which gets one if it has none.

        Raises:
            KeyringError: the key cannot be read or made.
        """
        return (await self._row_of(subject)).key_id

    async def open(self, fields: Sequence[SealedField]) -> list[str | Unopened]:
        """What was sealed, in the order given.

        Raises:
            KeyringError: the keys cannot be read, or it is not known who was erased lately.
        """
        await self._require_keys({sealed.key_id for sealed in fields})
        return [self._opened(sealed) for sealed in fields]

    async def lookup_digest(self, kind: str, value: str) -> str:
        """The keyed hash by which a value is found; two spellings of one e-mail address have the same.

        Raises:
            KeyringError: its key cannot be read.
        """
        if self._lookup is None:
            self._lookup = await self._lookup_key()
        text = f"{kind}:{unicodedata.normalize('NFKC', value.strip()).casefold()}"
        return hmac.digest(self._lookup, text.encode(), "sha256")[:DIGEST_BYTES].hex()

    async def follow_erasures(self) -> None:
        """Read what was erased since the last time: those keys open nothing from now on.

        Raises:
            KeysUnreachable: the log does not answer.
        """
        began_s, found = self._now_s(), await self._read_erasures(self._position)
        if found.epoch != self._epoch and self._position:
            # A log that was cut off may have others at the same positions.
            found = await self._read_erasures(0)
        fresh = set(found.key_ids) - self._erased
        self._erased |= fresh
        self._to_destroy |= fresh
        for key in fresh:
            self._open.pop(key, None)
        self._epoch, self._position, self._known_at_s = found.epoch, found.position, began_s
        self._close_old()

    async def destroy_erased(self) -> int:
        """Delete keys that were erased and not deleted yet; how many there were: a restored backup has some.

        Raises:
            KeysUnreachable: the key database does not answer.
        """
        keys = sorted(self._to_destroy)
        if not keys:
            return 0
        destroyed = await self.rows.destroy(keys)
        self._to_destroy.difference_update(keys)
        return destroyed

    async def _row_of(self, subject: str) -> KeyRow:
        row = await self.rows.of_subject(subject)
        if row is None:
            row = await self.rows.add(subject, self._made())
        return row

    def _made(self) -> KeyRow:
        key_id = secrets.token_hex(16)
        return KeyRow(key_id, self._masters.wrap(AESGCM.generate_key(8 * KEY_BYTES), name=key_id))

    def _sealed_under(self, row: KeyRow, values: Mapping[str, str], *, place: str) -> dict[str, SealedField]:
        cipher = AESGCM(self._masters.unwrap(row.wrapped, name=row.key_id))
        return {field: _sealed(cipher, row.key_id, place, field, value) for field, value in values.items()}

    async def _require_keys(self, key_ids: Iterable[str]) -> None:
        """Have the keys open that there are and that were not erased."""
        now_s = self._now_s()
        if now_s - self._known_at_s > ERASURES_KNOWN_FOR_S:
            raise KeysUnreachable("who was erased lately is not known")
        missing = [key for key in key_ids if key not in self._erased and not self._is_open(key, now_s)]
        if not missing:
            return
        for key_id, wrapped in (await self.rows.by_id(missing)).items():
            if key_id in self._erased:
                continue  # while it was read
            self._open.pop(key_id, None)
            if len(self._open) >= OPEN_MAX:
                del self._open[next(iter(self._open))]
            cipher = AESGCM(self._masters.unwrap(wrapped, name=key_id))
            self._open[key_id] = (cipher, now_s + OPEN_FOR_S)

    def _close_old(self) -> None:
        """Keep no key in memory for longer than it opens anything; they stand in the order of their ends."""
        now_s = self._now_s()
        while (oldest := next(iter(self._open), None)) is not None and not self._is_open(oldest, now_s):
            del self._open[oldest]

    def _is_open(self, key_id: str, now_s: float) -> bool:
        found = self._open.get(key_id)
        return found is not None and found[1] >= now_s

    def _opened(self, sealed: SealedField) -> str | Unopened:
        if sealed.key_id in self._erased:
            return Unopened.ERASED
        found = self._open.get(sealed.key_id)
        if found is None:
            log.error("data_key_missing", key_id=sealed.key_id, stream=sealed.stream)
            return Unopened.UNREADABLE
        try:
            opened = found[0].decrypt(
                sealed.nonce, sealed.ciphertext, _associated(sealed.stream, sealed.field, sealed.key_id)
            )
        except (InvalidTag, ValueError):
            log.error("sealed_value_refused", key_id=sealed.key_id, stream=sealed.stream, field=sealed.field)  # noqa: TRY400 - the text says it all
            return Unopened.UNREADABLE
        return opened.decode()

    async def _lookup_key(self) -> bytes:
        wrapped = await self.rows.lookup()
        if wrapped is None:
            made = self._masters.wrap(secrets.token_bytes(KEY_BYTES), name=_LOOKUP_NAME)
            await self.rows.add_lookup(made)
            wrapped = await self.rows.lookup()
            assert wrapped is not None, "just made, and never deleted"
        return self._masters.unwrap(wrapped, name=_LOOKUP_NAME)


@contextlib.asynccontextmanager
async def opened(
    settings: Settings, *, role: Role, name: str, erasures: ReadErasures
) -> AsyncIterator[Keyring | None]:
    """The keyring of a process, kept up to date for the length of a block; None: no setting says where the keys are.

    A role that may delete keys replays the list of erasures first.

    Raises:
        KeyringError: the master key cannot be used, or the list of erasures cannot be replayed.
    """
    if settings.keys_database_url is None:
        yield None
        return
    url, may_write = settings.keys_database_url.get_secret_value(), role == "counterfoil_keys"
    async with database.pool(url, role=role, name=f"{name} keys", size=CONNECTIONS, idle=1) as pool:
        rows = KeyRows(pool)
        masters = await _masters(settings, rows, may_write=may_write)
        keyring = Keyring(rows, masters, erasures)
        with contextlib.suppress(KeysUnreachable):  # it opens nothing until the list was read
            if may_write:
                await keyring.lookup_digest("start", "")  # which finds out whether this is the master key
            await _follow(keyring, may_write=may_write)
        following = asyncio.create_task(_following(keyring, may_write=may_write), name=f"{name}: erasures")
        try:
            yield keyring
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)


async def _masters(settings: Settings, rows: KeyRows, *, may_write: bool) -> MasterKeys:
    """The master keys; made now where no data key was wrapped yet.

    Raises:
        KeyringError: there are data keys, and not their master key; or it is not known.
    """
    make = may_write and settings.master_key is None and not settings.master_key_path.exists()
    if make and await rows.lookup() is not None:
        raise MasterKeyError(
            f"{settings.master_key_path} is missing, and data keys are wrapped already: take it from a backup or"
            " another machine of this installation"
        )
    return await asyncio.to_thread(master_keys.of_settings, settings, make=make)


async def _following(keyring: Keyring, *, may_write: bool) -> None:
    while True:
        await asyncio.sleep(ERASURES_EVERY_S)
        try:
            await _follow(keyring, may_write=may_write)
        except KeyringError as error:
            log.warning("erasures_not_read", reason=str(error))


async def _follow(keyring: Keyring, *, may_write: bool) -> None:
    """Read what was erased; who may delete keys deletes those."""
    await keyring.follow_erasures()
    if may_write and (destroyed := await keyring.destroy_erased()):
        log.info("erased_keys_destroyed", keys=destroyed)


def _sealed(cipher: AESGCM, key_id: str, stream: str, field: str, value: str) -> SealedField:
    nonce = secrets.token_bytes(NONCE_BYTES)
    ciphertext = cipher.encrypt(nonce, value.encode(), _associated(stream, field, key_id))
    return SealedField(stream, field, key_id, nonce, ciphertext)


def _associated(stream: str, field: str, key_id: str) -> bytes:
    """What a sealed value is bound to: stream, field and key, each after its length in bytes (4, big-endian)."""
    parts = (stream.encode(), field.encode(), key_id.encode())
    return b"".join(len(part).to_bytes(4) + part for part in parts)
