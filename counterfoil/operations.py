"""The context that every installation has: what operators record about its events."""

from typing import Final

from counterfoil.context import Context
from domain.operations.events import EventSkipped
from domain.operations.skips import SKIPS

OPERATIONS: Final = Context(
    name="operations",
    aggregates=(SKIPS,),
    unshown={
        SKIPS: "operators read it with `counterfoil replay`",
        EventSkipped: "it says what every fold leaves out, so every fold reads it before it starts; for a process it is"
        " the outcome of its trigger",
    },
)
