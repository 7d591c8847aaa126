"""Who gets a mail: looked up at the moment it is sent, so that no event holds an address or a secret.

Who requests mails implements `Recipients`, beside the rows in which addresses and tokens are kept.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Protocol

from msgspec import Struct

from domain.mail.events import MailRequested

_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


class RecipientsUnreachable(Exception):
    """Recipients cannot be looked up now; the text holds nothing personal."""


class Recipient(Struct, frozen=True, kw_only=True):
    """Where a mail goes, and what its template needs besides its parameters. It never shows what it holds."""

    address: str
    secrets: Mapping[str, str] = _NOTHING

    def __repr__(self) -> str:
        return f"Recipient(address=***, secrets={sorted(self.secrets)})"


class Unwanted(Struct, frozen=True):
    """The mail is not to be sent any more. `reason` goes into the log: `expired`, `superseded`, `used`, `erased`."""

    reason: str


class Recipients(Protocol):
    """The address book of those who request mails."""

    async def find(self, mail: MailRequested) -> Recipient | Unwanted:
        """Whom a mail goes to, with a value for each secret of its template; the same each time until it is not wanted.

        Raises:
            RecipientsUnreachable: it cannot be looked up now.
        """
        ...
