"""Routes that have their form from OAuth: refresh, client credentials, revocation, introspection, and the key set."""

import re
from typing import Final
from urllib.parse import parse_qsl

import msgspec
from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.responses import Response

from commands.documentation import problem_responses
from commands.identity.clients import NotGranted
from commands.identity.recording import by_system
from commands.identity.routing import BODY_BYTES_MAX, Asked, Identified, SecretRoute, json_answer, serving_of
from commands.identity.session_routes import CREDENTIALS, shown
from commands.identity.sessions import NotRefreshed
from commands.identity.vault import DENIED_FOR, GUEST_DENIED_FOR
from commands.request_parts import read_body, read_headers
from domain.ids import ID_PATTERN
from runtime.http import contract
from runtime.http.exchange import Exchange
from runtime.http.principal import Public, requires
from runtime.http.routes import ExchangeRoute
from runtime.identity.tokens import BadToken
from runtime.problem_types import CATALOGUE
from runtime.problems import MEDIA_TYPE, ProblemError

PARAMETERS_MAX: Final = 16

KEYS_PATH: Final = "/.well-known/jwks.json"

TOKEN_PATH: Final = "/oauth/token"  # noqa: S105 - an address, no token

REFUSED: Final = CATALOGUE["token-refused"]

_encode = msgspec.json.Encoder().encode
_visible = re.compile(r"[\x20-\x7e]*").fullmatch
"""What RFC 6749, appendix A, lets values be made of."""


class Introspection(BaseModel):
    """What a token stands for; of one that is not good, only that."""

    active: bool
    token_type: str | None = None
    iss: str | None = None
    sub: str | None = None
    sid: str | None = None
    jti: str | None = None
    client_id: str | None = None
    kind: str | None = None
    roles: list[str] = []
    scope: str | None = None
    iat: int | None = None
    exp: int | None = None
    aud: str | None = None


class AccessToken(BaseModel):
    """An access token; `refresh_token` and ids where it is one of a session, `scope` where it is one of a program."""

    access_token: str = Field(description="For the header Authorization of both APIs: `Bearer …`.")
    token_type: str
    expires_in: int
    refresh_token: str | None = None
    session_id: str | None = None
    account_id: str | None = None
    scope: str | None = None


SCHEMAS: Final[contract.Components] = {
    "TokenRequest": {
        "type": "object",
        "description": "A grant of RFC 6749.",
        "required": ["grant_type"],
        "properties": {
            "grant_type": {"type": "string", "enum": ["refresh_token", "client_credentials"]},
            "refresh_token": {"type": "string"},
            "client_id": {"type": "string", "pattern": ID_PATTERN},
            "client_secret": {"type": "string", "writeOnly": True},
            "scope": {"type": "string"},
        },
    },
    "TokenOf": {
        "type": "object",
        "description": "A token, and perhaps what it is taken for; RFC 7009 and 7662.",
        "required": ["token"],
        "properties": {"token": {"type": "string"}, "token_type_hint": {"type": "string"}},
    },
}

"""What the document of the command API says of forms."""


class OAuthError(Exception):
    """A refusal in the words of RFC 6749, 5.2, which stand in a problem like any other."""

    def __init__(self, code: str, description: str) -> None:
        super().__init__(code)
        self.code = code
        self.description = description


class FormRoute(SecretRoute):
    """A POST whose body is a form, as OAuth has it; what it refuses is answered as OAuth has it, too."""

    async def answer(self, exchange: Exchange) -> Response:
        """Read the form, and have the endpoint answer."""
        headers = read_headers(exchange.headers)
        body = await read_body(exchange, declared=headers.length, limit=BODY_BYTES_MAX)
        try:
            asked = self.asked(exchange, _form(body))
            response: Response = await self.endpoint(asked=asked)
        except OAuthError as error:
            exchange.code = REFUSED.slug
            return _refusal(error, exchange.correlation_id)
        return response


def _form_of(schema: str) -> contract.Document:
    """A body that is a form."""
    content = {"application/x-www-form-urlencoded": {"schema": contract.schema(schema)}}
    return {"requestBody": {"required": True, "content": content}}


ROUTES: Final = APIRouter(tags=["identity"], route_class=SecretRoute)


@requires(Public(CREDENTIALS))
async def token(asked: Identified) -> Response:
    """Exchange a refresh token for the next tokens of its session, each good once, or a key for an access token."""
    match asked.form.get("grant_type"):
        case "refresh_token":
            return await _refreshed(asked)
        case "client_credentials":
            return await _of_client(asked)
    raise OAuthError("unsupported_grant_type", "The grants are refresh_token and client_credentials.")


async def _refreshed(asked: Asked) -> Response:
    if "refresh_token" not in asked.form:
        raise OAuthError("invalid_request", "The parameter refresh_token is missing.")
    try:
        refreshed = await asked.sessions.refresh(
            asked.form["refresh_token"],
            client_id=asked.form.get("client_id", "shop"),
            correlation_id=asked.correlation_id,
        )
    except NotRefreshed:
        raise OAuthError("invalid_grant", "The refresh token is not accepted.") from None
    return json_answer(shown(refreshed))


async def _of_client(asked: Asked) -> Response:
    form = asked.form
    client_id, secret = asked.basic or (form.get("client_id", ""), form.get("client_secret", ""))
    scopes = form["scope"].split() if form.get("scope") else None
    try:
        granted = await asked.clients.token(client_id, secret, scopes=scopes)
    except NotGranted as error:
        raise OAuthError(error.code, "The client does not get this token.") from None
    return json_answer(
        {
            "access_token": granted.access_token,
            "token_type": "Bearer",  # nosec B105 - a word of RFC 6750
            "expires_in": granted.expires_in,
            "scope": " ".join(granted.scopes),
        }
    )


@requires(Public("the holder of a token may revoke it"))
async def revoke(asked: Identified) -> Response:
    """Have a token refused (RFC 7009): of a session, all of it ends. A text that is no token is revoked already."""
    if "token" not in asked.form:
        raise OAuthError("invalid_request", "The parameter token is missing.")
    given = asked.form["token"]
    session_id = asked.sessions.session_of(given)
    if session_id is None:
        try:
            claims = asked.trust.claims(given.encode())
        except BadToken:
            return Response(status_code=200)
        if claims.kind != "account":
            lifetime = GUEST_DENIED_FOR if claims.kind == "guest" else DENIED_FOR
            await asked.sessions.accounts.vault.deny([claims.jti], lifetime=lifetime)
            return Response(status_code=200)
        session_id = claims.sid
    by = by_system(asked.correlation_id)
    await asked.sessions.end(session_id, cause="logout", by=by)
    return Response(status_code=200)


@requires("tokens:introspect")
async def introspect(asked: Identified) -> Response:
    """Say what a token stands for, to a program that was shown it (RFC 7662)."""
    if "token" not in asked.form:
        raise OAuthError("invalid_request", "The parameter token is missing.")
    try:
        claims = asked.trust.claims(asked.form["token"].encode())
    except BadToken:
        return json_answer({"active": False})
    return json_answer({"active": True, "token_type": "Bearer", **msgspec.to_builtins(claims)})  # nosec B105 - a word of RFC 6750


class KeySet:
    """Answers the public keys by which access tokens are verified (RFC 7517)."""

    requires: Final = Public("public keys are for everybody who verifies tokens")

    async def __call__(self) -> Response:
        """Only declares that it can be called; requests come to `answer`."""
        raise AssertionError("the pipeline calls `answer`")

    async def answer(self, exchange: Exchange) -> Response:
        """Answer the key that signs, the one that is announced, and those that signed lately."""
        trust = serving_of(exchange).trust
        assert trust is not None, "an installation with accounts has it"
        response = json_answer({"keys": trust.key_set()})
        response.headers["cache-control"] = "public, max-age=60"
        return response


ROUTES.add_api_route(
    TOKEN_PATH,
    token,
    methods=["POST"],
    route_class_override=FormRoute,
    response_model=AccessToken,
    operation_id="exchange_token",
    summary="Refresh a session, or get a token for a program",
    responses=problem_responses(
        ("token-refused", "not-found", "body-too-large", "body-too-slow", "store-unavailable")
    ),
    openapi_extra=_form_of("TokenRequest"),
)

ROUTES.add_api_route(
    "/oauth/revoke",
    revoke,
    methods=["POST"],
    route_class_override=FormRoute,
    response_class=Response,
    operation_id="end_token",
    summary="Revoke a token",
    responses=problem_responses(
        ("token-refused", "not-found", "body-too-large", "body-too-slow", "store-unavailable", "too-busy")
    ),
    openapi_extra=_form_of("TokenOf"),
)

ROUTES.add_api_route(
    "/oauth/introspect",
    introspect,
    methods=["POST"],
    route_class_override=FormRoute,
    response_model=Introspection,
    operation_id="get_token",
    summary="What a token stands for",
    responses=problem_responses(("token-refused", "not-found", "body-too-large", "body-too-slow")),
    openapi_extra=_form_of("TokenOf"),
)

ROUTES.add_api_route(
    KEYS_PATH,
    KeySet(),
    methods=["GET"],
    route_class_override=ExchangeRoute,
    include_in_schema=False,
    name="key_set",
)


def _refusal(error: OAuthError, correlation_id: str) -> Response:
    document = ProblemError(REFUSED, error.description).document(correlation_id)
    body = {**document, "error": error.code, "error_description": error.description}
    return Response(_encode(body), status_code=REFUSED.status, media_type=MEDIA_TYPE)


def _form(body: bytes) -> dict[str, str]:
    """The parameters of a form; RFC 6749 wants each at most once."""
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(body),
            max_num_fields=PARAMETERS_MAX,
        )
    except ValueError:
        raise OAuthError("invalid_request", "The body is not a form.") from None
    if any(_visible(value) is None for _, value in pairs):
        raise OAuthError("invalid_request", "A parameter has a forbidden character.")
    if len({name for name, _ in pairs}) != len(pairs):
        raise OAuthError("invalid_request", "A parameter is given twice.")
    return dict(pairs)
