"""Keys that sign access tokens: when one takes over, by whose doing and why. The keys themselves are in the vault."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from msgspec import Struct

from domain.aggregate import Aggregate
from domain.event import Event
from domain.identity.events import SigningKeyRotated
from domain.ids import SigningKeyId
from domain.moment import in_utc


class SigningKeyState(Struct, frozen=True):
    """A key that was to sign; whether those before it were to be refused at once."""

    distrusted: bool


def evolve(key: SigningKeyState | None, event: Event) -> SigningKeyState:
    """Return the key as it is after `event`."""
    assert key is None, "a key takes over once"
    assert isinstance(event, SigningKeyRotated), "a stream of a signing key holds nothing else"
    return SigningKeyState(event.distrusted)


SIGNING_KEY: Final = Aggregate("signing_key", evolve, events=(SigningKeyRotated,))


def rotate(
    key: SigningKeyState | None, *, kid: SigningKeyId, distrusted: bool, reason: str, now: datetime
) -> Sequence[Event]:
    """Have a key take over, once."""
    if key is not None:
        return []
    return [SigningKeyRotated(kid=kid, distrusted=distrusted, reason=reason, rotated_at=in_utc(now))]
