"""Routes of accounts: an owner registers them and grants roles; an account changes its own password and logins."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints
from pydantic_core import PydanticCustomError
from starlette.responses import Response

from commands.documentation import problem_responses
from commands.identity.errors import WeakPassword
from commands.identity.passwords import CHARACTERS_MAX
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
from commands.payloads import SECRET, Id, Payload
from commands.recording import Answer
from domain.identity.account import AccountIdTaken, AccountUnknown, EmailTaken, LastOwner
from domain.identity.external import LastLogin, ProviderNotLinked
from domain.ids import ID_PATTERN
from domain.text import Word
from runtime import problems
from runtime.http import api_version, contract
from runtime.http.access import PERMISSIONS
from runtime.http.principal import Known, may_use, requires
from runtime.problems import Fault, ProblemError

ROUTES: Final = APIRouter(tags=["identity"], route_class=KeyedRoute)

ASSIGNABLE: Final = frozenset(PERMISSIONS) - {"guest", "service"}
"""Roles that an account may have."""

ROLES_MAX: Final = 8
_PATH: Final = f"{api_version.PREFIX}/accounts"
_OF: Final = _PATH + "/{account_id}"
_AccountId = Annotated[str, Path(pattern=ID_PATTERN)]


def _role(given: str) -> str:
    if given not in ASSIGNABLE:
        raise PydanticCustomError("role", "The role does not exist")
    return given


EMAIL_PATTERN: Final = r"^[^@\s\x00-\x1f\x7f]+@[^@\s\x00-\x1f\x7f]+$"
Email = Annotated[str, StringConstraints(min_length=3, max_length=254, pattern=EMAIL_PATTERN), SECRET]
"""An address as somebody typed it; the mail that is sent there says whether it is one."""

Role = Annotated[Word, StringConstraints(pattern=r"^[a-z]{1,32}$"), AfterValidator(_role)]
Password = Annotated[str, StringConstraints(min_length=1, max_length=CHARACTERS_MAX), SECRET]


class RegisterAccount(Payload):
    """Somebody who can log in from now on."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "account_id": "till-clerk-1",
                "email": "ada@example.org",
                "password": "correct horse battery",  # nosec B105 - an example
                "roles": ["warehouse"],
            }
        }
    )

    account_id: Id | None = Field(default=None, description="Pseudonymous; a UUID is made up when absent.")
    email: Email
    password: Password
    roles: Annotated[list[Role], Field(min_length=1, max_length=ROLES_MAX)]


class GrantRole(Payload):
    """A role that the account gets."""

    model_config = ConfigDict(json_schema_extra={"example": {"role": "finance"}})

    role: Role


class ChangePassword(Payload):
    """The password that is known, and the one that takes its place."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"current": "correct horse battery", "new": "staple and a candle"}}
    )

    current: Password
    new: Password


class Empty(Payload):
    """Nothing needs to be said."""

    model_config = ConfigDict(json_schema_extra={"example": {}})


class ChangedAccount(BaseModel):
    """An account that was changed."""

    account_id: str
    position: int = Field(description="The log position of the stream's last event.")


def _declared(operation_id: str, *refused: Any, problems_: tuple[str, ...] = ()) -> dict[str, Any]:
    return {
        "status_code": 201,
        "response_model": ChangedAccount,
        "operation_id": operation_id,
        "responses": {
            201: {"headers": contract.headers("Position", "Idempotent-Replayed")},
            **problem_responses((*OF_COMMANDS, "not-found", *problems_), refused),
        },
        "openapi_extra": WITH_KEY,
    }


@ROUTES.post(
    _PATH, summary="Register an account", **_declared("register_account", AccountIdTaken, EmailTaken)
)
@requires("accounts:write")
async def register_account(body: RegisterAccount, call: Called, asked: Identified) -> Response:
    """Register somebody with roles. The same request again is the same account, whatever its secrets say."""
    try:
        answer = await asked.administration.register(
            body.account_id, email=body.email, password=body.password, roles=body.roles, call=call
        )
    except WeakPassword as error:
        raise weak(error, "/password") from None
    return _changed(answer, asked)


@ROUTES.post(_OF + "/roles", summary="Grant a role", **_declared("grant_role", AccountUnknown))
@requires("accounts:write")
async def grant_role(account_id: _AccountId, body: GrantRole, call: Called, asked: Identified) -> Response:
    """Give an account a role; tokens that are out are refused within a second, and refreshed ones have it."""
    return _changed(await asked.administration.grant_role(valid_id(account_id), body.role, call=call), asked)


@ROUTES.post(
    _OF + "/roles/{role}/revocation",
    summary="Take a role away",
    **_declared("revoke_role", AccountUnknown, LastOwner),
)
@requires("accounts:write")
async def revoke_role(
    account_id: _AccountId, role: _AccountId, body: Empty, call: Called, asked: Identified
) -> Response:
    """Take a role from an account, and within a second from the tokens that are out."""
    del body  # it has nothing to say
    if role not in ASSIGNABLE:
        raise ProblemError("not-found", "The role does not exist.")
    return _changed(await asked.administration.revoke_role(valid_id(account_id), role, call=call), asked)


@ROUTES.post(_OF + "/lock", summary="Lock an account", **_declared("lock_account", AccountUnknown, LastOwner))
@requires("accounts:write")
async def lock_account(account_id: _AccountId, body: Empty, call: Called, asked: Identified) -> Response:
    """Let nobody log in to an account, and end its sessions."""
    del body  # it has nothing to say
    return _changed(await asked.administration.lock(valid_id(account_id), call=call), asked)


@ROUTES.post(_OF + "/unlock", summary="Unlock an account", **_declared("unlock_account", AccountUnknown))
@requires("accounts:write")
async def unlock_account(account_id: _AccountId, body: Empty, call: Called, asked: Identified) -> Response:
    """Let an account be logged in to again."""
    del body  # it has nothing to say
    return _changed(await asked.administration.unlock(valid_id(account_id), call=call), asked)


@ROUTES.post(
    _OF + "/password",
    summary="Change a password",
    **_declared("change_password", AccountUnknown, problems_=("bad-credentials", "too-many-attempts")),
)
@requires(Known("the owner of the account knows the current password", only="account"))
async def change_password(
    account_id: _AccountId, body: ChangePassword, call: Called, asked: Identified
) -> Response:
    """Change one's own password; all sessions end, the one of this request included."""
    if (asked.principal.kind, asked.principal.id) != ("account", account_id):
        raise ProblemError("not-found", f"You have no account {account_id!r}.")
    try:
        answer = await asked.administration.change_password(
            account_id, current=body.current, new=body.new, call=call
        )
    except WeakPassword as error:
        raise weak(error, "/new") from None
    return _changed(answer, asked)


@ROUTES.post(
    _OF + "/providers/{provider}/revocation",
    summary="Unlink a provider",
    **_declared("unlink_provider", AccountUnknown, ProviderNotLinked, LastLogin),
)
@requires(Known("the account itself, or an owner, takes away a login of it", only="account"))
async def unlink_provider(
    account_id: _AccountId, provider: _AccountId, body: Empty, call: Called, asked: Identified
) -> Response:
    """Have nobody log in to an account by a provider; its sessions end, but for one of its own that asks for it."""
    del body  # it has nothing to say
    caller = asked.principal
    is_own = (caller.kind, caller.id) == ("account", account_id)
    if not is_own and not may_use(caller, "accounts:write"):
        raise ProblemError("not-found", f"You have no account {account_id!r}.")
    answer = await asked.administration.unlink(
        valid_id(account_id),
        valid_id(provider),
        session_id=caller.credential if is_own else None,
        call=call,
    )
    return _changed(answer, asked)


def weak(error: WeakPassword, pointer: str) -> ProblemError:
    """The problem of a password that is refused."""
    return problems.invalid([Fault(detail=f"{error}"[:1].upper() + f"{error}"[1:], pointer=pointer)])


def _changed(answer: Answer, asked: Asked) -> Response:
    response = json_answer({"account_id": answer.identifier, "position": answer.position}, status=201)
    execution = asked.sessions.accounts.recorder.execution
    response.headers["position"] = execution.position_token(answer.touched)
    if answer.replayed:
        response.headers["idempotent-replayed"] = "true"
    return response
