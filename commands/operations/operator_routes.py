"""Operators' acts: what they have a running shop do differently about its views, and about what stands still.

Each is a request that is an event, with its actor and reason. The consumer `acts` carries it out, in the order of the
log, and the query API shows what came of it. It is decided on how builds and parked keys are at that moment; the
consumer that carries it out compares again.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, Final, TypeVar

from msgspec import structs
from pydantic import ConfigDict, Field, StringConstraints

from commands import refusals
from commands.decision import DecisionView
from commands.documentation import Caller
from commands.log_reading import LogUnreachable
from commands.operations import installed
from commands.payloads import Payload
from commands.processes.trigger import outcome_fingerprint, outcome_key
from commands.recording import Answer
from commands.routing import command, command_router
from domain import text
from domain.event import Event
from domain.operations import builds, parked_keys, pauses
from domain.operations.builds import BUILDS, Build, NoOtherBuild, StillFolding, TooManyBuilds, ViewUnknown
from domain.operations.parked_keys import (
    RETRIES,
    AlreadyDecided,
    AlreadySkipped,
    KeyNotParked,
    Parked,
    ParkedElsewhere,
)
from domain.operations.pauses import PAUSES, ConsumerUnknown, DecidePause, NotPaused, Paused
from domain.operations.skips import SKIPS, Skipped
from event_store.log.fingerprints import Fingerprints
from event_store.log.reading import AsyncConnection
from runtime.actors import actor
from runtime.http.principal import ANONYMOUS

R = TypeVar("R")

router = command_router("operations")

REQUIRES: Final = "operate"

KEY_CHARACTERS_MAX: Final = 200
POSITION_MAX: Final = 2**63 - 1
OPERATOR_PATTERN: Final = r"^[!-~]{1,64}$"
"""Visible ASCII characters."""

PartitionKey = Annotated[
    text.Stream, StringConstraints(min_length=1, max_length=KEY_CHARACTERS_MAX, pattern=text.NAME_PATTERN)
]
Reason = Annotated[
    text.Reason, StringConstraints(max_length=text.REFERENCE_CHARACTERS_MAX, pattern=text.LINE_PATTERN)
]
NeededReason = Annotated[
    text.Reason, StringConstraints(max_length=text.REFERENCE_CHARACTERS_MAX, pattern=text.NAME_PATTERN)
]
Operator = Annotated[text.Actor, StringConstraints(pattern=OPERATOR_PATTERN)]

_WHY = Field(default="", description="Why, for later readers. No personal data: it is kept for ever.")
_OPERATOR = Field(
    default=None,
    description="A pseudonym of who acts, kept as it is said, where callers are anonymous. Others are named by what"
    " they are known as.",
)


class RetryKey(Payload):
    """A parked key that is to be tried again."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"partition_key": "order-1001", "reason": "the defect is repaired"}}
    )

    partition_key: PartitionKey
    reason: Reason = _WHY
    operator: Operator | None = _OPERATOR


class SkipEvent(Payload):
    """An event that a consumer is to go on without."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"partition_key": "order-1001", "position": 4711, "reason": "entered twice"}
        }
    )

    partition_key: PartitionKey
    position: int = Field(ge=1, le=POSITION_MAX, description="Where the key stands; any other is refused.")
    reason: NeededReason = Field(description="Why. No personal data: it is kept for ever.")
    operator: Operator | None = _OPERATOR


class ActOnView(Payload):
    """Why an operator acts on the builds of a view."""

    model_config = ConfigDict(json_schema_extra={"example": {"reason": "a fold was repaired"}})

    reason: Reason = _WHY
    operator: Operator | None = _OPERATOR


class ActOnConsumer(Payload):
    """Why an operator pauses a consumer, or lets it go on."""

    model_config = ConfigDict(json_schema_extra={"example": {"reason": "the carrier repairs its interface"}})

    reason: Reason = _WHY
    operator: Operator | None = _OPERATOR


@command(router, "/operations/consumers/{consumer}/retries", requires=REQUIRES, refusals=(KeyNotParked,))
async def retry_key(consumer: str, body: RetryKey, caller: Caller) -> Answer:
    """Have the owner of a parked key try its events again."""
    stands = await _parked(caller, consumer, body.partition_key)
    return await caller.execute(
        RETRIES,
        consumer,
        lambda _retries, _view: parked_keys.retry(
            stands,
            consumer=consumer,
            partition_key=body.partition_key,
            actor=_operator(body.operator, caller),
            reason=body.reason,
            now=caller.now,
        ),
    )


@command(
    router,
    "/operations/consumers/{consumer}/skips",
    requires=REQUIRES,
    refusals=(KeyNotParked, ParkedElsewhere, AlreadySkipped, AlreadyDecided),
)
async def skip_event(consumer: str, body: SkipEvent, caller: Caller) -> Answer:
    """Have a consumer go on without the event at which a key stands.

    A trigger of a process manager has one outcome, decided or skipped: its skip is kept under the trigger's own key,
    and so is done once whatever the Idempotency-Key is.
    """
    stands = await _parked(caller, consumer, body.partition_key)
    trigger = await _read(
        caller, lambda connection: installed.trigger(connection, consumer=consumer, position=body.position)
    )
    if trigger is not None:
        _remember_under(
            caller,
            outcome_key(consumer, epoch=trigger.epoch, position=body.position),
            partial(outcome_fingerprint, process=consumer, leaf=trigger.leaf),
        )

    def skip(skipped: Skipped | None, _view: DecisionView) -> list[Event]:
        return parked_keys.skip(
            skipped,
            stands,
            consumer=consumer,
            partition_key=body.partition_key,
            position=body.position,
            actor=_operator(body.operator, caller),
            reason=body.reason,
            now=caller.now,
        )

    answer = await caller.execute(SKIPS, consumer, skip)
    if trigger is not None and answer.replayed and not await _is_skipped(caller, consumer, body.position):
        raise refusals.problem_of(AlreadyDecided(consumer=consumer, position=body.position))
    return answer


@command(router, "/operations/consumers/{consumer}/pauses", requires=REQUIRES, refusals=(ConsumerUnknown,))
async def pause_consumer(consumer: str, body: ActOnConsumer, caller: Caller) -> Answer:
    """Have a consumer, a process manager, or the workers of a view do nothing until it is resumed."""
    return await _pause(pauses.pause, consumer, body, caller)


@command(
    router,
    "/operations/consumers/{consumer}/resumptions",
    requires=REQUIRES,
    refusals=(ConsumerUnknown, NotPaused),
)
async def resume_consumer(consumer: str, body: ActOnConsumer, caller: Caller) -> Answer:
    """Let what was paused go on from where it was."""
    return await _pause(pauses.resume, consumer, body, caller)


@command(
    router, "/operations/views/{view}/rebuilds", requires=REQUIRES, refusals=(ViewUnknown, TooManyBuilds)
)
async def rebuild_view(view: str, body: ActOnView, caller: Caller) -> Answer:
    """Have a new build of a view folded next to the live one, or one that was interrupted folded on."""
    return await _act(builds.rebuild, view, body, caller)


@command(
    router,
    "/operations/views/{view}/promotions",
    requires=REQUIRES,
    refusals=(ViewUnknown, NoOtherBuild, StillFolding),
)
async def promote_build(view: str, body: ActOnView, caller: Caller) -> Answer:
    """Have the build next to the live one answer queries."""
    return await _act(builds.promote, view, body, caller)


@command(
    router, "/operations/views/{view}/rollbacks", requires=REQUIRES, refusals=(ViewUnknown, NoOtherBuild)
)
async def roll_back_view(view: str, body: ActOnView, caller: Caller) -> Answer:
    """Have the build answer queries again that did before the live one."""
    return await _act(builds.roll_back, view, body, caller)


@command(router, "/operations/views/{view}/drops", requires=REQUIRES, refusals=(ViewUnknown, NoOtherBuild))
async def drop_build(view: str, body: ActOnView, caller: Caller) -> Answer:
    """Have the build removed that does not answer queries."""
    return await _act(builds.drop, view, body, caller)


async def _act(decide: builds.Decide, view: str, body: ActOnView, caller: Caller) -> Answer:
    async def ask(connection: AsyncConnection) -> tuple[list[Build], list[str]]:
        return await installed.builds(connection, view), await installed.views(connection)

    found, known = await _read(caller, ask)

    def act(_acts: object, _view: DecisionView) -> list[Event]:
        if not found:
            raise ViewUnknown(view=view, known=known)
        operator = _operator(body.operator, caller)
        return decide(found, view=view, actor=operator, reason=body.reason, now=caller.now)

    return await caller.execute(BUILDS, view, act)


async def _pause(decide: DecidePause, consumer: str, body: ActOnConsumer, caller: Caller) -> Answer:
    known = await _read(caller, installed.consumers)

    def act(paused: Paused | None, _view: DecisionView) -> list[Event]:
        operator = _operator(body.operator, caller)
        return decide(
            paused, consumer=consumer, known=known, actor=operator, reason=body.reason, now=caller.now
        )

    return await caller.execute(PAUSES, consumer, act)


async def _parked(caller: Caller, consumer: str, partition_key: str) -> list[Parked]:
    return await _read(
        caller,
        lambda connection: installed.parked(connection, consumer=consumer, partition_key=partition_key),
    )


async def _is_skipped(caller: Caller, consumer: str, position: int) -> bool:
    return await _read(
        caller, lambda connection: installed.is_skipped(connection, consumer=consumer, position=position)
    )


def _remember_under(caller: Caller, key: bytes, fingerprint: Callable[[Fingerprints], bytes]) -> None:
    """Have the outcome kept under a key that follows from what is done: it is done once, for all callers."""
    assert caller.fingerprints is not None, "a command of a route"
    caller.call = structs.replace(caller.call, key=key, fingerprint=fingerprint(caller.fingerprints))


async def _read(caller: Caller, ask: Callable[[AsyncConnection], Awaitable[R]]) -> R:
    """What `ask` reads besides streams; it may be called several times.

    Raises:
        ProblemError: the database does not answer.
    """
    try:
        return await caller.execution.reader.read(ask)
    except LogUnreachable as error:
        raise refusals.store_unavailable() from error


def _operator(claimed: str | None, caller: Caller) -> str:
    """The actor: the caller, or the name that an anonymous caller gives."""
    return actor("operator", claimed) if claimed and caller.actor == ANONYMOUS.actor else caller.actor
