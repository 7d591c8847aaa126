"""How callers are authenticated, as the settings say.

Without identities everybody is anonymous and may do everything. With accounts a caller shows a bearer token (RFC 6750)
in the header Authorization, and nowhere else; public routes do not ask for one.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Final, Protocol

from prometheus_client import CollectorRegistry

from runtime import database
from runtime.http.access import FAIL_CLOSED
from runtime.http.exchange import Exchange
from runtime.http.pipeline import Given, permit_to
from runtime.http.principal import (
    ANONYMOUS,
    NOBODY,
    Browsable,
    Principal,
    Public,
    is_confined,
    permission_of,
)
from runtime.http.routes import Route
from runtime.identity import tokens
from runtime.identity.metrics import IdentityMetrics
from runtime.identity.tokens import BadToken
from runtime.identity.trail import AuditTrail, TrailKind, TrailRow
from runtime.identity.trust import UNREADABLE, Pool, Trust
from runtime.problems import CHALLENGE, ProblemError
from runtime.settings import Settings

_BEARER: Final = b"bearer "
_INVALID: Final = f'{CHALLENGE}, error="invalid_token"'

DENIALS: Final = frozenset(
    (
        *("unauthenticated", "forbidden", "bad-credentials", "too-many-attempts"),
        *("token-refused", "login-refused", "link-refused"),
    )
)
"""Problems that are answered because of who the caller is, or is not."""

REPLAYS: Final = frozenset(("audit:read",))
"""Permissions to read the log itself."""


class Identity(Protocol):
    """Who callers are, for the pipeline of one application."""

    async def authenticate(self, exchange: Exchange) -> Principal:
        """The principal of a request."""

    def recognise(self, exchange: Exchange) -> Principal | None:
        """The same where nothing may be waited for; None: `authenticate` has to be asked."""

    async def guest_of(self, token: str) -> str | None:
        """The guest whom a token names; None where it is none that is good now."""

    def authorise(self, exchange: Exchange, route: Route) -> None:
        """Refuse a route to a principal that may not use it."""

    def note(self, exchange: Exchange, status: int) -> None:
        """Count for security streams what a caller was refused, or read of the log."""

    async def record(self, exchange: Exchange, given: Given, detail: str) -> None:
        """Have a security stream say what a caller is given, before it is."""

    def opened(self) -> contextlib.AbstractAsyncContextManager[None]:
        """Keeps what is known of callers up to date for the length of a block."""


def identity(settings: Settings, *, name: str, registry: CollectorRegistry) -> Identity:
    """Who callers are; `name` is that of the process in Postgres, and in security streams."""
    if settings.identity == "accounts":
        assert settings.database_url is not None, "both APIs need one"
        url = settings.database_url.get_secret_value()
        return TokenCallers(url, name=name, metrics=IdentityMetrics(registry))
    return Anonymous()


class Anonymous:
    """Nobody says who they are, and everybody may do everything."""

    async def authenticate(self, _exchange: Exchange) -> Principal:
        """Everybody is the same."""
        return ANONYMOUS

    def recognise(self, _exchange: Exchange) -> Principal | None:
        """Everybody is the same."""
        return ANONYMOUS

    async def guest_of(self, _token: str) -> str | None:
        """There are no tokens."""
        return None

    def authorise(self, _exchange: Exchange, _route: Route) -> None:
        """Everybody may do everything."""

    def note(self, _exchange: Exchange, _status: int) -> None:
        """An anonymous caller leaves no trace."""

    async def record(self, _exchange: Exchange, _given: Given, _detail: str) -> None:
        """An anonymous caller leaves no trace."""

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """There is nothing to keep."""
        yield


class TokenCallers:
    """Callers show tokens, which are verified with what the vault says."""

    def __init__(self, url: str, *, name: str, metrics: IdentityMetrics) -> None:
        self._url = url
        self._name = name
        self._pool: Pool | None = None
        self._metrics = metrics
        self.trust = Trust()
        self.trail = AuditTrail(url, process=name)
        metrics.show_age(lambda: self.trust.age_s)

    async def authenticate(self, exchange: Exchange) -> Principal:
        """The principal that the request's token stands for.

        Raises:
            ProblemError: `unauthenticated`, or `identity-unavailable` where no token can be verified yet.
        """
        assert exchange.route is not None, "matched before"
        requirement = exchange.route.requires
        if isinstance(requirement, Public) or (
            isinstance(requirement, Browsable) and not _shows_anything(exchange)
        ):
            return NOBODY
        recognised = self.recognise(exchange)
        if recognised is not None:
            return recognised
        header = _authorization(exchange)
        token = None if header is None else _bearer(header)
        if header is None or token is None:
            raise ProblemError("unauthenticated", "The request carries no token.")
        if not self.trust.is_known:
            raise _unavailable()
        assert self._pool is not None, "requests come when the application is open"
        self._metrics.verifying(cached=self.trust.remembers(token))
        try:
            principal = await self.trust.shown(token, self._pool)
        except UNREADABLE:
            raise _unavailable() from None
        except BadToken:
            # Which of the many reasons it is would only help who tries.
            challenge = {"www-authenticate": _INVALID}
            raise ProblemError("unauthenticated", "The token is not accepted.", headers=challenge) from None
        self.trust.recognise_by(header, token)
        return principal

    def recognise(self, exchange: Exchange) -> Principal | None:
        """The principal of a token that was verified before."""
        header = _authorization(exchange)
        principal = None if header is None else self.trust.recognised(header)
        if principal is not None:
            self._metrics.verifying(cached=True)
        return principal

    async def guest_of(self, token: str) -> str | None:
        """The guest of a token that comes in a body, next to the token of the caller.

        Raises:
            ProblemError: `identity-unavailable` where no token can be verified now.
        """
        if not self.trust.is_known:
            raise _unavailable()
        assert self._pool is not None, "requests come when the application is open"
        try:
            principal = await self.trust.shown(token.encode(), self._pool)
        except UNREADABLE:
            raise _unavailable() from None
        except BadToken:
            return None
        return principal.id if principal.kind == "guest" else None

    def authorise(self, exchange: Exchange, route: Route) -> None:
        """Refuse what the principal may not do, and what nobody may while revocations are not known.

        Raises:
            ProblemError: `forbidden`, `unauthenticated`, `identity-unavailable`.
        """
        permit_to(exchange.principal, route.requires)
        if not self.trust.is_current and permission_of(route.requires) in FAIL_CLOSED:
            raise _unavailable()

    def note(self, exchange: Exchange, status: int) -> None:
        """Count a denial, a refused login, or a read of the log.

        What belongs to somebody else is answered as what there is not, and both are denials: to tell them apart here
        would take a question to the database that only one of them needs.
        """
        code, route = exchange.code, exchange.route
        if route is None:
            return
        if code is not None:
            if code in DENIALS or (status == 404 and is_confined(exchange.principal, route.requires)):
                self._metrics.denied(route.path, code)
                kind: TrailKind = "denied" if exchange.about is None else "login-refused"
                who = exchange.about or exchange.principal.actor
                self.trail.count(kind, actor=who, route=_named(exchange, route), code=code)
        elif status < 400 and (exchange.is_replay or route.requires in REPLAYS):
            self.trail.count("read", actor=exchange.principal.actor, route=_named(exchange, route))

    async def record(self, exchange: Exchange, given: Given, detail: str) -> None:
        """Say that a caller is given a whole list, or personal data.

        Raises:
            ProblemError: `identity-unavailable`.
        """
        assert exchange.route is not None, "matched before"
        await self.trail.record(
            TrailRow(
                given,
                exchange.principal.actor,
                _named(exchange, exchange.route),
                "",
                time.time(),
                detail,
                exchange.correlation_id,
            )
        )

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Read the vault, and write what is said to security streams, for the length of a block."""
        reading = database.pool(
            self._url, role="counterfoil_reader", name=f"{self._name} identity", size=2, idle=1
        )
        async with reading as pool, self.trail.opened():
            self._pool = pool
            with contextlib.suppress(*UNREADABLE):
                await self.trust.poll(pool)  # so that the first request finds what is known
            polling = asyncio.create_task(self.trust.run(pool), name=f"{self._name}: identity")
            try:
                yield
            finally:
                polling.cancel()
                await asyncio.gather(polling, return_exceptions=True)


def _named(exchange: Exchange, route: Route) -> str:
    """A route as security streams name it."""
    return f"{exchange.scope['method']} {route.path}"


def _shows_anything(exchange: Exchange) -> bool:
    """Whether the request has a header by which its caller could be known."""
    return any(name == b"authorization" for name, _ in exchange.headers)


def _authorization(exchange: Exchange) -> bytes | None:
    """The header by which the caller is known; None where there is none, or more than one."""
    found: bytes | None = None
    for name, value in exchange.scope["headers"]:
        if name == b"authorization":
            if found is not None:
                return None
            found = value
    return found


def _bearer(header: bytes) -> bytes | None:
    """The token in a header; None where it has none."""
    if header[: len(_BEARER)].lower() != _BEARER or len(header) > tokens.TOKEN_BYTES_MAX:
        return None
    return header[len(_BEARER) :].strip()


def _unavailable() -> ProblemError:
    return ProblemError("identity-unavailable", "Revoked tokens are not known at the moment.")
