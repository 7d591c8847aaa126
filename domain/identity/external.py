"""An external identity: an account at a provider, by which somebody logs in to one of ours.

It is known by the provider's issuer and the subject there, never by an address. Its id is a keyed hash of both, so one
identity is one stream, and belongs to one account. Refusals:

Conflict  IdentityTaken
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from msgspec import Struct

from domain.aggregate import Aggregate
from domain.event import Event
from domain.identity.events import ExternalIdentityLinked
from domain.ids import AccountId, KeyedHash
from domain.moment import in_utc
from domain.rejection import Conflict


class External(Struct, frozen=True, kw_only=True):
    """To which account of ours an identity belongs."""

    account_id: AccountId
    provider: str


@dataclass(kw_only=True, eq=False)
class IdentityTaken(Conflict):
    """The identity belongs to another account."""

    title = "The account at the provider is in use"
    meaning = "The account at the provider is linked to another account here; it can be linked to one only."
    remedy = "Log in with it, or use another account at the provider."

    def __str__(self) -> str:
        return "The account at the provider belongs to another account."


def evolve(_external: External | None, event: Event) -> External:
    """Return the identity as it is after `event`."""
    match event:
        case ExternalIdentityLinked():
            return External(account_id=event.account_id, provider=event.provider)
    raise AssertionError(f"{type(event).__name__} is no event of an external identity")


EXTERNAL: Final = Aggregate("external", evolve, events=(ExternalIdentityLinked,))


def link(
    external: External | None,
    *,
    account_id: AccountId,
    provider: str,
    identity_digest: KeyedHash,
    now: datetime,
) -> Sequence[Event]:
    """Have an identity log in to an account; nothing if it does.

    Raises:
        IdentityTaken: it logs in to another account.
    """
    if external is not None:
        if external.account_id != account_id:
            raise IdentityTaken
        return []
    return [
        ExternalIdentityLinked(
            account_id=account_id,
            provider=provider,
            identity_digest=identity_digest,
            linked_at=in_utc(now),
        )
    ]
