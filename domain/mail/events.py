"""The events of mail: the only part of it, with its templates, that other packages may rely on.

No event holds an address, a name or a secret. `recipient_ref` is a pseudonymous id; who sends looks up the rest.
"""

from typing import Annotated, NewType

from domain.event import Event, event_type
from domain.moment import Moment
from domain.text import Actor, PublicText, Word

MailId = NewType("MailId", str)
MessageId = NewType("MessageId", str)
"""The Message-ID of a mail, made of the mail's id and the sender's domain."""


@event_type("mail.mail_requested.v1")
class MailRequested(Event, frozen=True, kw_only=True):
    """A mail is to be sent. `parameters` fill the template and are neither personal nor secret."""

    mail_id: MailId
    template: Word
    template_version: int
    recipient_ref: Actor
    parameters: dict[Word, Annotated[str, PublicText("what fills a template is neither personal nor secret")]]
    requested_at: Moment


@event_type("mail.mail_accepted.v1")
class MailAccepted(Event, frozen=True, kw_only=True):
    """The mail server took the mail. `handovers` above 1: it may have taken a copy of it before.

    `message_id` is the mail's Message-ID, by which the server's log and the recipient's mailbox know it.
    """

    mail_id: MailId
    message_id: MessageId
    handovers: int
    accepted_at: Moment


@event_type("mail.mail_failed.v1")
class MailFailed(Event, frozen=True, kw_only=True):
    """The mail was not sent, and will not be. `permanent`: the server refused it for good; else it took too long.

    `reason` is the server's reply code, such as `550 5.1.1`: its text may repeat the address.
    """

    mail_id: MailId
    permanent: bool
    reason: Annotated[str, PublicText("a reply code of the server, without its text")]
    failed_at: Moment


@event_type("mail.mail_suppressed.v1")
class MailSuppressed(Event, frozen=True, kw_only=True):
    """The mail was not sent because nobody wants it any more: its link expired, or its recipient is gone."""

    mail_id: MailId
    reason: Word
    suppressed_at: Moment


@event_type("mail.mail_unconfirmed.v1")
class MailUnconfirmed(Event, frozen=True, kw_only=True):
    """The mail was handed over as often as it may be, and no answer came back: whether it was taken is not known."""

    mail_id: MailId
    message_id: MessageId
    handovers: int
    unconfirmed_at: Moment
