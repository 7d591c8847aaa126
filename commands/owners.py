"""Owners of the shop, as decisions see them that take one away: one who can log in always stays."""

from typing import Final

from commands.decision import DecisionView, Tagged
from domain.customers.customer import CUSTOMER, Status
from domain.identity.account import ACCOUNT, holding
from domain.identity.events import RoleGranted, RoleRevoked, role_tag
from domain.ids import AccountId, CustomerId

OWNERS: Final[Tagged[frozenset[AccountId]]] = Tagged((RoleGranted, RoleRevoked), frozenset(), holding)
"""The accounts that have a role."""

_GOING: Final = frozenset((Status.ERASING, Status.ERASED))


def owners_left(account_id: AccountId, view: DecisionView) -> frozenset[AccountId]:
    """An account, if it is an owner, and another owner who can log in, if there is one.

    Who is locked, or about to be closed, can neither unlock anybody nor grant a role.
    """
    owners = view.tagged(OWNERS, role_tag("owner"))
    if account_id not in owners:
        return frozenset()
    others = sorted(owners - {account_id})
    view.prefetch(ACCOUNT, others)
    view.prefetch(CUSTOMER, others)
    another = next((each for each in others if _can_log_in(each, view)), None)
    return frozenset((account_id,) if another is None else (account_id, another))


def _can_log_in(account_id: AccountId, view: DecisionView) -> bool:
    account = view.current(ACCOUNT, account_id)
    if account is None or account.locked:
        return False
    customer = view.current(CUSTOMER, CustomerId(account_id))
    return customer is None or customer.account_id is None or customer.status not in _GOING
