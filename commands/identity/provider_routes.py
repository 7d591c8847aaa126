"""Routes of logins at providers, for browsers: sent there with a challenge, taken back with a code.

What binds the answer to the browser that was sent is a cookie, sealed and good for ten minutes. Its session can be
opened once, so an answer that comes twice opens nothing, whatever the provider says to its code.
"""

import base64
import re
import secrets
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec
import psycopg
import structlog
from fastapi import APIRouter
from msgspec import Struct
from starlette.responses import Response

from commands.calls import uuid7
from commands.identity.account_routes import Password
from commands.identity.external import Externals
from commands.identity.providers import Challenge, Provider, ProviderError, ProviderUnreachable
from commands.identity.routing import Serving, json_answer, read_secret, serving_of
from commands.identity.session_routes import shown
from commands.payloads import Payload
from domain.ids import ID_PATTERN, SessionId
from runtime.decoders import json_decoder
from runtime.http import api_version
from runtime.http.exchange import Exchange
from runtime.http.principal import Known, Public
from runtime.http.routes import ExchangeRoute
from runtime.problems import ProblemError

COOKIE: Final = "cf_login"
LOGIN_S: Final = 600
"""How long a browser may be at a provider."""

QUERY_BYTES_MAX: Final = 8 * 1024
PARAMETERS_MAX: Final = 16
PATH: Final = f"{api_version.PREFIX}/oidc"
_SECRET_BYTES: Final = 32

_next = re.compile(r"/(?![/\\])[A-Za-z0-9/_.~!$&'()*+,;=:@%?-]{0,500}")
_client_id = re.compile(ID_PATTERN)

log = structlog.get_logger()


class Login(Struct, frozen=True, kw_only=True):
    """What a browser brings back: which login it was sent for.

    `links` is the session that asked for it, where an identity is linked to the account of that session.
    """

    provider: str
    state: str
    nonce: str
    code_verifier: str
    session_id: str
    client_id: str
    next: str
    expires_at: float
    links: str | None = None


class Start:
    """Sends a browser to a provider."""

    requires: Final = Public("a caller who logs in has no token yet")

    async def __call__(self) -> Response:
        """Only declares that it can be called; requests come to `answer`."""
        raise AssertionError("the pipeline calls `answer`")

    async def answer(self, exchange: Exchange) -> Response:
        """Redirect to the provider, with a cookie."""
        url, cookie = await _begun(exchange, links=None)
        return Response(status_code=303, headers={"location": url, "set-cookie": cookie, **_NOT_STORED})


class LinkIdentity(Payload):
    """The password of the account: who has stolen a session does not add a login that outlasts it."""

    password: Password


class Link:
    """Sends the browser of somebody who is logged in to a provider, to log in by it from then on."""

    requires: Final = Known("an identity is linked to the account of the caller", only="account")

    async def __call__(self) -> Response:
        """Only declares that it can be called; requests come to `answer`."""
        raise AssertionError("the pipeline calls `answer`")

    async def answer(self, exchange: Exchange) -> Response:
        """Say where the browser is to go, with a cookie, to who knows the password."""
        body, sessions = await read_secret(LinkIdentity, exchange), serving_of(exchange).sessions
        assert sessions is not None, "checked before"
        await sessions.require_password(exchange.principal.id, body.password)
        url, cookie = await _begun(exchange, links=exchange.principal.credential)
        response = json_answer({"authorization_url": url})
        response.headers.update({"set-cookie": cookie, **_NOT_STORED})
        return response


class Callback:
    """Takes a browser back from a provider."""

    requires: Final = Public("a caller who logs in has no token yet")

    async def __call__(self) -> Response:
        """Only declares that it can be called; requests come to `answer`."""
        raise AssertionError("the pipeline calls `answer`")

    async def answer(self, exchange: Exchange) -> Response:
        """Answer the tokens of a new session, or that the identity is linked."""
        serving = serving_of(exchange)
        provider = _provider(exchange, serving)
        given = _query(exchange)
        login = _login(exchange, serving)
        if not secrets.compare_digest(given.get("state", "").encode(), login.state.encode()):
            raise _refused("The answer belongs to another login.")
        if "code" not in given:
            raise _refused("The login at the provider failed.")
        challenge = Challenge(state=login.state, nonce=login.nonce, code_verifier=login.code_verifier)
        try:
            asserted = await provider.assert_identity(given["code"], challenge, issuer=given.get("iss"))
        except ProviderUnreachable as error:
            raise _unreachable(login.provider, error) from error
        except ProviderError as error:
            log.warning("external_login_refused", provider=login.provider, reason=str(error))
            raise _refused("The answer of the provider is not accepted.") from None
        assert serving.sessions is not None, "checked before"
        externals = Externals(serving.sessions.accounts)
        if login.links is not None:
            account_id = await externals.link(
                login.links,
                login.provider,
                asserted,
                login_id=login.session_id,
                correlation_id=exchange.correlation_id,
            )
            response = json_answer({"account_id": account_id, "linked": login.provider, "next": login.next})
        else:
            found = await externals.found(login.provider, asserted, correlation_id=exchange.correlation_id)
            try:
                tokens = await serving.sessions.open(
                    found,
                    SessionId(login.session_id),
                    client_id=login.client_id,
                    correlation_id=exchange.correlation_id,
                    proven=externals.linked(asserted, found.account.account_id),
                )
            except psycopg.errors.UniqueViolation:
                raise _refused("This login was completed before.") from None
            except ProblemError as problem:
                if problem.type.slug != "bad-credentials":
                    raise
                raise _refused(
                    "The account here is closed or locked, or does not have the login any more."
                ) from None
            response = json_answer({**shown(tokens), "next": login.next})
        response.headers.update({"set-cookie": _cookie(exchange, "", lasting_s=0), **_NOT_STORED})
        return response


_NOT_STORED: Final = {"cache-control": "no-store", "referrer-policy": "no-referrer"}

ROUTES: Final = APIRouter(tags=["identity"], route_class=ExchangeRoute)


def _add(path: str, endpoint: Callable[..., Any], *, method: str, name: str) -> None:
    ROUTES.add_api_route(
        PATH + path,
        endpoint,
        methods=[method],
        route_class_override=ExchangeRoute,
        include_in_schema=False,
        name=name,
    )


_add("/{provider}/start", Start(), method="GET", name="start_login")
_add("/{provider}/link", Link(), method="POST", name="link_identity")
_add("/{provider}/callback", Callback(), method="GET", name="complete_login")


async def _begun(exchange: Exchange, *, links: str | None) -> tuple[str, str]:
    """Where a browser is sent, and the cookie that it takes with it.

    Raises:
        ProblemError: there is no such provider, it does not answer, or it is to lead elsewhere than to us.
    """
    serving = serving_of(exchange)
    provider = _provider(exchange, serving)
    given = _query(exchange)
    assert serving.sessions is not None, "checked before"
    following, client_id = given.get("next", "/"), given.get("client_id", "shop")
    if _next.fullmatch(following) is None:
        raise _refused("`next` is no path of the shop: it begins with one slash and names no host.")
    if _client_id.fullmatch(client_id) is None:
        raise _refused("`client_id` is no id.")
    challenge = Challenge(
        state=secrets.token_urlsafe(_SECRET_BYTES),
        nonce=secrets.token_urlsafe(_SECRET_BYTES),
        code_verifier=secrets.token_urlsafe(_SECRET_BYTES),
    )
    name = exchange.parameters["provider"]
    try:
        url = await provider.authorization_url(challenge)
    except ProviderUnreachable as error:
        raise _unreachable(name, error) from error
    now = serving.sessions.accounts.recorder.clock()
    login = Login(
        provider=name,
        state=challenge.state,
        nonce=challenge.nonce,
        code_verifier=challenge.code_verifier,
        session_id=uuid7(now),
        client_id=client_id,
        next=following,
        expires_at=now.timestamp() + LOGIN_S,
        links=links,
    )
    sealed = serving.sessions.accounts.secrets.seal_login(msgspec.json.encode(login))
    content = base64.urlsafe_b64encode(sealed).decode().rstrip("=")
    return url, _cookie(exchange, content, lasting_s=LOGIN_S)


def _login(exchange: Exchange, serving: Serving) -> Login:
    """The login that a browser was sent for.

    Raises:
        ProblemError: it was not, or too long ago, or to another provider.
    """
    assert serving.sessions is not None, "checked before"
    accounts = serving.sessions.accounts
    found = [
        value
        for name, value in exchange.headers
        if name == b"cookie"
        for value in re.findall(rf"(?:^|;\s*){COOKIE}=([A-Za-z0-9_-]+)".encode(), value)
    ]
    if len(found) != 1:
        raise _refused("The login did not begin in this browser.")
    try:
        sealed = base64.urlsafe_b64decode(found[0] + b"=" * (-len(found[0]) % 4))
    except ValueError:  # no text of ours has this length
        sealed = b""
    content = accounts.secrets.open_login(sealed)
    if content is None:
        raise _refused("The login did not begin in this browser.")
    login = json_decoder(Login).decode(content)
    if login.expires_at < accounts.recorder.clock().timestamp():
        raise _refused("The login took too long.")
    if login.provider != exchange.parameters["provider"]:
        raise _refused("The answer comes from another provider.")
    return login


def _provider(exchange: Exchange, serving: Serving) -> Provider:
    name = exchange.parameters["provider"]
    found = serving.providers.get(name)
    if found is None:
        raise ProblemError("not-found", f"No provider {name!r} is configured here.")
    return found


def _query(exchange: Exchange) -> dict[str, str]:
    """The parameters of the address, each at most once.

    Raises:
        ProblemError: it has others.
    """
    raw: bytes = exchange.scope["query_string"]
    if len(raw) > QUERY_BYTES_MAX:
        raise _refused("The address is too long.")
    try:
        pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, max_num_fields=PARAMETERS_MAX)
    except ValueError:
        raise _refused("The address cannot be read.") from None
    if len({name for name, _ in pairs}) != len(pairs):
        raise _refused("A parameter is given twice.")
    return dict(pairs)


def _cookie(exchange: Exchange, content: str, *, lasting_s: int) -> str:
    """Sent to these routes only, by no script, with no request that another page makes but a link to here."""
    secure = "; Secure" if exchange.pipeline.app.state.identity.cookies_secure else ""
    return f"{COOKIE}={content}; Path={PATH}; Max-Age={lasting_s}; HttpOnly; SameSite=Lax{secure}"


def _refused(detail: str) -> ProblemError:
    return ProblemError("login-refused", detail)


def _unreachable(provider: str, error: ProviderUnreachable) -> ProblemError:
    log.warning("provider_unreachable", provider=provider, reason=str(error))
    return ProblemError("provider-unreachable", f"{provider} does not answer as it should.")
