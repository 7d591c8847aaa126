"""How accounts that come and go are counted."""

from typing import Final

from msgspec.structs import replace

from domain.identity.events import AccountClosed, AccountRegistered
from projections.identity.views import AccountActivity, account_activity
from projections.quarters import quarter_of


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


VIEWS: Final = (account_activity,)
"""Views of accounts."""
