"""Whom mails of identity go to: addresses and tokens of links, as the vault and the file of secrets have them now."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from commands import keys_on_demand
from commands.identity import secrets as secrets_file
from commands.identity.errors import SecretsFileError
from commands.identity.link_rows import LinkRows
from commands.identity.links import token_of
from commands.identity.login_addresses import LoginAddresses
from commands.identity.secrets import Secrets
from commands.identity.vault import KeptAddress, Vault
from commands.keys_on_demand import Keys
from commands.recipients import Recipient, Recipients, RecipientsUnreachable, Unwanted
from domain.mail.events import MailRequested
from domain.mail.templates import WITH_SECRETS
from runtime import database
from runtime.problems import ProblemError
from runtime.settings import Settings


class AddressBook:
    """Recipients by the ids that events of identity name."""

    def __init__(self, vault: Vault, rows: LinkRows, *, file: Path, keys: Keys) -> None:
        self._vault = vault
        self._rows = rows
        self._file = file
        self._keys = keys

    async def find(self, mail: MailRequested) -> Recipient | Unwanted:
        """See `Recipients`. A mail with a link has the link's id, and says of others whose account they are about."""
        try:
            return await (self._of_link(mail) if mail.template in WITH_SECRETS else self._of_account(mail))
        except ProblemError as problem:
            raise RecipientsUnreachable(problem.type.slug) from None

    async def _of_link(self, mail: MailRequested) -> Recipient | Unwanted:
        row = await self._rows.link(mail.mail_id)
        over = "erased" if row is None else row.over
        if row is None or over is not None:
            return Unwanted(over or "erased")
        address, secrets = await self._opened(row.address), await self._secrets()
        if address is None:
            return Unwanted("erased")
        return Recipient(address=address, secrets={"token": token_of(mail.mail_id, secrets)})

    async def _of_account(self, mail: MailRequested) -> Recipient | Unwanted:
        kept = await self._vault.address_of(mail.recipient_ref)
        address = None if kept is None else await self._opened(kept)
        return Unwanted("erased") if address is None else Recipient(address=address)

    async def _opened(self, kept: KeptAddress) -> str | None:
        """The address in a row; None: it was erased."""
        if kept.plain is not None:
            return kept.plain
        return keys_on_demand.unless_erased(await LoginAddresses(await self._keys()).open(kept))

    async def _secrets(self) -> Secrets:
        """The file, read when it is needed: a sender starts without it, and mails wait for it."""
        try:
            secrets = await asyncio.to_thread(secrets_file.read, self._file)
        except SecretsFileError as error:
            raise RecipientsUnreachable(str(error)) from error
        if secrets.digest != await self._vault.digest():
            raise RecipientsUnreachable(
                f"{self._file} is not the file of secrets that the vault was begun with"
            )
        return secrets


@contextlib.asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Recipients]:
    """Open the recipients of an installation."""
    assert settings.database_url is not None, "a sender says where the log is"
    url = settings.database_url.get_secret_value()
    async with (
        database.pool(url, role="counterfoil_vault", name="sender-mail recipients", size=1) as pool,
        keys_on_demand.opened(settings, name="sender-mail accounts") as keys,
    ):
        yield AddressBook(Vault(pool), LinkRows(pool), file=settings.secrets_file, keys=keys)
