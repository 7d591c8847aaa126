"""An account: somebody who can log in. Its roles are a stream of their own.

An address belongs to one account only. There is one first owner: further ones are appointed by an owner, and the last
one stays. Asking again for what already holds decides nothing. Refusals:

Conflict  EmailTaken, AccountIdTaken, OwnerExists, LastOwner
Unknown   AccountUnknown
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from domain.aggregate import Aggregate
from domain.event import Event
from domain.identity.events import (
    AccountClosed,
    AccountLocked,
    AccountRegistered,
    AccountUnlocked,
    AddressVerified,
    PasswordChanged,
    PasswordReset,
    RoleGranted,
    RoleRevoked,
)
from domain.ids import AccountId, CredentialId, KeyedHash, LinkId
from domain.moment import in_utc
from domain.rejection import Conflict, Unknown


class Account(Struct, frozen=True, kw_only=True):
    """An account that can log in, and its credential."""

    account_id: AccountId
    email_digest: KeyedHash
    credential_id: CredentialId
    registered_at: datetime
    password_replaced: bool = False
    """Whether the password is another one than at the registration."""
    locked: bool = False
    closed: bool = False
    """Nobody logs in to it ever again: it is locked, and is not unlocked."""
    verified: bool = False
    """Whether the address was shown to be theirs."""


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

    title = "The shop has an owner already"
    meaning = "The first owner is created once; after that an owner grants roles."
    remedy = "Log in as the owner and grant roles."

    def __str__(self) -> str:
        return "The shop has an owner already."


@dataclass(kw_only=True, eq=False)
class AccountIdTaken(Conflict):
    """An account has this id."""

    title = "The account exists"
    meaning = "An account with this id is registered already."
    remedy = "Choose another id, or leave it out."

    account_id: AccountId

    def __str__(self) -> str:
        return f"Account {self.account_id!r} is registered already."


@dataclass(kw_only=True, eq=False)
class AccountUnknown(Unknown):
    """The account does not exist."""

    title = "The account does not exist"
    meaning = "No account has this id."
    remedy = "Check the id: case matters."

    account_id: AccountId

    def __str__(self) -> str:
        return f"There is no account {self.account_id!r}."


@dataclass(kw_only=True, eq=False)
class LastOwner(Conflict):
    """The shop would have no owner left."""

    title = "The shop would have no owner"
    meaning = "The account is the only owner who can log in, and only an owner can grant roles."
    remedy = "Grant the role owner to another account first."

    account_id: AccountId

    def __str__(self) -> str:
        return f"Account {self.account_id!r} is the only owner who can log in."


def evolve(account: Account | None, event: Event) -> Account:
    """Return the account as it is after `event`."""
    if isinstance(event, AccountRegistered):
        return Account(
            account_id=event.account_id,
            email_digest=event.email_digest,
            credential_id=event.credential_id,
            registered_at=event.registered_at,
        )
    assert account is not None, "a change of an account that was never registered"
    match event:
        case PasswordChanged() | PasswordReset():
            return replace(account, credential_id=event.credential_id, password_replaced=True)
        case AccountLocked():
            return replace(account, locked=True)
        case AccountUnlocked():
            return replace(account, locked=False)
        case AddressVerified():
            return replace(account, verified=True)
        case AccountClosed():
            return replace(account, locked=True, closed=True)
    raise AssertionError(f"{type(event).__name__} is no event of an account")


def evolve_grants(grants: Grants | None, event: Event) -> Grants:
    """Return the roles as they are after `event`."""
    match event:
        case RoleGranted():
            held = grants or Grants(account_id=event.account_id)
            return replace(held, roles=held.roles | {event.role})
        case RoleRevoked():
            assert grants is not None, "a role that was never granted"
            return replace(grants, roles=grants.roles - {event.role})
    raise AssertionError(f"{type(event).__name__} is no event of grants")


ACCOUNT: Final = Aggregate(
    "account",
    evolve,
    events=(
        AccountRegistered,
        AddressVerified,
        PasswordChanged,
        PasswordReset,
        AccountLocked,
        AccountUnlocked,
        AccountClosed,
    ),
)
GRANTS: Final = Aggregate("grants", evolve_grants, events=(RoleGranted, RoleRevoked))


def registered(holder: AccountId | None, event: AccountRegistered | AccountClosed) -> AccountId | None:
    """The account that an address belongs to: a fold over the events that carry its tag."""
    if isinstance(event, AccountClosed):
        return None if holder == event.account_id else holder
    return event.account_id


def holding(holders: frozenset[AccountId], event: RoleGranted | RoleRevoked) -> frozenset[AccountId]:
    """The accounts that have a role: a fold over the events that carry its tag."""
    if isinstance(event, RoleRevoked):
        return holders - {event.account_id}
    return holders | {event.account_id}


def register(
    account: Account | None,
    *,
    account_id: AccountId,
    email_digest: KeyedHash,
    holder: AccountId | None,
    credential_id: CredentialId,
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
        AccountIdTaken: the id is that of another account.
        EmailTaken: the address belongs to another account.
    """
    if account is not None:
        raise AccountIdTaken(account_id=account_id)
    if holder is not None:
        raise EmailTaken
    return [
        AccountRegistered(
            account_id=account_id,
            email_digest=email_digest,
            credential_id=credential_id,
            registered_at=in_utc(now),
        )
    ]


def first_roles(roles: Iterable[str], *, account_id: AccountId, now: datetime) -> Sequence[Event]:
    """Give a new account its roles, each once."""
    return [
        RoleGranted(account_id=account_id, role=role, granted_at=in_utc(now)) for role in sorted(set(roles))
    ]


def require_no_owner(owners: frozenset[AccountId]) -> None:
    """Refuse a first owner where there is one.

    Raises:
        OwnerExists: there is.
    """
    if owners:
        raise OwnerExists


def grant_role(
    grants: Grants | None, account: Account | None, *, account_id: AccountId, role: str, now: datetime
) -> Sequence[Event]:
    """Give an account a role.

    Raises:
        AccountUnknown: there is no such account.
    """
    if account is None:
        raise AccountUnknown(account_id=account_id)
    if grants is not None and role in grants.roles:
        return []
    return [RoleGranted(account_id=account_id, role=role, granted_at=in_utc(now))]


def revoke_role(
    grants: Grants | None,
    account: Account | None,
    *,
    account_id: AccountId,
    role: str,
    owners: frozenset[AccountId],
    now: datetime,
) -> Sequence[Event]:
    """Take a role from an account; `owners`: itself, if it is one, and others who can log in.

    Raises:
        AccountUnknown, LastOwner: there is no such account, or it is the only owner.
    """
    if account is None:
        raise AccountUnknown(account_id=account_id)
    if grants is None or role not in grants.roles:
        return []
    if role == "owner" and owners <= {account_id}:
        raise LastOwner(account_id=account_id)
    return [RoleRevoked(account_id=account_id, role=role, revoked_at=in_utc(now))]


def change_password(
    account: Account | None, *, account_id: AccountId, old: str, new: CredentialId, now: datetime
) -> Sequence[Event]:
    """Put one credential in the place of another; nothing if the account has another one by now.

    Raises:
        AccountUnknown: there is no such account.
    """
    if account is None:
        raise AccountUnknown(account_id=account_id)
    if account.credential_id != old:
        return []
    return [PasswordChanged(account_id=account_id, credential_id=new, changed_at=in_utc(now))]


def verify_address(account: Account, *, now: datetime) -> Sequence[Event]:
    """Note that the address is theirs; nothing if that is known."""
    if account.verified:
        return []
    return [
        AddressVerified(
            account_id=account.account_id, email_digest=account.email_digest, verified_at=in_utc(now)
        )
    ]


def reset_password(account: Account, *, new: CredentialId, link_id: LinkId, now: datetime) -> Sequence[Event]:
    """Put another credential in the place of one that was forgotten; a link that was followed verifies the address."""
    reset = PasswordReset(
        account_id=account.account_id, credential_id=new, link_id=link_id, reset_at=in_utc(now)
    )
    return [*verify_address(account, now=now), reset]


def lock(
    account: Account | None, *, account_id: AccountId, owners: frozenset[AccountId], now: datetime
) -> Sequence[Event]:
    """Let nobody log in to an account; `owners`: itself, if it is one, and others who can log in.

    Raises:
        AccountUnknown, LastOwner: there is no such account, or it is the only owner.
    """
    if account is None:
        raise AccountUnknown(account_id=account_id)
    if account.locked:
        return []
    if owners <= {account_id} and account_id in owners:
        raise LastOwner(account_id=account_id)
    return [AccountLocked(account_id=account_id, locked_at=in_utc(now))]


def unlock(account: Account | None, *, account_id: AccountId, now: datetime) -> Sequence[Event]:
    """Let an account be logged in to again.

    Raises:
        AccountUnknown: there is no such account.
    """
    if account is None:
        raise AccountUnknown(account_id=account_id)
    if not account.locked or account.closed:
        return []
    return [AccountUnlocked(account_id=account_id, unlocked_at=in_utc(now))]


def close(account: Account | None, *, now: datetime) -> Sequence[Event]:
    """Close an account for good; nothing if it is closed, or there is none."""
    if account is None or account.closed:
        return []
    return [
        AccountClosed(account_id=account.account_id, email_digest=account.email_digest, closed_at=in_utc(now))
    ]
