"""An account as its row shows it: status, roles and linked providers."""

from datetime import timedelta

from counterfoil.testing.spec import folded
from projections.identity.views import AccountDetails, LinkedProvider, account_details
from tests.examples import (
    NOW,
    account_locked,
    account_registered,
    account_unlocked,
    external_identity_linked,
    role_granted,
    role_revoked,
)
from tests.identity_examples import account_closed, external_identity_unlinked

LATER = NOW + timedelta(minutes=1)
REGISTERED = AccountDetails(account_id="a-1", registered_at=NOW, changed_at=NOW)


def account(*events):
    """The row of an account after these events behind its registration."""
    return folded(account_details, account_registered(), *events)["a-1",]


def test_a_new_account_is_active_and_has_neither_roles_nor_providers():
    assert REGISTERED == account()


def test_roles_are_shown_in_the_order_of_their_names_and_each_once():
    roles = [role_granted(role=role) for role in ("support", "auditor", "support")]

    assert ("auditor", "support") == account(*roles).roles
    assert ("auditor",) == account(*roles, role_revoked(role="support")).roles


def test_a_provider_is_shown_until_all_of_its_users_are_unlinked():
    linked = [external_identity_linked(), external_identity_linked(linked_at=LATER)]
    other = external_identity_linked(provider="oidc")

    shown = account(*linked, other)
    assert (("google", NOW), ("google", LATER), ("oidc", NOW)) == tuple(
        (each.provider, each.linked_at) for each in shown.providers
    )
    left = account(*linked, other, external_identity_unlinked(), external_identity_unlinked())
    assert (LinkedProvider("oidc", NOW),) == left.providers


def test_the_status_follows_locks_and_a_closing():
    steps = (account_locked(), account_unlocked(), account_locked(), account_closed())

    assert ["locked", "active", "locked", "closed"] == [
        account(*steps[: count + 1]).status for count in range(len(steps))
    ]


def test_an_account_says_when_it_was_changed_last():
    for event in (
        role_granted(granted_at=LATER),
        role_revoked(revoked_at=LATER),
        external_identity_linked(linked_at=LATER),
        external_identity_unlinked(unlinked_at=LATER),
        account_locked(locked_at=LATER),
        account_unlocked(unlocked_at=LATER),
        account_closed(closed_at=LATER),
    ):
        assert (NOW, LATER) == ((shown := account(event)).registered_at, shown.changed_at)
