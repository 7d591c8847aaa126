"""Providers of identities, as logging in by them needs them; who calls them stands under the gateways.

Errors:

ProviderError
├── ProviderRefused      what came back is no login: a code that was used, a token that is not for us, another issuer
└── ProviderUnreachable  the provider does not answer as it should
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

from msgspec import Struct

from runtime.settings import Settings


class ProviderError(Exception):
    """A login that did not come about; the text is for our logs and holds nothing personal and no secret."""


class ProviderRefused(ProviderError):
    """The provider's answer is not a login."""


class ProviderUnreachable(ProviderError):
    """The provider does not answer as it should."""


class Challenge(Struct, frozen=True, kw_only=True):
    """The values that bind a provider's answer to one login of one browser."""

    state: str
    nonce: str
    code_verifier: str


class Asserted(Struct, frozen=True, kw_only=True):
    """An identity from a provider. `email` is only there if the provider verified it."""

    issuer: str
    subject: str
    email: str | None

    def __repr__(self) -> str:
        return f"Asserted(issuer={self.issuer!r}, subject=***, email={'***' if self.email else None})"


class Provider(Protocol):
    """One provider."""

    async def authorization_url(self, challenge: Challenge) -> str:
        """Where a browser is sent to log in there.

        Raises:
            ProviderUnreachable: it does not say.
        """
        ...

    async def assert_identity(self, code: str, challenge: Challenge, *, issuer: str | None) -> Asserted:
        """Who logged in there, by the code that the browser brought; `issuer` is who it says that it comes from.

        Raises:
            ProviderError: nobody did.
        """
        ...


Providers = Mapping[str, Provider]
"""By the name in the addresses of ours."""

Opening = Callable[[Settings], AbstractAsyncContextManager[Providers]]


@asynccontextmanager
async def none(_settings: Settings) -> AsyncIterator[Providers]:
    """There are no providers."""
    yield {}
