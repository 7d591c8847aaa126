"""Common parts of the routes of identity: services, bodies with secrets, idempotency keys."""

import base64
from collections.abc import Callable
from types import MappingProxyType
from typing import Annotated, Any, Final, TypeVar, get_type_hints
from urllib.parse import unquote_plus

import msgspec
from fastapi import Depends
from starlette.responses import Response

from commands import documentation, payloads
from commands.authority import authority_of
from commands.calls import Call, fingerprint, key_digest
from commands.documentation import REQUEST_HEADERS
from commands.identity.administration import Administration
from commands.identity.clients import Clients
from commands.identity.guests import Guests
from commands.identity.links import Links
from commands.identity.providers import Providers
from commands.identity.sessions import Sessions
from commands.payloads import Payload
from commands.request_parts import read_body, read_headers, require_json, valid_key
from domain.ids import MalformedId, validate_id
from runtime.http import contract
from runtime.http.exchange import Exchange
from runtime.http.principal import Principal
from runtime.http.routes import ExchangeRoute
from runtime.identity.trust import Trust
from runtime.problems import ProblemError

BODY_BYTES_MAX: Final = 8 * 1024
OF_COMMANDS: Final = tuple(
    slug for slug in documentation.ALWAYS if not slug.startswith(("if-match", "precondition"))
)
WITH_KEY: Final = {
    "parameters": contract.refer("parameters", *[n for n in REQUEST_HEADERS if n == "Idempotency-Key"])
}

P = TypeVar("P", bound=Payload)

_encode = msgspec.json.Encoder().encode


class Serving(msgspec.Struct, frozen=True):
    """What the routes need, once the application is open; `sessions` None: the installation has no accounts."""

    sessions: Sessions | None
    clients: Clients | None
    guests: Guests | None
    trust: Trust | None
    links: Links | None = None
    providers: Providers = MappingProxyType({})
    cookies_secure: bool = True


class Asked(msgspec.Struct, frozen=True):
    """The caller of a request; `form`: parameters of an OAuth request; `basic`: name and secret of its client."""

    sessions: Sessions
    clients: Clients
    guests: Guests
    administration: Administration
    links: Links
    trust: Trust
    principal: Principal
    correlation_id: str
    address: str
    form: dict[str, str] = {}
    basic: tuple[str, str] | None = None


def _carried() -> Asked:
    raise AssertionError("routes hand it over themselves")


Identified = Annotated[Asked, Depends(_carried)]


def _called() -> Call:
    raise AssertionError("routes hand it over themselves")


Called = Annotated[Call, Depends(_called)]


class SecretRoute(ExchangeRoute):
    """A POST whose body is JSON, or none."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        self.payload: type[Payload] | None = get_type_hints(endpoint).get("body")

    async def answer(self, exchange: Exchange) -> Response:
        """Read the body, and have the endpoint answer."""
        asked = self.asked(exchange)
        given: dict[str, Any] = dict(exchange.parameters)
        if self.payload is not None:
            given["body"] = await read_secret(self.payload, exchange)
        response: Response = await self.endpoint(**given, asked=asked)
        return response

    def asked(self, exchange: Exchange, form: dict[str, str] | None = None) -> Asked:
        """What the endpoint knows of the request.

        Raises:
            ProblemError: the installation has no accounts.
        """
        serving = serving_of(exchange)
        assert serving.sessions is not None, "looked at before"
        assert serving.clients is not None, "as sessions"
        assert serving.guests is not None, "as sessions"
        assert serving.trust is not None, "as sessions"
        assert serving.links is not None, "as sessions"
        return Asked(
            serving.sessions,
            serving.clients,
            serving.guests,
            Administration(serving.sessions),
            serving.links,
            serving.trust,
            exchange.principal,
            exchange.correlation_id,
            exchange.address,
            form=form or {},
            basic=_basic(exchange),
        )


class KeyedRoute(SecretRoute):
    """A POST with an idempotency key."""

    async def answer(self, exchange: Exchange) -> Response:
        """Read key and body, and have the endpoint answer."""
        asked = self.asked(exchange)
        headers = read_headers(exchange.headers)
        key = valid_key(headers.key)
        body = await read_body(exchange, declared=headers.length, limit=BODY_BYTES_MAX)
        if body:
            require_json(headers)
        assert self.payload is not None, "every one of them takes a body"
        payload, spelled = payloads.read_canonical(self.payload, body or b"{}")
        target = "/".join(exchange.parameters.values()) or None
        call = Call(
            command=self.endpoint.__name__,
            key=key_digest(asked.principal.actor, key),
            fingerprint=fingerprint(
                asked.sessions.accounts.recorder.fingerprints,
                key,
                command=self.endpoint.__name__,
                target=target,
                canonical=spelled,
            ),
            correlation_id=asked.correlation_id,
            actor=asked.principal.actor,
            on_behalf_of=asked.principal.on_behalf_of,
            authority=authority_of(asked.principal, self.endpoint.requires),  # type: ignore[attr-defined]  # declared
        )
        response: Response = await self.endpoint(body=payload, call=call, asked=asked, **exchange.parameters)
        return response


async def read_secret(payload: type[P], exchange: Exchange) -> P:
    """The body of a request that has a secret in it.

    Raises:
        ProblemError: it is no JSON, or another.
    """
    headers = read_headers(exchange.headers)
    body = await read_body(exchange, declared=headers.length, limit=BODY_BYTES_MAX)
    require_json(headers)
    return payloads.read(payload, body)


def serving_of(exchange: Exchange) -> Serving:
    """What the application opened at its start.

    Raises:
        ProblemError: it has no accounts.
    """
    serving = exchange.pipeline.app.state.identity
    if not isinstance(serving, Serving) or serving.sessions is None:
        raise ProblemError(
            "not-found", "This installation has no accounts: COUNTERFOIL_IDENTITY is not `accounts`."
        )
    return serving


def valid_id(given: str) -> str:
    """An id of an address.

    Raises:
        ProblemError: `not-found`: nothing can have it.
    """
    try:
        return validate_id(given)
    except MalformedId as refusal:
        raise ProblemError("not-found", "The id is malformed.") from refusal


def json_answer(body: dict[str, Any], *, status: int = 200) -> Response:
    """An answer in JSON."""
    return Response(_encode(body), status_code=status, media_type="application/json")


def _basic(exchange: Exchange) -> tuple[str, str] | None:
    """Name and secret of the header Authorization, as OAuth has it (RFC 6749, 2.3.1); None: there is none."""
    found = [value for name, value in exchange.headers if name == b"authorization"]
    if len(found) != 1 or found[0][:6].lower() != b"basic ":
        return None
    try:
        name, _, secret = base64.b64decode(found[0][6:], validate=True).decode().partition(":")
    except ValueError:
        return None
    return unquote_plus(name), unquote_plus(secret)
