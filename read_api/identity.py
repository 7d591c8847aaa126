"""What can be asked about accounts: status, roles and linked providers, of one and of all; never an address."""

from typing import Final

from projections.identity.views import AccountDetails, account_details
from read_api.lists.declaring import Listed, ListOf, Sort, by_day, by_member, by_value
from read_api.reading.resource import Resource, only_row
from read_api.routing import ById, Documented, Queries
from runtime.http.access import PERMISSIONS
from runtime.http.principal import Owned

ACCOUNT: Final = Resource(noun="account", view=account_details, render=only_row, owner="account_id")

_ROLE_PATTERN: Final = f"^({'|'.join(sorted(PERMISSIONS))})$"
_EXAMPLE: Final = {
    "account_id": "till-clerk-1",
    "status": "active",
    "roles": ["warehouse"],
    "providers": [{"provider": "google", "linked_at": "2026-01-31T08:27:00Z"}],
    "registered_at": "2026-01-31T08:26:00Z",
    "changed_at": "2026-01-31T08:27:00Z",
}

DETAILS: Final = ById(
    "/accounts/{account_id}",
    Owned("accounts:read"),
    ACCOUNT,
    Documented("get_account", "Account", AccountDetails, _EXAMPLE, "till-clerk-1"),
)
ACCOUNTS: Final = ListOf(
    path="/accounts",
    requires="accounts:read",
    view=account_details,
    filters=(
        by_value("status", "status", description="Only accounts with this status.", example="active"),
        by_member(
            "role",
            "roles",
            description="Only accounts that have this role, whatever others they have.",
            example="warehouse",
            pattern=_ROLE_PATTERN,
        ),
        *by_day("registered_at", said="Registered"),
    ),
    sorts=(
        Sort(
            "registered_at",
            ("registered_at", "account_id"),
            filters=("status", "role", "from", "to"),
            falling=True,
        ),
    ),
    documented=Listed(
        "list_accounts",
        "AccountsPage",
        "Accounts, newest first",
        "Status, roles and linked providers; nobody is searched by address.",
        _EXAMPLE,
        example_ids=("till-clerk-1", "till-clerk-2"),
    ),
)

QUERIES: Final = Queries(by_id=(DETAILS,), lists=(ACCOUNTS,))
