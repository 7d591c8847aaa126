"""Whom mails about orders go to: the address in the contact data of the order, opened when the mail is sent."""

import contextlib
from collections.abc import AsyncIterator

from commands import keys_on_demand
from commands.keys_on_demand import Keys
from commands.log_reading import LogReader, LogUnreachable
from commands.recipients import Recipient, Recipients, RecipientsUnreachable, Unwanted
from domain.ids import OrderId
from domain.mail.events import MailRequested
from domain.ordering.events import OrderPlaced
from domain.ordering.order import ORDER
from domain.sealed import Sealed
from event_store.log import codec, reading
from runtime import database
from runtime.keyring.errors import KeyringError, NoKeyDatabase
from runtime.keyring.keyring import SealedField
from runtime.settings import Settings


class OrderContacts:
    """Recipients by the order that a mail names."""

    def __init__(self, log: LogReader, keys: Keys) -> None:
        self._log = log
        self._keys = keys

    async def find(self, mail: MailRequested) -> Recipient | Unwanted:
        """See `Recipients`."""
        stream = ORDER.stream(OrderId(mail.parameters["order"]))
        email = await self._email(stream)
        if email is None:
            return Unwanted("erased")
        keyring = await self._keys()
        if keyring is None:
            raise RecipientsUnreachable(str(NoKeyDatabase()))
        field = SealedField(stream, "email", email.key_id, email.nonce, email.ciphertext)
        try:
            (found,) = await keyring.open([field])
        except KeyringError as error:
            raise RecipientsUnreachable(str(error)) from error
        address = keys_on_demand.unless_erased(found)
        return Unwanted("erased") if address is None else Recipient(address=address)

    async def _email(self, stream: str) -> Sealed | None:
        """The address as the order has it; None: there is none."""
        try:
            events = await self._log.read(
                lambda connection: reading.read_stream_async(connection, stream, limit=1)
            )
        except LogUnreachable as error:
            raise RecipientsUnreachable("the log does not answer") from error
        first = codec.decode(events[0].type, events[0].payload) if events else None
        if not isinstance(first, OrderPlaced) or first.contact is None:
            return None
        return first.contact.email


@contextlib.asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Recipients]:
    """Open the recipients of an installation."""
    assert settings.database_url is not None, "a sender says where the log is"
    url = settings.database_url.get_secret_value()
    async with (
        database.pool(url, role="counterfoil_writer", name="sender-mail orders", size=1) as pool,
        keys_on_demand.opened(settings, name="sender-mail orders") as keys,
    ):
        yield OrderContacts(LogReader(pool), keys)
