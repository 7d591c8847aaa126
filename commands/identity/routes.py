"""Routes of sessions and tokens: what takes or gives a secret has no idempotency key, and nothing of it is kept.

Where the installation has no accounts they answer 404.
"""

import base64
from collections.abc import Callable
from types import MappingProxyType
from typing import Annotated, Any, Final, get_type_hints
from urllib.parse import parse_qsl, unquote_plus

import msgspec
from fastapi import APIRouter, Depends, Path
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from starlette.responses import Response

from commands import payloads
from commands.documentation import problem_responses
from commands.identity.clients import Clients, NotGranted
from commands.identity.passwords import CHARACTERS_MAX
from commands.identity.providers import Providers
from commands.identity.recording import By
from commands.identity.sessions import NotRefreshed, Sessions, Tokens
from commands.payloads import SECRET, Id, Payload
from commands.request_parts import read_body, read_headers, require_json
from domain.ids import ID_PATTERN, AccountId, MalformedId, SessionId, validate_id
from runtime.http import api_version, contract
from runtime.http.exchange import Exchange
from runtime.http.principal import Known, Principal, Public, requires
from runtime.http.routes import ExchangeRoute
from runtime.identity.tokens import LIFETIME_S, BadToken
from runtime.identity.trust import Trust
from runtime.problem_types import CATALOGUE
from runtime.problems import MEDIA_TYPE, ProblemError

BODY_BYTES_MAX: Final = 8 * 1024
PARAMETERS_MAX: Final = 16
KEYS_PATH: Final = "/.well-known/jwks.json"
TOKEN_PATH: Final = "/oauth/token"  # noqa: S105 - an address, no token
REFUSED: Final = CATALOGUE["token-refused"]
_CREDENTIALS: Final = "credentials are what the request is about"

_encode = msgspec.json.Encoder().encode


class LogIn(Payload):
    """Address and password of an account."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"email": "ada@example.org", "password": "correct horse"}}
    )

    email: Annotated[str, StringConstraints(min_length=3, max_length=254), SECRET]
    password: Annotated[str, StringConstraints(min_length=1, max_length=CHARACTERS_MAX), SECRET]
    client_id: Id = Field(
        default="shop", description="The program that holds the tokens; refreshing names it again."
    )


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


class SessionTokens(BaseModel):
    """The tokens of a session."""

    session_id: str
    account_id: str
    access_token: str = Field(description="For the header Authorization of both APIs: `Bearer …`.")
    refresh_token: str = Field(description="For POST /oauth/token, once.")
    token_type: str = Field(description="`Bearer`.")
    expires_in: int = Field(description="Seconds that the access token is good for.")


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


class Serving(msgspec.Struct, frozen=True):
    """What the routes need, once the application is open; `sessions` None: the installation has no accounts."""

    sessions: Sessions | None
    clients: Clients | None
    trust: Trust | None
    providers: Providers = MappingProxyType({})
    cookies_secure: bool = True


class Asked(msgspec.Struct, frozen=True):
    """Who asks; `form` are the parameters of an OAuth request, `basic` name and secret of the client that sent it."""

    sessions: Sessions
    clients: Clients
    trust: Trust
    principal: Principal
    correlation_id: str
    form: dict[str, str] = {}
    basic: tuple[str, str] | None = None


def _carried() -> Asked:
    raise AssertionError("routes hand it over themselves")


Identified = Annotated[Asked, Depends(_carried)]


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
            headers = read_headers(exchange.headers)
            body = await read_body(exchange, declared=headers.length, limit=BODY_BYTES_MAX)
            require_json(headers)
            given["body"] = payloads.read(self.payload, body)
        response: Response = await self.endpoint(**given, asked=asked)
        return response

    def asked(self, exchange: Exchange, form: dict[str, str] | None = None) -> Asked:
        """What the endpoint is told of the request.

        Raises:
            ProblemError: the installation has no accounts.
        """
        serving = serving_of(exchange)
        assert serving.sessions is not None, "looked at before"
        assert serving.clients is not None, "as sessions"
        assert serving.trust is not None, "as sessions"
        return Asked(
            serving.sessions,
            serving.clients,
            serving.trust,
            exchange.principal,
            exchange.correlation_id,
            form=form or {},
            basic=_basic(exchange),
        )


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


class OAuthError(Exception):
    """A refusal in the words of RFC 6749, 5.2, which stand in a problem like any other."""

    def __init__(self, code: str, description: str) -> None:
        super().__init__(code)
        self.code = code
        self.description = description


def _form_of(schema: str) -> contract.Document:
    """A body that is a form."""
    content = {"application/x-www-form-urlencoded": {"schema": contract.schema(schema)}}
    return {"requestBody": {"required": True, "content": content}}


ROUTES: Final = APIRouter(tags=["identity"], route_class=SecretRoute)


@ROUTES.post(
    f"{api_version.PREFIX}/sessions",
    status_code=201,
    response_model=SessionTokens,
    operation_id="open_session",
    summary="Log in",
    responses=problem_responses(
        (
            *(
                "malformed-json",
                "validation-failed",
                "unsupported-media-type",
                "body-too-large",
                "body-too-slow",
            ),
            *(
                "bad-credentials",
                "not-found",
                "too-busy",
                "store-unavailable",
                "outcome-unknown",
                "shutting-down",
            ),
        )
    ),
)
@requires(Public(_CREDENTIALS))
async def open_session(body: LogIn, asked: Identified) -> Response:
    """Open a session with the password of an account; nothing is repeated by a key, so each login is a session."""
    opened = await asked.sessions.log_in(
        body.email, body.password, client_id=body.client_id, correlation_id=asked.correlation_id
    )
    return json_answer(_tokens(opened), status=201)


@ROUTES.post(
    api_version.PREFIX + "/sessions/{session_id}/revocation",
    status_code=204,
    response_class=Response,
    operation_id="end_session",
    summary="Log out",
    responses=problem_responses(
        ("not-found", "too-busy", "store-unavailable", "outcome-unknown", "shutting-down")
    ),
)
@requires(Known("a session is ended by whom it belongs to"))
async def end_session(
    session_id: Annotated[SessionId, Path(pattern=ID_PATTERN)], asked: Identified
) -> Response:
    """End a session of one's own; its tokens are refused by both APIs within a second. Again: the same."""
    owner = await _owner(asked.sessions, session_id)
    if owner is None or (asked.principal.kind, asked.principal.id) != ("account", owner):
        raise ProblemError("not-found", f"You have no session {session_id!r}.")
    await asked.sessions.end(session_id, cause="logout", by=By(asked.principal.actor, asked.correlation_id))
    return Response(status_code=204)


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


async def _owner(sessions: Sessions, session_id: str) -> AccountId | None:
    try:
        return await sessions.account_of(validate_id(session_id))
    except MalformedId:
        return None


@requires(Public(_CREDENTIALS))
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
        raise OAuthError("invalid_request", "There is no refresh_token.")
    try:
        refreshed = await asked.sessions.refresh(
            asked.form["refresh_token"],
            client_id=asked.form.get("client_id", "shop"),
            correlation_id=asked.correlation_id,
        )
    except NotRefreshed:
        raise OAuthError("invalid_grant", "The refresh token is not accepted.") from None
    return json_answer(_tokens(refreshed))


async def _of_client(asked: Asked) -> Response:
    form = asked.form
    client_id, secret = asked.basic or (form.get("client_id", ""), form.get("client_secret", ""))
    scopes = form["scope"].split() if form.get("scope") else None
    try:
        granted = await asked.clients.token(client_id, secret, scopes=scopes)
    except NotGranted as error:
        raise OAuthError(error.code, "The client is not given this token.") from None
    return json_answer(
        {
            "access_token": granted.access_token,
            "token_type": "Bearer",
            "expires_in": LIFETIME_S,
            "scope": " ".join(granted.scopes),
        }
    )


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


@requires(Public("who has a token may have it revoked"))
async def revoke(asked: Identified) -> Response:
    """Have a token refused (RFC 7009): of a session, all of it ends. A text that is no token is revoked already."""
    if "token" not in asked.form:
        raise OAuthError("invalid_request", "There is no token.")
    given = asked.form["token"]
    session_id = asked.sessions.session_of(given)
    if session_id is None:
        try:
            claims = asked.trust.claims(given.encode())
        except BadToken:
            return Response(status_code=200)
        if claims.kind == "service":
            await asked.sessions.accounts.vault.deny([claims.jti])
            return Response(status_code=200)
        session_id = claims.sid
    by = By(Principal("system", "identity").actor, asked.correlation_id)
    await asked.sessions.end(session_id, cause="logout", by=by)
    return Response(status_code=200)


@requires("tokens:introspect")
async def introspect(asked: Identified) -> Response:
    """Say what a token stands for, to a program that was shown it (RFC 7662)."""
    if "token" not in asked.form:
        raise OAuthError("invalid_request", "There is no token.")
    try:
        claims = asked.trust.claims(asked.form["token"].encode())
    except BadToken:
        return json_answer({"active": False})
    return json_answer({"active": True, "token_type": "Bearer", **msgspec.to_builtins(claims)})


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


class KeySet:
    """Answers the public keys by which access tokens are verified (RFC 7517)."""

    requires: Final = Public("keys that verify are for everybody")

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
    KEYS_PATH,
    KeySet(),
    methods=["GET"],
    route_class_override=ExchangeRoute,
    include_in_schema=False,
    name="key_set",
)


def _tokens(tokens: Tokens) -> dict[str, object]:
    return {
        "session_id": tokens.session_id,
        "account_id": tokens.account_id,
        "access_token": tokens.access_token,
        "token_type": "Bearer",
        "expires_in": tokens.expires_in,
        "refresh_token": tokens.refresh_token,
    }


def _refusal(error: OAuthError, correlation_id: str) -> Response:
    document = ProblemError(REFUSED, error.description).document(correlation_id)
    body = {**document, "error": error.code, "error_description": error.description}
    return Response(_encode(body), status_code=REFUSED.status, media_type=MEDIA_TYPE)


def json_answer(body: dict[str, Any], *, status: int = 200) -> Response:
    """An answer in JSON."""
    return Response(_encode(body), status_code=status, media_type="application/json")


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
        raise OAuthError("invalid_request", "The body is no form.") from None
    if len({name for name, _ in pairs}) != len(pairs):
        raise OAuthError("invalid_request", "A parameter stands twice.")
    return dict(pairs)
