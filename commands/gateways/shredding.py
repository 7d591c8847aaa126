"""The gateway of erasures: what lets personal data be read, or its subject log in, is destroyed where it is kept.

It destroys data keys in the key database, and addresses, passwords and sessions in the vault. Each may be done again:
what is gone stays gone, so nothing has to be asked before, and a restored backup is erased anew when it is asked.
"""

import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Final

from msgspec import Struct

from commands.gateways.gateway import Effect, Gateway, NoAnswer
from commands.identity.vault import Vault
from domain.customers import erasure
from domain.customers.customer import CUSTOMER, Customer
from domain.customers.events import ErasureRequested
from domain.event import Event
from runtime import database
from runtime.keyring.errors import KeysUnreachable
from runtime.keyring.key_rows import KeyRows
from runtime.settings import Settings

NAME: Final = "erasure"
STEP: Final = "erase"
ATTEMPT: Final = 1
"""A customer is erased once."""


class Destroyed(Struct, frozen=True):
    """Keys, credentials and sessions are gone."""


class Shredder:
    """Destroys what an erasure names."""

    def __init__(self, rows: KeyRows, vault: Vault) -> None:
        self._rows = rows
        self._vault = vault

    async def find(self, _key: str, _intent: ErasureRequested) -> Destroyed | None:
        """See `Port`: doing it again is as good as asking."""
        return None

    async def ask(self, _key: str, intent: ErasureRequested) -> Destroyed:
        """See `Port`. Who could log in cannot before anything else is destroyed."""
        if intent.account_id is not None:
            await self._vault.erase(intent.account_id)
        try:
            await self._rows.destroy(intent.key_ids)
        except KeysUnreachable as error:
            raise NoAnswer(str(error)) from error
        return Destroyed()


def record(
    customer: Customer | None, intent: ErasureRequested, _answer: Destroyed, now: datetime
) -> Sequence[Event]:
    """What an answer comes to."""
    return erasure.record_erasure(customer, intent, now=now)


def _opened(settings: Settings) -> AbstractAsyncContextManager[Shredder] | None:
    return None if settings.keys_database_url is None else _shredder(settings)


@contextlib.asynccontextmanager
async def _shredder(settings: Settings) -> AsyncIterator[Shredder]:
    assert settings.database_url is not None, "a sender says where the log is"
    assert settings.keys_database_url is not None, "looked at before"
    url, keys_url = settings.database_url.get_secret_value(), settings.keys_database_url.get_secret_value()
    async with (
        database.pool(keys_url, role="counterfoil_keys", name=f"sender-{NAME} keys", size=1) as keys,
        database.pool(url, role="counterfoil_vault", name=f"sender-{NAME} vault", size=1) as vault,
    ):
        yield Shredder(KeyRows(keys), Vault(vault))


ERASURE: Final = Gateway(
    name=NAME,
    effects=(
        Effect(
            step=STEP,
            aggregate=CUSTOMER,
            intent=ErasureRequested,
            concerns=lambda intent: (intent.customer_id, ATTEMPT),
            record=record,
        ),
    ),
    opened=_opened,
)
