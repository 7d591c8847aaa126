"""Requests for copies of mails: one that is accepted after `FACTS`, and one for each refusal."""

from typing import Any

from domain.event import Event
from domain.mail.events import MailId
from tests.examples import mail_failed, mail_requested

FACTS: tuple[Event, ...] = (
    mail_requested(),
    mail_failed(),
    mail_requested(mail_id=MailId("m-2")),
    mail_requested(mail_id=MailId("m-3"), template="verify-address", parameters={}),
)

VALID: dict[str, tuple[str, Any]] = {"request_mail_copy": ("/v1/mails/m-1/copy", {})}

REFUSED: dict[tuple[str, str], tuple[str, Any]] = {
    ("request_mail_copy", "mail-unknown"): ("/v1/mails/none/copy", {}),
    ("request_mail_copy", "mail-unanswered"): ("/v1/mails/m-2/copy", {}),
    ("request_mail_copy", "mail-has-link"): ("/v1/mails/m-3/copy", {}),
}
