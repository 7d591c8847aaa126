"""What is written to the address of an account when something happened to it."""

import pytest
from pydantic import SecretStr

from commands.processes.security_notices import SECURITY_NOTICES
from counterfoil.contexts import CONTEXTS
from counterfoil.testing.spec import given_streams
from domain import event as domain_event
from domain.identity.account import ACCOUNT
from domain.identity.events import (
    AccountLocked,
    ExternalIdentityLinked,
    ExternalIdentityUnlinked,
    PasswordChanged,
    PasswordReset,
    RefreshReuseDetected,
)
from domain.mail.mail import MAIL
from runtime.settings import Settings
from tests.examples import (
    NOW,
    account_locked,
    account_registered,
    external_identity_linked,
    password_changed,
    refresh_reuse_detected,
)
from tests.identity_examples import account_closed, external_identity_unlinked, password_reset

WRITTEN = f"{NOW:%Y-%m-%d %H:%M} UTC"
NOTICES = {
    PasswordChanged: (password_changed(), "password-changed", {"at": WRITTEN}),
    PasswordReset: (password_reset(reset_at=NOW), "password-changed", {"at": WRITTEN}),
    RefreshReuseDetected: (refresh_reuse_detected(), "sessions-revoked", {"at": WRITTEN}),
    ExternalIdentityLinked: (
        external_identity_linked(),
        "identity-linked",
        {"at": WRITTEN, "provider": "google"},
    ),
    ExternalIdentityUnlinked: (
        external_identity_unlinked(),
        "identity-unlinked",
        {"at": WRITTEN, "provider": "google"},
    ),
    AccountLocked: (account_locked(), "account-locked", {"at": WRITTEN}),
}


def decided(event, *before, account=()):
    """The mails that are requested because of an event, where some were before."""
    reaction = SECURITY_NOTICES.reactions[domain_event.type_name(event)]
    of_account, (aggregate, identifier) = reaction.reads(event)
    assert ((ACCOUNT, event.account_id), MAIL) == (of_account, aggregate)
    view = given_streams(
        *((ACCOUNT, event.account_id, each) for each in (account_registered(), *account)),
        *((MAIL, identifier, each) for each in before),
    ).view
    return [mail for _, _, mail in reaction.decide(event, view, NOW).events]


@pytest.mark.parametrize("kind", NOTICES, ids=lambda kind: kind.__name__)
def test_the_account_is_written_to_once(kind):
    event, template, parameters = NOTICES[kind]

    [mail] = decided(event)

    assert (template, event.account_id, parameters) == (mail.template, mail.recipient_ref, mail.parameters)
    assert [] == decided(event, mail)


@pytest.mark.parametrize("kind", NOTICES, ids=lambda kind: kind.__name__)
def test_nobody_is_written_to_whose_account_an_erasure_closed(kind):
    assert [] == decided(NOTICES[kind][0], account=(account_closed(),))


def test_two_locks_of_an_account_are_two_mails():
    first, second = decided(account_locked()), decided(account_locked(locked_at=NOW.replace(year=2027)))

    assert first[0].mail_id != second[0].mail_id


def test_an_identity_that_is_linked_again_is_another_mail():
    later = NOW.replace(year=2027)
    for first, second in (
        (external_identity_linked(), external_identity_linked(linked_at=later)),
        (external_identity_unlinked(), external_identity_unlinked(unlinked_at=later)),
    ):
        assert decided(first)[0].mail_id != decided(second)[0].mail_id


def test_notices_run_only_where_there_is_a_mail_server():
    without = Settings(database_url=SecretStr("postgresql://nowhere"))
    with_one = Settings(
        mail_host="localhost", mail_from="no-reply@shop.example", mail_links="https://shop.example"
    )

    assert SECURITY_NOTICES not in CONTEXTS.processes_of(without)
    assert SECURITY_NOTICES in CONTEXTS.processes_of(with_one)
