"""Routes of programs and their keys: with an idempotency key, and a secret that is answered once.

The same request again is answered with `secret: null, secret_shown: true`: nothing here keeps what it could show.
"""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints
from pydantic_core import PydanticCustomError
from starlette.responses import Response

from commands.documentation import problem_responses
from commands.identity.clients import Issued
from commands.identity.routing import (
    OF_COMMANDS,
    WITH_KEY,
    Asked,
    Called,
    Identified,
    KeyedRoute,
    json_answer,
    valid_id,
)
from commands.payloads import Id, Moment, Payload, Title
from domain.identity.client import ClientIdTaken, ClientUnknown, KeyUnknown, TooManyKeys
from domain.ids import ID_PATTERN
from domain.text import Word
from runtime.http import api_version, contract
from runtime.http.access import PERMISSIONS
from runtime.http.principal import requires

SCOPES_MAX: Final = 64
_PATH: Final = f"{api_version.PREFIX}/clients"
_ClientId = Annotated[str, Path(pattern=ID_PATTERN)]


def _scope(given: str) -> str:
    if given not in PERMISSIONS["service"]:
        raise PydanticCustomError("scope", "The scope is no permission of a service")
    return given


Scope = Annotated[Word, StringConstraints(pattern=r"^[a-z-]+:[a-z]+$"), AfterValidator(_scope)]


class RegisterClient(Payload):
    """A program, and what it may do."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"client_id": "till-1", "name": "Till 1", "scopes": ["orders:place"]}}
    )

    client_id: Id | None = Field(default=None, description="A UUID is made up when absent.")
    name: Title = Field(description="What it is, for people; no personal name.")
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=SCOPES_MAX)]
    expires_at: Moment | None = Field(
        default=None, description="When its first key expires; never if absent."
    )


class IssueKey(Payload):
    """Another key of a program: the old one stays good until it is revoked."""

    model_config = ConfigDict(json_schema_extra={"example": {"expires_at": "2030-01-01T00:00:00Z"}})

    expires_at: Moment | None = Field(default=None, description="When it expires; never if absent.")


class RevokeKey(Payload):
    """Nothing needs to be said."""

    model_config = ConfigDict(json_schema_extra={"example": {}})


class IssuedKey(BaseModel):
    """A key that was issued."""

    client_id: str
    credential_id: str
    secret: str | None = Field(
        description="The key, for `Authorization: Bearer …`; null when it was shown before."
    )
    secret_shown: bool = Field(
        description="Whether this request was answered before, and the key shown then."
    )


_ISSUED: Final[dict[int | str, dict[str, Any]]] = {201: {"headers": contract.headers("Position")}}

ROUTES: Final = APIRouter(tags=["identity"], route_class=KeyedRoute)


@ROUTES.post(
    _PATH,
    status_code=201,
    response_model=IssuedKey,
    operation_id="register_client",
    summary="Register a program",
    responses=_ISSUED | problem_responses((*OF_COMMANDS, "not-found"), (ClientIdTaken,)),
    openapi_extra=WITH_KEY,
)
@requires("keys:write")
async def register_client(body: RegisterClient, call: Called, asked: Identified) -> Response:
    """Let a program call within these scopes, and give it its first key."""
    issued = await asked.clients.register(
        body.client_id, name=body.name, scopes=body.scopes, expires_at=body.expires_at, call=call
    )
    return _shown(issued, asked)


@ROUTES.post(
    _PATH + "/{client_id}/keys",
    status_code=201,
    response_model=IssuedKey,
    operation_id="issue_key",
    summary="Issue another key",
    responses=_ISSUED | problem_responses((*OF_COMMANDS, "not-found"), (ClientUnknown, TooManyKeys)),
    openapi_extra=WITH_KEY,
)
@requires("keys:write")
async def issue_key(client_id: _ClientId, body: IssueKey, call: Called, asked: Identified) -> Response:
    """Give a program another key; to replace one, issue the next, have the program use it, and revoke the old one."""
    issued = await asked.clients.issue_key(valid_id(client_id), expires_at=body.expires_at, call=call)
    return _shown(issued, asked)


@ROUTES.post(
    _PATH + "/{client_id}/keys/{credential_id}/revocation",
    status_code=204,
    response_class=Response,
    operation_id="revoke_key",
    summary="Revoke a key",
    responses=problem_responses((*OF_COMMANDS, "not-found"), (ClientUnknown, KeyUnknown)),
    openapi_extra=WITH_KEY,
)
@requires("keys:write")
async def revoke_key(
    client_id: _ClientId, credential_id: _ClientId, body: RevokeKey, call: Called, asked: Identified
) -> Response:
    """Have a key, and every token that was got with it, refused by both APIs within a second."""
    del body  # it has nothing to say
    await asked.clients.revoke_key(valid_id(client_id), valid_id(credential_id), call=call)
    return Response(status_code=204)


def _shown(issued: Issued, asked: Asked) -> Response:
    execution = asked.clients.recorder.execution
    response = json_answer(
        {
            "client_id": issued.client_id,
            "credential_id": issued.credential_id,
            "secret": issued.secret,
            "secret_shown": issued.secret is None,
        },
        status=201,
    )
    response.headers["position"] = execution.position_token(issued.answer.touched)
    return response
