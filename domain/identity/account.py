"""An account: somebody who can log in. Its roles are a stream of their own.

An address belongs to one account only. There is one first owner: further ones are appointed by an owner. Refusals:

Conflict  EmailTaken, OwnerExists
Unknown   AccountUnknown
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from domain.aggregate import Aggregate
from domain.event import Event
from domain.identity.events import AccountRegistered, RoleGranted
from domain.ids import AccountId
from domain.moment import in_utc
from domain.rejection import Conflict


class Account(Struct, frozen=True, kw_only=True):
    """Who can log in, and the credential that proves it."""

    account_id: AccountId
    email_digest: str
    credential_id: str


class Grants(Struct, frozen=True, kw_only=True):
    """The roles of an account."""

    account_id: AccountId
    roles: frozenset[str] = frozenset()


@dataclass(kw_only=True, eq=False)
class EmailTaken(Conflict):
    """The address belongs to another account."""

    title = "The address belongs to an account"
    meaning = "An account with this e-mail address is registered already; an address belongs to one account."
    remedy = "Log in with it, or choose another address."

    def __str__(self) -> str:
        return "The address belongs to another account."


@dataclass(kw_only=True, eq=False)
class OwnerExists(Conflict):
    """The shop has an owner."""

    title = "There is an owner already"
    meaning = "The first owner is created once; everybody after that is given roles by an owner."
    remedy = "Log in as the owner and grant roles."

    def __str__(self) -> str:
        return "The shop has an owner already."


def evolve(_account: Account | None, event: Event) -> Account:
    """Return the account as it is after `event`."""
    match event:
        case AccountRegistered():
            return Account(
                account_id=event.account_id,
                email_digest=event.email_digest,
                credential_id=event.credential_id,
            )
    raise AssertionError(f"{type(event).__name__} is no event of an account")


def evolve_grants(grants: Grants | None, event: Event) -> Grants:
    """Return the roles as they are after `event`."""
    match event:
        case RoleGranted():
            held = grants or Grants(account_id=event.account_id)
            return replace(held, roles=held.roles | {event.role})
    raise AssertionError(f"{type(event).__name__} is no event of grants")


ACCOUNT: Final = Aggregate("account", evolve, events=(AccountRegistered,))
GRANTS: Final = Aggregate("grants", evolve_grants, events=(RoleGranted,))


def registered(_holder: AccountId | None, event: AccountRegistered) -> AccountId:
    """The account that an address belongs to: a fold over the events that carry its tag."""
    return event.account_id


def holding(holders: frozenset[AccountId], event: RoleGranted) -> frozenset[AccountId]:
    """The accounts that have a role: a fold over the events that carry its tag."""
    return holders | {event.account_id}


def register(
    account: Account | None,
    *,
    account_id: AccountId,
    email_digest: str,
    holder: AccountId | None,
    credential_id: str,
    now: datetime,
) -> Sequence[Event]:
    """Register an account under an address that is free.

    Args:
        account: the one of this id, if there is one.
        account_id: its id.
        email_digest: keyed hash of the address.
        holder: the account that the address belongs to.
        credential_id: of the password in the vault.
        now: the time.

    Raises:
        EmailTaken: the address belongs to another account.
    """
    if holder is not None or account is not None:
        raise EmailTaken
    return [
        AccountRegistered(
            account_id=account_id,
            email_digest=email_digest,
            credential_id=credential_id,
            registered_at=in_utc(now),
        )
    ]


def appoint_first_owner(
    owners: frozenset[AccountId], *, account_id: AccountId, now: datetime
) -> Sequence[Event]:
    """Make an account the owner of a shop that has none.

    Raises:
        OwnerExists: it has one.
    """
    if owners:
        raise OwnerExists
    return [RoleGranted(account_id=account_id, role="owner", granted_at=in_utc(now))]
