"""What can be asked about accounts: how many came and went, and when."""

from datetime import datetime

from projections.view import GLOBAL, Row, View


class AccountActivity(Row, frozen=True, kw_only=True):
    """Accounts of one quarter of an hour, which begins `at`: how many were registered and closed then."""

    at: datetime
    registered: int = 0
    closed: int = 0


account_activity = View(name="account_activity", row=AccountActivity, key=("at",), shape=1, kind=GLOBAL)
