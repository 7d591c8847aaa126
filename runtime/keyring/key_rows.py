"""The rows of the key database: keys as they are wrapped, so that no master key is needed to add or delete them."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final, LiteralString

import psycopg
from msgspec import Struct
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from runtime.keyring.errors import KeysUnreachable
from runtime.keyring.master import Wrapped

KeyPool = AsyncConnectionPool[psycopg.AsyncConnection[tuple[Any, ...]]]

ADDRESS: Final = "address-"
"""What subjects begin with that are addresses of the vault; the rest is the keyed hash of the address."""

SWEPT_MAX: Final = 100
"""Keys that one sweep looks at."""

_OF_SUBJECT: Final = "select used, key_id, master, wrapped from keys.subject where subject = %s"
_KEEP: Final = """
update keys.subject set made_at = clock_timestamp() where subject = %s returning used, key_id, master, wrapped
"""
_NOT_KNOWN_TO_BE_USED: Final = """
select key_id, subject from keys.subject
where not used and made_at < clock_timestamp() - %s::interval order by made_at limit %s
"""
_NOTE_USED: Final = "update keys.subject set used = true where key_id = any(%s)"
_DROP_UNUSED: Final = """
delete from keys.subject
where key_id = any(%s) and not used and made_at < clock_timestamp() - %s::interval returning key_id
"""
_ADD: Final = """
insert into keys.subject (subject, key_id, master, wrapped) values (%s, %s, %s, %s) on conflict (subject) do nothing
"""
_OBTAIN: Final = """
insert into keys.subject (subject, key_id, master, wrapped, used) values (%s, %s, %s, %s, true)
on conflict (subject) do update set made_at = clock_timestamp() returning key_id, master, wrapped
"""
_OF_ADDRESSES: Final = """
select subject from keys.subject
where subject like 'address-%%' and subject > %s and made_at < clock_timestamp() - %s::interval
order by subject limit %s
"""
_DROP_OF_ADDRESSES: Final = """
delete from keys.subject
where subject = any(%s) and made_at < clock_timestamp() - %s::interval returning subject
"""
_BY_ID: Final = "select key_id, master, wrapped from keys.subject where key_id = any(%s)"
_DESTROY: Final = "delete from keys.subject where key_id = any(%s)"
_LOOKUP: Final = "select master, wrapped from keys.lookup"
_ADD_LOOKUP: Final = "insert into keys.lookup (master, wrapped) values (%s, %s) on conflict do nothing"


class KeyRow(Struct, frozen=True):
    """The data key of one subject."""

    key_id: str
    wrapped: Wrapped


class KeyRows:
    """Reads and writes the key database through a pool of a role that may.

    Every method raises KeysUnreachable where the database does not answer.
    """

    def __init__(self, pool: KeyPool) -> None:
        self._pool = pool

    async def of_subject(self, subject: str) -> KeyRow | None:
        """The key of a subject, to be sealed under: it is not swept before that can have been recorded.

        None: there is none.
        """
        rows = await self._rows(_OF_SUBJECT, subject)
        if rows and not rows[0][0]:
            rows = await self._rows(_KEEP, subject)  # or it was swept just now
        return _row(*rows[0][1:]) if rows else None

    async def add(self, subject: str, key: KeyRow) -> KeyRow:
        """Keep a key for a subject that has none; the key that it has."""
        await self._done(_ADD, subject, key.key_id, key.wrapped.master, key.wrapped.content)
        return (
            await self.of_subject(subject) or key
        )  # destroyed at this very moment: what is sealed under it is erased

    async def obtain(self, subject: str, key: KeyRow) -> KeyRow:
        """The key of a subject whose rows are in no log: the one that it has, or this one. Either is one write."""
        (row,) = await self._rows(_OBTAIN, subject, key.key_id, key.wrapped.master, key.wrapped.content)
        return _row(*row)

    async def of_addresses(self, *, behind: str, older_than: timedelta, most: int) -> list[str]:
        """Subjects that are addresses, in order, under whose keys nothing was sealed for so long."""
        return [str(subject) for (subject,) in await self._rows(_OF_ADDRESSES, behind, older_than, most)]

    async def drop_of_addresses(self, subjects: Sequence[str], *, older_than: timedelta) -> list[str]:
        """Delete the keys of these addresses under which nothing was sealed since; whose they were."""
        return [str(each) for (each,) in await self._rows(_DROP_OF_ADDRESSES, list(subjects), older_than)]

    async def by_id(self, key_ids: Sequence[str]) -> dict[str, Wrapped]:
        """Those of these keys that there are."""
        found = [_row(*row) for row in await self._rows(_BY_ID, list(key_ids))]
        return {row.key_id: row.wrapped for row in found}

    async def not_known_to_be_used(self, *, older_than: timedelta) -> list[tuple[str, str]]:
        """Keys with their subjects that nothing was sealed under for so long, and of which no event was seen."""
        rows = await self._rows(_NOT_KNOWN_TO_BE_USED, older_than, SWEPT_MAX)
        return [(str(key), str(subject)) for key, subject in rows]

    async def note_used(self, key_ids: Sequence[str]) -> None:
        """Note that events use these keys: they are not swept."""
        await self._done(_NOTE_USED, list(key_ids))

    async def drop_unused(self, key_ids: Sequence[str], *, older_than: timedelta) -> list[str]:
        """Delete those of these keys that nothing was sealed under since; which ones."""
        return [str(key) for (key,) in await self._rows(_DROP_UNUSED, list(key_ids), older_than)]

    async def destroy(self, key_ids: Sequence[str]) -> int:
        """Delete keys; how many there were."""
        return await self._done(_DESTROY, list(key_ids))

    async def lookup(self) -> Wrapped | None:
        """The key of keyed hashes; None: there is none yet."""
        rows = await self._rows(_LOOKUP)
        return Wrapped(str(rows[0][0]), bytes(rows[0][1])) if rows else None

    async def add_lookup(self, wrapped: Wrapped) -> None:
        """Keep the key of keyed hashes, unless there is one."""
        try:
            await self._done(_ADD_LOOKUP, wrapped.master, wrapped.content)
        except psycopg.errors.InsufficientPrivilege as error:
            raise KeysUnreachable("there is no key of keyed hashes yet: who may seal makes it") from error

    async def _rows(self, statement: LiteralString, *given: object) -> list[tuple[Any, ...]]:
        try:
            async with self._pool.connection() as connection:
                return await (await connection.execute(statement, given)).fetchall()
        except (psycopg.OperationalError, PoolTimeout) as error:
            raise _unreachable(error) from error

    async def _done(self, statement: LiteralString, *given: object) -> int:
        try:
            async with self._pool.connection() as connection:
                return (await connection.execute(statement, given)).rowcount
        except (psycopg.OperationalError, PoolTimeout) as error:
            raise _unreachable(error) from error


def _row(key_id: str, master: str, wrapped: bytes) -> KeyRow:
    return KeyRow(key_id, Wrapped(master, bytes(wrapped)))


def _unreachable(error: Exception) -> KeysUnreachable:
    return KeysUnreachable(f"the key database does not answer: {type(error).__name__}")
