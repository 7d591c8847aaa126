"""Routes of sessions and tokens: what takes or gives a secret has no idempotency key, and nothing of it is kept.

Where the installation has no accounts they answer 404.
"""

from typing import Annotated, Any, Final, get_type_hints
from urllib.parse import parse_qsl

import msgspec
from fastapi import APIRouter, Depends, Path
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from starlette.responses import Response

from commands import payloads
from commands.documentation import problem_responses
from commands.identity.passwords import CHARACTERS_MAX
from commands.identity.recording import By
from commands.identity.sessions import NotRefreshed, Sessions, Tokens
from commands.payloads import SECRET, Id, Payload
from commands.requests import read_body, read_headers, require_json
from domain.ids import ID_PATTERN, AccountId, MalformedId, SessionId, validate_id
from runtime.http import contract, versions
from runtime.http.exchange import Exchange
from runtime.http.principal import Known, Principal, Public, requires
from runtime.http.routes import ExchangeRoute
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


class SessionTokens(BaseModel):
    """What opens doors for as long as the session lasts."""

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
        "required": ["grant_type", "refresh_token"],
        "properties": {
            "grant_type": {"type": "string", "const": "refresh_token"},
            "refresh_token": {"type": "string"},
            "client_id": {"type": "string", "pattern": ID_PATTERN},
        },
    }
}
"""What the document of the command API says of forms."""


class Serving:
    """What the routes need, once the application is open; `sessions` None: the installation has no accounts."""

    def __init__(self, sessions: Sessions | None, trust: Trust | None) -> None:
        self.sessions = sessions
        self.trust = trust


class Asked(msgspec.Struct, frozen=True):
    """Who asks, and for which session; `form` are the parameters of an OAuth request."""

    sessions: Sessions
    principal: Principal
    correlation_id: str
    session_id: str = ""
    form: dict[str, str] = {}


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

    async def answer(self, exchange: Exchange) -> Response:
        """Read the body, and have the endpoint answer."""
        asked = self._asked(exchange)
        given: dict[str, Any] = {}
        headers = read_headers(exchange.headers)
        payload = get_type_hints(self.endpoint).get("body")
        if payload is not None:
            body = await read_body(exchange, declared=headers.length, limit=BODY_BYTES_MAX)
            require_json(headers)
            given["body"] = payloads.read(payload, body)
        if "session_id" in exchange.parameters:
            given["session_id"] = exchange.parameters["session_id"]
        response: Response = await self.endpoint(**given, asked=asked)
        return response

    def _asked(self, exchange: Exchange, form: dict[str, str] | None = None) -> Asked:
        sessions = serving_of(exchange).sessions
        assert sessions is not None, "looked at before"
        return Asked(sessions, exchange.principal, exchange.correlation_id, form=form or {})


class FormRoute(SecretRoute):
    """A POST whose body is a form, as OAuth has it; what it refuses is answered as OAuth has it, too."""

    async def answer(self, exchange: Exchange) -> Response:
        """Read the form, and have the endpoint answer."""
        headers = read_headers(exchange.headers)
        body = await read_body(exchange, declared=headers.length, limit=BODY_BYTES_MAX)
        try:
            asked = self._asked(exchange, _form(body))
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


ROUTES: Final = APIRouter(tags=["identity"], route_class=SecretRoute)


@ROUTES.post(
    f"{versions.PREFIX}/sessions",
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
    return _json(_tokens(opened), status=201)


@ROUTES.post(
    versions.PREFIX + "/sessions/{session_id}/revocation",
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


async def _owner(sessions: Sessions, session_id: str) -> AccountId | None:
    try:
        return await sessions.account_of(validate_id(session_id))
    except MalformedId:
        return None


@requires(Public(_CREDENTIALS))
async def token(asked: Identified) -> Response:
    """Exchange a refresh token for the next tokens of its session (RFC 6749, 6). Each is good once."""
    form = asked.form
    if form.get("grant_type") != "refresh_token":
        raise OAuthError("unsupported_grant_type", "The grant is refresh_token.")
    if "refresh_token" not in form:
        raise OAuthError("invalid_request", "There is no refresh_token.")
    try:
        refreshed = await asked.sessions.refresh(
            form["refresh_token"],
            client_id=form.get("client_id", "shop"),
            correlation_id=asked.correlation_id,
        )
    except NotRefreshed:
        raise OAuthError("invalid_grant", "The refresh token is not accepted.") from None
    return _json(_tokens(refreshed))


ROUTES.add_api_route(
    TOKEN_PATH,
    token,
    methods=["POST"],
    route_class_override=FormRoute,
    response_model=SessionTokens,
    operation_id="exchange_token",
    summary="Refresh a session",
    responses=problem_responses(
        ("token-refused", "not-found", "body-too-large", "body-too-slow", "store-unavailable")
    ),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/x-www-form-urlencoded": {"schema": contract.schema("TokenRequest")}},
        }
    },
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
        response = _json({"keys": trust.key_set()})
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


def _json(body: dict[str, Any], *, status: int = 200) -> Response:
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
