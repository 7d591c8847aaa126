"""External identities: accounts at providers, by which somebody logs in to one of ours; a stream has an account's.

An identity is known by the provider's issuer and the subject there, never by an address. Events name it by a keyed hash
of both, which is a tag: by that one identity belongs to one account. An account keeps a way to log in. Refusals:

Conflict  IdentityTaken, LastLogin
Unknown   ProviderNotLinked
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from domain.aggregate import Aggregate
from domain.event import Event
from domain.identity.account import Account, AccountUnknown
from domain.identity.events import ExternalIdentityLinked, ExternalIdentityUnlinked
from domain.ids import AccountId, KeyedHash
from domain.moment import in_utc
from domain.rejection import Conflict, Unknown


class LinkedIdentity(Struct, frozen=True):
    """An identity, and the name of its provider in our addresses."""

    digest: KeyedHash
    provider: str


class External(Struct, frozen=True, kw_only=True):
    """The identities that log in to an account."""

    account_id: AccountId
    first_at: datetime
    """When the first one was linked: the registration of the account, where it was made by that login."""
    identities: tuple[LinkedIdentity, ...] = ()


@dataclass(kw_only=True, eq=False)
class IdentityTaken(Conflict):
    """The identity belongs to another account."""

    title = "The account at the provider is in use"
    meaning = "The account at the provider is linked to another account here; it can be linked to one only."
    remedy = "Log in with it, or use another account at the provider."

    def __str__(self) -> str:
        return "The account at the provider belongs to another account."


@dataclass(kw_only=True, eq=False)
class ProviderNotLinked(Unknown):
    """No identity of the provider logs in to the account."""

    title = "The provider is not linked"
    meaning = "No account at this provider is linked to the account."
    remedy = "Check the provider's name: it is the one in the address of its login."

    account_id: AccountId
    provider: str

    def __str__(self) -> str:
        return f"Account {self.account_id!r} has no login at {self.provider!r}."


@dataclass(kw_only=True, eq=False)
class LastLogin(Conflict):
    """The account would be left without a way to log in."""

    title = "The account could not be logged in to"
    meaning = "A login at the provider made the account, nobody chose its password, and no other provider is linked."
    remedy = "Choose a password by a reset of it, or link another provider first."

    account_id: AccountId
    provider: str

    def __str__(self) -> str:
        return f"The login at {self.provider!r} is the only one of account {self.account_id!r}: it has no password."


def evolve(external: External | None, event: Event) -> External:
    """Return the identities of an account as they are after `event`."""
    match event:
        case ExternalIdentityLinked():
            held = external or External(account_id=event.account_id, first_at=event.linked_at)
            linked = LinkedIdentity(event.identity_digest, event.provider)
            return replace(held, identities=(*held.identities, linked))
        case ExternalIdentityUnlinked():
            assert external is not None, "an identity that was never linked"
            left = tuple(each for each in external.identities if each.digest != event.identity_digest)
            return replace(external, identities=left)
    raise AssertionError(f"{type(event).__name__} is no event of external identities")


EXTERNAL: Final = Aggregate("external", evolve, events=(ExternalIdentityLinked, ExternalIdentityUnlinked))


def belonging(
    holder: AccountId | None, event: ExternalIdentityLinked | ExternalIdentityUnlinked
) -> AccountId | None:
    """The account that an identity belongs to: a fold over the events that carry its tag."""
    if isinstance(event, ExternalIdentityUnlinked):
        return None if holder == event.account_id else holder
    return event.account_id


def link(
    holder: AccountId | None,
    *,
    account_id: AccountId,
    provider: str,
    identity_digest: KeyedHash,
    now: datetime,
) -> Sequence[Event]:
    """Have an identity log in to an account; nothing if it does. `holder`: the account that it belongs to.

    Raises:
        IdentityTaken: it logs in to another account.
    """
    if holder is not None:
        if holder != account_id:
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


def unlink(
    external: External | None, account: Account | None, *, account_id: AccountId, provider: str, now: datetime
) -> Sequence[Event]:
    """Have no identity of a provider log in to an account any more.

    Raises:
        AccountUnknown: there is no such account.
        ProviderNotLinked: none does.
        LastLogin: there would be no way to log in.
    """
    if account is None:
        raise AccountUnknown(account_id=account_id)
    identities = () if external is None else external.identities
    of_provider = [each for each in identities if each.provider == provider]
    if external is None or not of_provider:
        raise ProviderNotLinked(account_id=account_id, provider=provider)
    # The password of an account that a provider's login made is chance: nobody has it until it is replaced.
    has_password = account.password_replaced or account.registered_at != external.first_at
    # Nobody logs in to an account that is closed, and an identity that is kept to it could register no other.
    if len(of_provider) == len(identities) and not (has_password or account.closed):
        raise LastLogin(account_id=account_id, provider=provider)
    return _unlinked(of_provider, account_id=account_id, now=now)


def unlink_all(external: External | None, *, now: datetime) -> Sequence[Event]:
    """Have no identity log in to an account that is closed: each may be linked, or make an account, again."""
    return [] if external is None else _unlinked(external.identities, account_id=external.account_id, now=now)


def _unlinked(
    identities: Iterable[LinkedIdentity], *, account_id: AccountId, now: datetime
) -> Sequence[Event]:
    return [
        ExternalIdentityUnlinked(
            account_id=account_id,
            provider=each.provider,
            identity_digest=each.digest,
            unlinked_at=in_utc(now),
        )
        for each in identities
    ]
