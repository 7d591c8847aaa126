"""Recipients of mails: looked up when a mail is sent, so that no event has an address or a secret.

Who requests mails implements `Recipients`, next to the rows in which addresses and tokens are kept.
"""

import contextlib
from collections.abc import AsyncIterator, Mapping
from types import MappingProxyType
from typing import Final, Protocol

from msgspec import Struct

from domain.mail.events import MailRequested
from runtime.settings import Settings

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
    """The mail is not to be sent any more, or to nobody.

    `reason` goes into the log: `expired`, `superseded`, `used`, `erased`, `no_address`.
    """

    reason: str


class Recipients(Protocol):
    """The address book of those who request mails."""

    async def find(self, mail: MailRequested) -> Recipient | Unwanted:
        """Whom a mail goes to, with a value for each secret of its template; the same each time until it is not wanted.

        Raises:
            RecipientsUnreachable: it cannot be looked up now.
        """
        ...


class ByTemplate:
    """Recipients of several contexts: the template says whose a mail is."""

    def __init__(self, others: Recipients, of: Mapping[str, Recipients]) -> None:
        """`of` has recipients by the name of a template, `others` those of all other mails."""
        self._others = others
        self._of = of

    async def find(self, mail: MailRequested) -> Recipient | Unwanted:
        """See `Recipients`."""
        return await self._of.get(mail.template, self._others).find(mail)


class FixedAddress:
    """One address of the shop's own, from a setting; None: mails to it are not sent."""

    def __init__(self, address: str | None) -> None:
        self._found = Unwanted("no_address") if address is None else Recipient(address=address)

    async def find(self, mail: MailRequested) -> Recipient | Unwanted:  # noqa: ARG002 - all go there
        """See `Recipients`."""
        return self._found


class _Nobody:
    """Recipients of an installation in which no context requests mails."""

    async def find(self, mail: MailRequested) -> Recipient | Unwanted:
        """See `Recipients`."""
        raise RecipientsUnreachable(f"no context knows recipients of {mail.template}")


@contextlib.asynccontextmanager
async def nobody(_settings: Settings) -> AsyncIterator[Recipients]:
    """Open the recipients of nobody."""
    yield _Nobody()
