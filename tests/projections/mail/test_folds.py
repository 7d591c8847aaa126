import pytest

from counterfoil.testing.spec import folded
from projections.mail.views import MailDetails, mail_details
from tests.examples import (
    NOW,
    ORDER,
    mail_accepted,
    mail_failed,
    mail_requested,
    mail_suppressed,
    mail_unconfirmed,
)

REQUESTED = MailDetails(
    mail_id="m-1",
    template="password-changed",
    recipient_ref="a-7",
    order_id=None,
    status="requested",
    requested_at=NOW,
)


def test_a_requested_mail_waits_for_its_answer():
    assert {("m-1",): REQUESTED} == folded(mail_details, mail_requested())


def test_a_mail_about_an_order_names_it():
    row = folded(mail_details, mail_requested(parameters={"order": ORDER}))["m-1",]

    assert ORDER == row.order_id


@pytest.mark.parametrize(
    ("answer", "status", "reason"),
    [
        (mail_accepted(), "accepted", None),
        (mail_failed(), "failed", "550 5.1.1"),
        (mail_suppressed(), "suppressed", "expired"),
        (mail_unconfirmed(), "unconfirmed", None),
    ],
)
def test_an_answer_says_what_became_of_it(answer, status, reason):
    row = folded(mail_details, mail_requested(), answer)["m-1",]

    assert (status, NOW, reason) == (row.status, row.answered_at, row.reason)
