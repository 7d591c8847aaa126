"""The security stream of a caller: what an investigation needs a year later, one event for each caller and minute."""

from typing import Final

from msgspec import Struct

from domain.aggregate import Aggregate
from domain.event import Event
from domain.ids import composite
from domain.security.events import FieldsRevealed, HistoryRead, LoginsRefused, RequestsDenied, RowsExported


class SecurityTrail(Struct, frozen=True):
    """How many events a caller's stream has; nothing is decided on it."""

    events: int


def evolve(trail: SecurityTrail | None, event: Event) -> SecurityTrail:
    """Return the trail after `event`."""
    del event  # whichever it is, it is one more
    return SecurityTrail(1 if trail is None else trail.events + 1)


SECURITY: Final[Aggregate[SecurityTrail]] = Aggregate(
    "security",
    evolve,
    (RequestsDenied, LoginsRefused, HistoryRead, RowsExported, FieldsRevealed),
    snapshot_every=1_000,
)


def identifier(actor: str) -> str:
    """The id of an actor's stream: `account~018f…` of `account:018f…`."""
    kind, _, name = actor.partition(":")
    return composite(kind, name) if name else kind
