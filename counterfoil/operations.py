"""The context that every installation has: what operators have it do differently, and what came of that."""

from typing import Final

from counterfoil.context import Context
from domain.operations import builds, events, parked_keys, pauses
from domain.operations.builds import BUILDS
from domain.operations.parked_keys import RETRIES
from domain.operations.pauses import PAUSES
from domain.operations.skips import SKIPS

_CARRIED_OUT: Final = "the consumer `acts` carries it out, and the row that says what came of it is shown"

OPERATIONS: Final = Context(
    name="operations",
    aggregates=(SKIPS, RETRIES, BUILDS, PAUSES),
    commands="commands.operations.operator_routes:router",
    queries="read_api.operations:QUERIES",
    problems=(
        parked_keys.KeyNotParked,
        parked_keys.ParkedElsewhere,
        parked_keys.AlreadySkipped,
        parked_keys.AlreadyDecided,
        builds.ViewUnknown,
        builds.NoOtherBuild,
        builds.StillFolding,
        builds.TooManyBuilds,
        pauses.ConsumerUnknown,
        pauses.NotPaused,
    ),
    unshown={
        events.EventSkipped: "it says what every fold leaves out, so every fold reads it before it starts; for a"
        " process it is the outcome of its trigger",
        events.RetryRequested: _CARRIED_OUT,
        events.RebuildRequested: _CARRIED_OUT,
        events.PromotionRequested: _CARRIED_OUT,
        events.RollbackRequested: _CARRIED_OUT,
        events.DropRequested: _CARRIED_OUT,
        events.PauseRequested: _CARRIED_OUT,
        events.ResumeRequested: _CARRIED_OUT,
    },
)
