"""What can be asked about accounts: each by its id, without an address, and how many came and went, and when."""

from datetime import datetime
from typing import Literal

from msgspec import Struct

from domain.identity.account import ACCOUNT
from domain.ids import AccountId
from domain.text import Word
from projections.view import GLOBAL, KEYED, Row, View

Status = Literal["active", "locked", "closed"]


class LinkedProvider(Struct, frozen=True):
    """A provider by which the account is logged in to, and when it was linked."""

    provider: Word
    linked_at: datetime


class AccountDetails(Row, frozen=True, kw_only=True):
    """One account: its roles and linked providers. Its address is not here, and nobody logs in to a `closed` one again.

    `changed_at` is when status, roles or providers changed. Two users of one provider may be linked: it is named twice.
    """

    account_id: AccountId
    status: Status = "active"
    roles: tuple[Word, ...] = ()
    providers: tuple[LinkedProvider, ...] = ()
    registered_at: datetime
    changed_at: datetime


class AccountActivity(Row, frozen=True, kw_only=True):
    """Accounts of one quarter of an hour, which begins `at`: how many were registered and closed then."""

    at: datetime
    registered: int = 0
    closed: int = 0


account_details = View(
    name="account_details",
    row=AccountDetails,
    key=("account_id",),
    shape=1,
    kind=KEYED,
    category=ACCOUNT.category,
)
account_activity = View(name="account_activity", row=AccountActivity, key=("at",), shape=1, kind=GLOBAL)
