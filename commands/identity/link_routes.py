"""Routes for who has no account yet, or forgot its password: a link is asked for, and followed to its end.

They say nothing of whether an address has an account. Nothing of question or answer is kept, so they take no
idempotency key: asking again is another link, following again is refused.
"""

from typing import Annotated, Any, Final

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from starlette.responses import Response

from commands.documentation import problem_responses
from commands.identity.account_routes import Email, Password, weak
from commands.identity.errors import WeakPassword
from commands.identity.link_rows import LASTING, Purpose
from commands.identity.links import TOKEN_CHARACTERS_MAX
from commands.identity.routing import Asked, Identified, SecretRoute, json_answer
from commands.payloads import SECRET, Payload
from runtime.http import api_version
from runtime.http.principal import Public, requires

NO_ACCOUNT: Final = Public("a caller without an account or a password has no token")
BY_LINK: Final = Public("the token of the link is the credential")

ROUTES: Final = APIRouter(tags=["identity"], route_class=SecretRoute)

_REGISTRATIONS: Final = f"{api_version.PREFIX}/registrations"
_RESETS: Final = f"{api_version.PREFIX}/password-resets"
_OF_BODIES: Final = (
    "malformed-json",
    "validation-failed",
    "unsupported-media-type",
    "body-too-large",
    "body-too-slow",
)
_OF_THE_LOG: Final = ("not-found", "too-busy", "store-unavailable", "shutting-down")


class AskForLink(Payload):
    """Where a link is to be sent."""

    model_config = ConfigDict(json_schema_extra={"example": {"email": "ada@example.org"}})

    email: Email


class FollowLink(Payload):
    """The token of a link, and the password that is chosen."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"token": "cfl_0198c2.c2lnbmVk", "password": "correct horse battery"}}  # nosec B105 - an example
    )

    token: Annotated[str, StringConstraints(min_length=1, max_length=TOKEN_CHARACTERS_MAX), SECRET]
    password: Password


class LinkExpiry(BaseModel):
    """A link was requested; whether one is sent is not said."""

    expires_in: int = Field(description="Seconds that a link is good for.")


class RegisteredAccount(BaseModel):
    """An account that can be logged in to."""

    account_id: str


def _asking(operation_id: str) -> dict[str, Any]:
    return {
        "status_code": 202,
        "response_model": LinkExpiry,
        "operation_id": operation_id,
        "responses": problem_responses((*_OF_BODIES, "too-many-attempts", *_OF_THE_LOG)),
    }


_FOLLOWING: Final = problem_responses(
    (*_OF_BODIES, "link-refused", "too-many-attempts", "contended", "outcome-unknown", *_OF_THE_LOG)
)


@ROUTES.post(_REGISTRATIONS, summary="Ask for an account", **_asking("request_registration"))
@requires(NO_ACCOUNT)
async def request_registration(body: AskForLink, asked: Identified) -> Response:
    """Have a link sent to an address by which an account is registered; one that has an account learns so by mail."""
    return await _asked("register", body, asked)


@ROUTES.post(
    f"{_REGISTRATIONS}/completion",
    status_code=201,
    response_model=RegisteredAccount,
    operation_id="complete_registration",
    summary="Register by a link",
    responses=_FOLLOWING,
)
@requires(BY_LINK)
async def complete_registration(body: FollowLink, asked: Identified) -> Response:
    """Register the account of a link with the role customer and a password. Following the link again is refused."""
    try:
        account_id = await asked.links.complete_registration(
            body.token, body.password, address=asked.address, correlation_id=asked.correlation_id
        )
    except WeakPassword as error:
        raise weak(error, "/password") from None
    return json_answer({"account_id": account_id}, status=201)


@ROUTES.post(_RESETS, summary="Ask for another password", **_asking("request_password_reset"))
@requires(NO_ACCOUNT)
async def request_password_reset(body: AskForLink, asked: Identified) -> Response:
    """Have a link sent to the address of an account by which another password is chosen."""
    return await _asked("reset", body, asked)


@ROUTES.post(
    f"{_RESETS}/completion",
    status_code=204,
    response_class=Response,
    operation_id="complete_password_reset",
    summary="Choose a password by a link",
    responses=_FOLLOWING,
)
@requires(BY_LINK)
async def complete_password_reset(body: FollowLink, asked: Identified) -> Response:
    """Choose a password; all sessions of the account end within a second. Following the link again is refused."""
    try:
        await asked.links.complete_reset(
            body.token, body.password, address=asked.address, correlation_id=asked.correlation_id
        )
    except WeakPassword as error:
        raise weak(error, "/password") from None
    return Response(status_code=204)


async def _asked(purpose: Purpose, body: AskForLink, asked: Asked) -> Response:
    await asked.links.ask(purpose, body.email, address=asked.address)
    return json_answer({"expires_in": int(LASTING[purpose].total_seconds())}, status=202)
