"""How the events of an account, its roles and its providers change its row, and how accounts are counted."""

from typing import Final

from msgspec.structs import replace

from domain.identity.events import (
    AccountClosed,
    AccountLocked,
    AccountRegistered,
    AccountUnlocked,
    ExternalIdentityLinked,
    ExternalIdentityUnlinked,
    RoleGranted,
    RoleRevoked,
)
from projections.identity.views import (
    AccountActivity,
    AccountDetails,
    LinkedProvider,
    account_activity,
    account_details,
)
from projections.quarters import quarter_of


@account_details.on(AccountRegistered)
def opened(_account: AccountDetails | None, event: AccountRegistered) -> AccountDetails:
    """Its first roles and a provider that made it are events of their own."""
    return AccountDetails(
        account_id=event.account_id, registered_at=event.registered_at, changed_at=event.registered_at
    )


@account_details.on(RoleGranted)
def granted(account: AccountDetails, event: RoleGranted) -> AccountDetails:
    """A role more."""
    roles = tuple(sorted({*account.roles, event.role}))
    return replace(account, roles=roles, changed_at=event.granted_at)


@account_details.on(RoleRevoked)
def revoked(account: AccountDetails, event: RoleRevoked) -> AccountDetails:
    """A role fewer."""
    roles = tuple(role for role in account.roles if role != event.role)
    return replace(account, roles=roles, changed_at=event.revoked_at)


@account_details.on(ExternalIdentityLinked)
def linked(account: AccountDetails, event: ExternalIdentityLinked) -> AccountDetails:
    """A login more."""
    providers = (*account.providers, LinkedProvider(event.provider, event.linked_at))
    return replace(account, providers=providers, changed_at=event.linked_at)


@account_details.on(ExternalIdentityUnlinked)
def unlinked(account: AccountDetails, event: ExternalIdentityUnlinked) -> AccountDetails:
    """All users of the provider are unlinked by one append, which has an event for each."""
    providers = tuple(each for each in account.providers if each.provider != event.provider)
    return replace(account, providers=providers, changed_at=event.unlinked_at)


@account_details.on(AccountLocked)
def locked(account: AccountDetails, event: AccountLocked) -> AccountDetails:
    """Nobody logs in until it is unlocked."""
    return replace(account, status="locked", changed_at=event.locked_at)


@account_details.on(AccountUnlocked)
def unlocked(account: AccountDetails, event: AccountUnlocked) -> AccountDetails:
    """It can be logged in to again."""
    return replace(account, status="active", changed_at=event.unlocked_at)


@account_details.on(AccountClosed)
def ended(account: AccountDetails, event: AccountClosed) -> AccountDetails:
    """It keeps its roles, which nobody uses any more."""
    return replace(account, status="closed", changed_at=event.closed_at)


@account_activity.on(AccountRegistered, keys=lambda event: ((quarter_of(event.registered_at),),))
def registered(row: AccountActivity | None, event: AccountRegistered) -> AccountActivity:
    """One more."""
    row = row or AccountActivity(at=quarter_of(event.registered_at))
    return replace(row, registered=row.registered + 1)


@account_activity.on(AccountClosed, keys=lambda event: ((quarter_of(event.closed_at),),))
def closed(row: AccountActivity | None, event: AccountClosed) -> AccountActivity:
    """One fewer from then on; it was registered all the same."""
    row = row or AccountActivity(at=quarter_of(event.closed_at))
    return replace(row, closed=row.closed + 1)


VIEWS: Final = (account_details, account_activity)
"""Views of accounts."""
