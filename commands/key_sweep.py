"""The sweep of data keys that no event uses: a command made one, and was refused or killed before its append.

A key is written before the first event that is sealed under it, so a row without an event is a leftover. Which
keys the log uses is found out once for each, some time after nothing was sealed under it any more.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Final

import structlog

from commands.log_reading import LogReader, LogUnreachable
from event_store.log.key_uses import used_keys
from runtime.keyring.errors import KeyringError
from runtime.keyring.keyring import Keyring

SWEPT_AFTER: Final = timedelta(minutes=10)
"""No append takes that long: what was sealed before then is in the log, or never will be."""

SWEEP_EVERY_S: Final = 60.0

log = structlog.get_logger()


async def sweep(keyring: Keyring, reader: LogReader, *, older_than: timedelta = SWEPT_AFTER) -> Sequence[str]:
    """Delete keys that no event uses, and note which ones are used; those that were deleted.

    Raises:
        KeyringError, LogUnreachable: it is done another time.
    """
    waiting = await keyring.rows.not_known_to_be_used(older_than=older_than)
    used = await reader.read(lambda connection: used_keys(connection, waiting))
    await keyring.rows.note_used(sorted(used))
    swept = await keyring.rows.drop_unused(
        [key_id for key_id, _ in waiting if key_id not in used], older_than=older_than
    )
    if swept:
        log.info("data_keys_swept", keys=len(swept))
    return swept


@contextlib.asynccontextmanager
async def running(keyring: Keyring | None, reader: LogReader) -> AsyncIterator[None]:
    """Sweep now and then for the length of a block; nothing where there is no key database."""
    task = None if keyring is None else asyncio.create_task(_sweeping(keyring, reader), name="sweep of keys")
    try:
        yield
    finally:
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def _sweeping(keyring: Keyring, reader: LogReader) -> None:
    while True:
        await asyncio.sleep(SWEEP_EVERY_S)
        try:
            await sweep(keyring, reader)
        except (KeyringError, LogUnreachable) as error:
            log.warning("data_keys_not_swept", reason=str(error))
