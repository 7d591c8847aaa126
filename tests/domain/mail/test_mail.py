import functools
import itertools

import pytest

from counterfoil.testing.spec import given
from domain.ids import MalformedId, validate_id
from domain.mail import mail
from domain.mail.events import MailId
from domain.mail.templates import PASSWORD_CHANGED, VERIFY_ADDRESS
from tests.examples import (
    NOW,
    mail_accepted,
    mail_failed,
    mail_requested,
    mail_suppressed,
    mail_unconfirmed,
)

REQUEST = {
    "template": PASSWORD_CHANGED,
    "mail_id": MailId("m-1"),
    "recipient_ref": "a-7",
    "parameters": {"at": "2010-12-01 08:26 UTC"},
    "now": NOW,
}
ANSWERS = (mail_accepted(), mail_failed(), mail_suppressed(), mail_unconfirmed())


def test_a_mail_is_requested_in_the_newest_version_of_its_template():
    given().when(mail.request_mail, **REQUEST).then(mail_requested())


@pytest.mark.parametrize("events", [(), *((answer,) for answer in ANSWERS)])
def test_a_mail_is_requested_once_under_an_id(events):
    given(mail_requested(), *events).when(mail.request_mail, **REQUEST).then()


def test_an_id_that_cannot_be_one_is_refused():
    given().when(mail.request_mail, **REQUEST | {"mail_id": MailId("a~b")}).then_refused(
        MalformedId, given="a~b"
    )


@pytest.mark.parametrize("parameters", [None, {"at": "now", "to": "whom"}])
def test_a_template_is_given_what_it_is_filled_with_and_nothing_else(parameters):
    with pytest.raises(AssertionError, match="password-changed is filled with"):
        mail.request_mail(None, **REQUEST | {"parameters": parameters})


def test_secrets_of_a_template_are_no_parameters():
    with pytest.raises(AssertionError, match="verify-address is filled with"):
        mail.request_mail(
            None, **REQUEST | {"template": VERIFY_ADDRESS, "parameters": {"token": "in the log for ever"}}
        )


COPY = mail_requested(mail_id=mail.copy_id(MailId("m-1")))


def state_after(*events):
    return functools.reduce(mail.evolve, events, None)


@pytest.mark.parametrize("answer", ANSWERS)
def test_a_mail_with_an_answer_is_copied_once(answer):
    answered = state_after(mail_requested(), answer)
    copy = state_after(COPY)
    of_it = {"mail_id": MailId("m-1"), "now": NOW}

    assert [COPY] == mail.request_copy(answered, None, **of_it)
    assert [] == mail.request_copy(answered, copy, **of_it)


def test_a_copy_has_a_copy_of_its_own():
    copies = list(itertools.accumulate(range(3), lambda of, _: mail.copy_id(of), initial=MailId("m" * 64)))

    assert 4 == len(set(copies))
    assert copies[1:] == [validate_id(each) for each in copies[1:]]


def test_what_is_unknown_or_being_sent_or_has_a_link_is_not_copied():
    unanswered = state_after(mail_requested())
    with_link = state_after(mail_requested(template=VERIFY_ADDRESS.name, parameters={}), mail_suppressed())
    for found, refusal in (
        (None, mail.MailUnknown),
        (unanswered, mail.MailUnanswered),
        (with_link, mail.MailHasLink),
    ):
        with pytest.raises(refusal, match="'m-1'"):
            mail.request_copy(found, None, mail_id=MailId("m-1"), now=NOW)


RECORD = {
    "accepted": (mail.record_acceptance, {"message_id": "<3f2a@shop.example>", "handovers": 1}),
    "failed": (mail.record_failure, {"permanent": True, "reason": "550 5.1.1"}),
    "suppressed": (mail.record_suppression, {"reason": "expired"}),
    "unconfirmed": (mail.record_silence, {"message_id": "<3f2a@shop.example>", "handovers": 2}),
}


@pytest.mark.parametrize(("answer", "event"), list(zip(RECORD, ANSWERS, strict=True)))
def test_an_answer_is_recorded_once(answer, event):
    decide, said = RECORD[answer]

    given(mail_requested()).when(decide, **said, now=NOW).then(event)
    given().when(decide, **said, now=NOW).then()
    for earlier in ANSWERS:
        given(mail_requested(), earlier).when(decide, **said, now=NOW).then()


@pytest.mark.parametrize(("status", "event"), list(zip(RECORD, ANSWERS, strict=True)))
def test_a_mail_says_what_became_of_it(status, event):
    requested = mail.evolve(None, mail_requested())

    assert "requested" == requested.status
    assert status == mail.evolve(requested, event).status
