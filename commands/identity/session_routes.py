"""Routes of sessions and tokens: what takes or gives a secret has no idempotency key, and nothing of it is kept.

Where the installation has no accounts they answer 404.
"""

from typing import Annotated, Final

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from starlette.responses import Response

from commands.documentation import problem_responses
from commands.identity.passwords import CHARACTERS_MAX
from commands.identity.recording import By
from commands.identity.routing import Identified, SecretRoute, json_answer
from commands.identity.sessions import Sessions, Tokens
from commands.payloads import SECRET, Id, Payload
from domain.ids import ID_PATTERN, AccountId, AnyId, MalformedId, SessionId, validate_id
from runtime.http import api_version
from runtime.http.principal import Known, Public, requires
from runtime.problems import ProblemError

CREDENTIALS: Final = "the request carries credentials"


class LogIn(Payload):
    """Address and password of an account."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"email": "ada@example.org", "password": "correct horse"}}  # nosec B105 - an example
    )

    email: Annotated[str, StringConstraints(min_length=3, max_length=254), SECRET]
    password: Annotated[str, StringConstraints(min_length=1, max_length=CHARACTERS_MAX), SECRET]
    client_id: Id = Field(
        default=AnyId("shop"), description="The program that holds the tokens; refreshing names it again."
    )


class SessionTokens(BaseModel):
    """The tokens of a session."""

    session_id: str
    account_id: str
    access_token: str = Field(description="For the header Authorization of both APIs: `Bearer …`.")
    refresh_token: str = Field(description="For POST /oauth/token, once.")
    token_type: str = Field(description="`Bearer`.")
    expires_in: int = Field(description="Seconds that the access token is good for.")


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
                "too-many-attempts",
                "not-found",
                "too-busy",
                "store-unavailable",
                "outcome-unknown",
                "shutting-down",
            ),
        )
    ),
)
@requires(Public(CREDENTIALS))
async def open_session(body: LogIn, asked: Identified) -> Response:
    """Open a session with the password of an account; nothing is repeated by a key, so each login is a session."""
    opened = await asked.sessions.log_in(
        body.email,
        body.password,
        client_id=body.client_id,
        address=asked.address,
        correlation_id=asked.correlation_id,
    )
    return json_answer(shown(opened), status=201)


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
@requires(Known("the owner of a session ends it", only="account"))
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


def shown(tokens: Tokens) -> dict[str, object]:
    """Tokens as they are answered."""
    return {
        "session_id": tokens.session_id,
        "account_id": tokens.account_id,
        "access_token": tokens.access_token,
        "token_type": "Bearer",  # nosec B105 - a word of RFC 6750
        "expires_in": tokens.expires_in,
        "refresh_token": tokens.refresh_token,
    }
