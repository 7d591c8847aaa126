"""Rotation of the master key: a new one is put before the old ones, and every data key is wrapped anew under it."""

from typing import Any, Final

import psycopg

from counterfoil import addresses
from counterfoil.user_messages import UserError
from runtime import database
from runtime.keyring import master
from runtime.keyring.errors import MasterKeyError, NoKeyDatabase
from runtime.keyring.master import MasterKeys, Wrapped
from runtime.settings import Settings

BATCH: Final = 500
"""Data keys in one transaction."""

_OLD: Final = """
select key_id, master, wrapped from keys.subject where master <> %s order by key_id limit %s for update
"""
_REWRAP: Final = "update keys.subject set master = %s, wrapped = %s where key_id = %s"
_LOOKUP: Final = "select 'lookup', master, wrapped from keys.lookup where master <> %s for update"
_REWRAP_LOOKUP: Final = "update keys.lookup set master = %s, wrapped = %s"

Connection = psycopg.Connection[tuple[Any, ...]]


class NotRotated(UserError):
    """The master key was not rotated, or data keys were not all wrapped anew; the text says why."""


def rotate(settings: Settings) -> str:
    """Put a new master key before those in the file; its name. Machines get the file before anything is wrapped anew.

    Raises:
        NotRotated: the keys come from the environment, or the file cannot be used.
    """
    if settings.master_key is not None:
        raise NotRotated(
            "the master key is in COUNTERFOIL_MASTER_KEY: put a new one there, before the old one"
        )
    try:
        return master.rotate(settings.master_key_path)
    except MasterKeyError as error:
        raise NotRotated(str(error)) from error


def rewrap(settings: Settings, *, drop_old: bool = False) -> int:
    """Wrap every data key under the first master key; how many were wrapped under another one. Events stay as they are.

    It may be killed and run again. `drop_old`: leave only the first one in the file afterwards.

    Raises:
        NotRotated: there is no key database, or a master key is missing.
        psycopg.OperationalError: the database cannot be reached.
    """
    url = addresses.keys_database_url(settings)
    if url is None:
        raise NotRotated(str(NoKeyDatabase()))
    try:
        masters = master.of_settings(settings)
        with database.connect(url, role="counterfoil_keys", name="rewrap") as connection:
            count = 0
            while batch := _rewrapped(connection, masters):
                count += batch
            _rewrap_lookup(connection, masters)
        if drop_old and settings.master_key is None:
            master.drop_old(settings.master_key_path)
    except MasterKeyError as error:
        raise NotRotated(str(error)) from error
    return count


def _rewrapped(connection: Connection, masters: MasterKeys) -> int:
    with connection.transaction():
        rows = connection.execute(_OLD, [masters.first, BATCH]).fetchall()
        for row in rows:
            wrapped = _anew(masters, *row)
            connection.execute(_REWRAP, [wrapped.master, wrapped.content, row[0]])
    return len(rows)


def _rewrap_lookup(connection: Connection, masters: MasterKeys) -> None:
    with connection.transaction():
        for row in connection.execute(_LOOKUP, [masters.first]).fetchall():
            wrapped = _anew(masters, *row)
            connection.execute(_REWRAP_LOOKUP, [wrapped.master, wrapped.content])


def _anew(masters: MasterKeys, name: str, old: str, content: bytes) -> Wrapped:
    return masters.wrap(masters.unwrap(Wrapped(old, bytes(content)), name=name), name=name)
