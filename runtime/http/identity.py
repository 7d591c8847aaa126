"""How callers are authenticated, as the settings say.

Without identities everybody is anonymous and may do everything. With accounts a caller shows a bearer token (RFC 6750)
in the header Authorization, and nowhere else; public routes do not ask for one.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final, Protocol

from runtime import database
from runtime.http.access import FAIL_CLOSED
from runtime.http.exchange import Exchange
from runtime.http.pipeline import permit
from runtime.http.principal import ANONYMOUS, NOBODY, Principal, Public
from runtime.http.routes import Route
from runtime.identity import tokens
from runtime.identity.tokens import BadToken
from runtime.identity.trust import UNREADABLE, Pool, Trust
from runtime.problems import ProblemError
from runtime.settings import Settings, SettingsError

_BEARER: Final = b"bearer "
_CHALLENGE: Final = 'Bearer realm="counterfoil"'
_INVALID: Final = f'{_CHALLENGE}, error="invalid_token"'


class Identity(Protocol):
    """Who callers are, for the pipeline of one application."""

    async def authenticate(self, exchange: Exchange) -> Principal:
        """The principal of a request."""

    def recognise(self, exchange: Exchange) -> Principal | None:
        """The same where nothing may be waited for; None: `authenticate` has to be asked."""

    def authorise(self, exchange: Exchange, route: Route) -> None:
        """Refuse a route to a principal that may not use it."""

    def opened(self) -> contextlib.AbstractAsyncContextManager[None]:
        """Keeps what is known of callers up to date for the length of a block."""


def identity(settings: Settings, *, name: str) -> Identity:
    """Who callers are; `name` is that of the process in Postgres.

    Raises:
        SettingsError: a production installation has to say who its callers are.
    """
    if settings.identity == "accounts":
        assert settings.database_url is not None, "both APIs need one"
        return TokenCallers(settings.database_url.get_secret_value(), name=name)
    if settings.identity is None and settings.profile == "production":
        raise SettingsError(
            "COUNTERFOIL_IDENTITY: the production profile needs it; `accounts` authenticates callers, `anonymous` means"
            " that every caller may do everything, so a gateway before the APIs has to authenticate them"
        )
    return Anonymous()


class Anonymous:
    """Nobody says who they are, and everybody may do everything."""

    async def authenticate(self, _exchange: Exchange) -> Principal:
        """Everybody is the same."""
        return ANONYMOUS

    def recognise(self, _exchange: Exchange) -> Principal | None:
        """Everybody is the same."""
        return ANONYMOUS

    def authorise(self, _exchange: Exchange, _route: Route) -> None:
        """Everybody may do everything."""

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """There is nothing to keep."""
        yield


class TokenCallers:
    """Callers show tokens, which are verified with what the vault says."""

    def __init__(self, url: str, *, name: str) -> None:
        self._url = url
        self._name = name
        self._pool: Pool | None = None
        self.trust = Trust()

    async def authenticate(self, exchange: Exchange) -> Principal:
        """The principal that the request's token stands for.

        Raises:
            ProblemError: `unauthenticated`, or `identity-unavailable` where no token can be verified yet.
        """
        assert exchange.route is not None, "matched before"
        if isinstance(exchange.route.requires, Public):
            return NOBODY
        token = _bearer(exchange)
        if token is None:
            raise _unauthenticated("The request carries no token.", _CHALLENGE)
        if not self.trust.is_known:
            raise _unavailable()
        assert self._pool is not None, "requests come when the application is open"
        try:
            return await self.trust.shown(token, self._pool)
        except UNREADABLE:
            raise _unavailable() from None
        except BadToken:
            # Which of the many reasons it is would only help who tries.
            raise _unauthenticated("The token is not accepted.", _INVALID) from None

    def recognise(self, exchange: Exchange) -> Principal | None:
        """The principal of a token that was verified before."""
        token = _bearer(exchange)
        if token is None or not self.trust.remembers(token):
            return None
        try:
            return self.trust.trusted(token)
        except BadToken:
            return None

    def authorise(self, exchange: Exchange, route: Route) -> None:
        """Refuse what the principal may not do, and what nobody may while revocations are not known.

        Raises:
            ProblemError: `forbidden`, `unauthenticated`, `identity-unavailable`.
        """
        permit(exchange, route)
        if route.requires in FAIL_CLOSED and not self.trust.is_current:
            raise _unavailable()

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Read the vault for the length of a block."""
        reading = database.pool(
            self._url, role="counterfoil_reader", name=f"{self._name} identity", size=2, idle=1
        )
        async with reading as pool:
            self._pool = pool
            with contextlib.suppress(*UNREADABLE):
                await self.trust.poll(pool)  # so that the first request finds what is known
            polling = asyncio.create_task(self.trust.run(pool), name=f"{self._name}: identity")
            try:
                yield
            finally:
                polling.cancel()
                await asyncio.gather(polling, return_exceptions=True)


def _bearer(exchange: Exchange) -> bytes | None:
    """The token of a request; None where there is none, or no one token."""
    found: bytes | None = None
    for name, value in exchange.headers:
        if name == b"authorization":
            if found is not None:
                return None
            found = value
    if found is None or found[: len(_BEARER)].lower() != _BEARER or len(found) > tokens.TOKEN_BYTES_MAX:
        return None
    return found[len(_BEARER) :].strip()


def _unauthenticated(detail: str, challenge: str) -> ProblemError:
    return ProblemError("unauthenticated", detail, headers={"www-authenticate": challenge})


def _unavailable() -> ProblemError:
    return ProblemError("identity-unavailable", "Whose tokens were revoked cannot be told at the moment.")
