"""GET /v1/commands/{position}/effects: the events that a command led to, who reacted, and what is still waited for."""

from typing import Annotated, Final

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, Field

from commands import refusals
from commands.log_reading import LogUnreachable
from commands.settling import Settling
from event_store.consumers.settling import EFFECTS_MAX, Effects, State
from runtime.http import api_version, contract
from runtime.http.principal import requires
from runtime.problem_types import CATALOGUE
from runtime.problems import ProblemError

POSITION_PATTERN: Final = r"^[1-9][0-9]{0,17}$"

router = APIRouter(prefix=api_version.PREFIX, tags=["effects"])


class CausedEvent(BaseModel):
    """One event; `cause` is the position of the event that led to it, absent for those of the command itself."""

    position: int
    stream: str
    version: int
    type: str
    cause: int | None = Field(description="Position of the event that led to it.")
    by: str | None = Field(description="The process manager or gateway that recorded it.")


class Reaction(BaseModel):
    """The reaction of one process manager or gateway to one event."""

    consumer: str
    position: int = Field(description="Position of the event.")
    state: State = Field(
        description="`done`, `parked` until an operator acts, `pending`, or `waiting` for the outside world."
        f" `too-many`: more than {EFFECTS_MAX} events came of the command."
    )


class CommandEffects(BaseModel):
    """All effects of a command so far."""

    settled: bool = Field(description="Whether everybody who reacts has an outcome, or is parked.")
    events: list[CausedEvent]
    reactions: list[Reaction]


@router.get(
    "/commands/{position}/effects",
    operation_id="get_command_effects",
    summary="What came of a command",
    description=(
        "The command is named by the position of any event that it recorded: `position` of its answer. Events of the "
        "command come first, then what process managers and gateways recorded because of them, and so on."
    ),
    responses=contract.problem_responses(
        [CATALOGUE[code] for code in ("validation-failed", "not-found", "store-unavailable")]
    ),
)
@requires("effects:read")
async def get_command_effects(
    position: Annotated[str, Path(pattern=POSITION_PATTERN)], request: Request
) -> CommandEffects:
    """Follow one command."""
    settling: Settling | None = request.scope["app"].state.settling
    if settling is None:
        raise refusals.store_unavailable()
    try:
        found = await settling.effects_at(int(position))
    except LogUnreachable as error:
        raise refusals.store_unavailable() from error
    if found is None:
        raise ProblemError("not-found", f"The log has no event at position {position}.")
    return _shown(found)


def _shown(effects: Effects) -> CommandEffects:
    return CommandEffects(
        settled=effects.settled,
        events=[
            CausedEvent(
                position=each.position,
                stream=each.stream,
                version=each.version,
                type=each.type,
                cause=each.cause,
                by=each.by,
            )
            for each in effects.events
        ],
        reactions=[
            Reaction(consumer=each.consumer, position=each.position, state=each.state)
            for each in effects.reactions
        ],
    )
