"""The keyring of a sender: opened when the first value is, so that it starts without keys, and what needs one waits."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

from commands import erasure_list
from commands.log_reading import LogReader
from commands.recipients import RecipientsUnreachable
from runtime import database
from runtime.keyring import keyring as keyrings
from runtime.keyring.errors import KeyringError
from runtime.keyring.keyring import Keyring, Unopened
from runtime.settings import Settings

Keys = Callable[[], Awaitable[Keyring | None]]
"""The keyring; None where no key database is configured. Raises RecipientsUnreachable where it cannot be opened now."""


def unless_erased(found: str | Unopened) -> str | None:
    """The value that a keyring opened; None: it was erased.

    Raises:
        RecipientsUnreachable: its key is gone, and the list of erasures may say why in a moment.
    """
    if found is Unopened.UNREADABLE:
        raise RecipientsUnreachable("an address cannot be opened: its key is missing")
    return None if isinstance(found, Unopened) else found


@contextlib.asynccontextmanager
async def opened(settings: Settings, *, name: str) -> AsyncIterator[Keys]:
    """What opens the keyring of a sender when it is first asked for, and closes it at the end of the block."""
    async with contextlib.AsyncExitStack() as opening:
        known, one_by_one = list[Keyring | None](), asyncio.Lock()

        async def keys() -> Keyring | None:
            async with one_by_one:
                if not known:
                    try:
                        known.append(await opening.enter_async_context(_keyring(settings, name)))
                    except KeyringError as error:
                        raise RecipientsUnreachable(str(error)) from error
                return known[0]

        yield keys


@contextlib.asynccontextmanager
async def _keyring(settings: Settings, name: str) -> AsyncIterator[Keyring | None]:
    assert settings.database_url is not None, "a sender says where the log is"
    url = settings.database_url.get_secret_value()
    async with database.pool(url, role="counterfoil_writer", name=f"{name} erasures", size=1) as pool:
        reading = erasure_list.read_by(LogReader(pool))
        async with keyrings.opened(
            settings, role="counterfoil_revealer", name=name, erasures=reading
        ) as keyring:
            yield keyring
