"""The route by which who buys without an account is known."""

from typing import Final

from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.responses import Response

from commands.documentation import problem_responses
from commands.identity.routing import Identified, SecretRoute, json_answer
from runtime.http import api_version
from runtime.http.principal import Public, requires

ROUTES: Final = APIRouter(tags=["identity"], route_class=SecretRoute)


class GuestAccess(BaseModel):
    """A token of a guest. There is no other: what it placed is seen by it alone, for a day."""

    guest_id: str = Field(description="Whom orders name as their customer.")
    access_token: str = Field(description="For the header Authorization of both APIs: `Bearer …`.")
    token_type: str = Field(description="`Bearer`.")
    expires_in: int = Field(description="Seconds that the token is good for.")


@ROUTES.post(
    f"{api_version.PREFIX}/guest-tokens",
    status_code=201,
    response_model=GuestAccess,
    operation_id="create_guest_token",
    summary="Be a guest",
    responses=problem_responses(("not-found", "too-many-requests", "store-unavailable")),
)
@requires(Public("a guest has no token yet"))
async def create_guest_token(asked: Identified) -> Response:
    """Get a token for a day, without an account; each address of the network gets so many."""
    given = await asked.guests.token(asked.address)
    return json_answer(
        {
            "guest_id": given.guest_id,
            "access_token": given.access_token,
            "token_type": "Bearer",  # nosec B105 - a word of RFC 6750
            "expires_in": given.expires_in,
        },
        status=201,
    )
