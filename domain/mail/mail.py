"""A mail: requested by a decision of another context, sent once, and answered by the mail server.

requested ─┬─▶ accepted
           ├─▶ failed
           ├─▶ suppressed
           └─▶ unconfirmed

Its id is chosen by who requests it. Nothing but an answer ends a request, and nothing follows an answer: who wants the
mail once more requests a copy, which is a mail of its own. Refusals:

Unknown   MailUnknown
Conflict  MailUnanswered, MailHasLink
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from domain.aggregate import Aggregate
from domain.event import Event
from domain.ids import validate_id
from domain.mail.events import (
    MailAccepted,
    MailFailed,
    MailId,
    MailRequested,
    MailSuppressed,
    MailUnconfirmed,
    MessageId,
)
from domain.mail.templates import WITH_SECRETS, Template
from domain.moment import in_utc
from domain.rejection import Conflict, Unknown

_DIGEST_CHARACTERS: Final = 32


class Status(StrEnum):
    """The answer to a mail."""

    REQUESTED = "requested"
    ACCEPTED = "accepted"
    FAILED = "failed"
    SUPPRESSED = "suppressed"
    UNCONFIRMED = "unconfirmed"


class Mail(Struct, frozen=True, kw_only=True):
    """A mail, and what became of it; `reason` says why it was not sent."""

    mail_id: MailId
    status: Status
    template: str
    template_version: int
    recipient_ref: str
    parameters: Mapping[str, str]
    message_id: MessageId | None = None
    reason: str | None = None


@dataclass(kw_only=True, eq=False)
class MailUnknown(Unknown):
    """No mail was requested under this id."""

    title = "The mail is unknown"
    meaning = "No mail was requested under this id."
    remedy = "Check the id: `GET /v1/mails` lists all."

    mail_id: MailId

    def __str__(self) -> str:
        return f"There is no mail '{self.mail_id}'."


@dataclass(kw_only=True, eq=False)
class MailUnanswered(Conflict):
    """It is still being sent."""

    title = "The mail is still being sent"
    meaning = "The mail has no answer yet. It is tried for three days, then it has failed."
    remedy = "Wait until `GET /v1/mails/{mail_id}` shows an answer."

    mail_id: MailId

    def __str__(self) -> str:
        return f"Mail '{self.mail_id}' has no answer yet."


@dataclass(kw_only=True, eq=False)
class MailHasLink(Conflict):
    """Its link is in nobody's hands but its reader's."""

    title = "The mail has a link of its own"
    meaning = "A mail whose link proves who reads it is not copied. `facts.template` has its template."
    remedy = "Have its reader request another link."

    mail_id: MailId
    template: str

    def __str__(self) -> str:
        return f"Mail '{self.mail_id}' is a '{self.template}', whose link belongs to this mail alone."


def evolve(mail: Mail | None, event: Event) -> Mail:
    """Return the mail as it is after `event`."""
    if isinstance(event, MailRequested):
        return Mail(
            mail_id=event.mail_id,
            status=Status.REQUESTED,
            template=event.template,
            template_version=event.template_version,
            recipient_ref=event.recipient_ref,
            parameters=event.parameters,
        )
    assert mail is not None, "an answer about a mail that was never requested"
    match event:
        case MailAccepted():
            return replace(mail, status=Status.ACCEPTED, message_id=event.message_id)
        case MailFailed():
            return replace(mail, status=Status.FAILED, reason=event.reason)
        case MailSuppressed():
            return replace(mail, status=Status.SUPPRESSED, reason=event.reason)
        case MailUnconfirmed():
            return replace(mail, status=Status.UNCONFIRMED, message_id=event.message_id)
    raise AssertionError(f"{type(event).__name__} is no event of a mail")


MAIL: Final[Aggregate[Mail]] = Aggregate(
    "mail",
    evolve,
    (MailRequested, MailAccepted, MailFailed, MailSuppressed, MailUnconfirmed),
    cached=False,
)
"""Not cached: each stream has two events, one of a command and one of the sender."""


def id_about(kind: str, *about: str) -> MailId:
    """The id of the one mail of its kind about something."""
    digest = hashlib.sha256("\0".join(about).encode()).hexdigest()
    return MailId(f"{kind}-{digest[:_DIGEST_CHARACTERS]}")


def request_mail(
    mail: Mail | None,
    template: Template,
    *,
    mail_id: MailId,
    recipient_ref: str,
    now: datetime,
    parameters: Mapping[str, str] | None = None,
) -> list[Event]:
    """Have a mail sent in the newest version of its template; nothing if one was requested under this id.

    Raises:
        MalformedId: the id cannot be one.
    """
    given = dict(parameters or {})
    assert set(given) == set(template.parameters), f"{template.name} is filled with {template.parameters}"
    if mail is not None:
        return []
    return [
        MailRequested(
            mail_id=MailId(validate_id(mail_id)),
            template=template.name,
            template_version=template.version,
            recipient_ref=recipient_ref,
            parameters=given,
            requested_at=in_utc(now),
        )
    ]


def copy_id(mail_id: MailId) -> MailId:
    """The id of the one copy of a mail; a copy can be copied again."""
    return id_about("copy", mail_id)


def request_copy(mail: Mail | None, copy: Mail | None, *, mail_id: MailId, now: datetime) -> list[Event]:
    """Have a mail that was answered sent once more, to the recipient's address of then; nothing if it has a copy.

    Raises:
        MailUnknown: there is no such mail.
        MailUnanswered: it is still being sent.
        MailHasLink: it has a link, which works in the mail itself only.
    """
    if mail is None:
        raise MailUnknown(mail_id=mail_id)
    if mail.template in WITH_SECRETS:
        raise MailHasLink(mail_id=mail_id, template=mail.template)
    if mail.status is Status.REQUESTED:
        raise MailUnanswered(mail_id=mail_id)
    if copy is not None:
        return []
    return [
        MailRequested(
            mail_id=copy_id(mail_id),
            template=mail.template,
            template_version=mail.template_version,
            recipient_ref=mail.recipient_ref,
            parameters=dict(mail.parameters),
            requested_at=in_utc(now),
        )
    ]


def record_acceptance(
    mail: Mail | None, *, message_id: MessageId, handovers: int, now: datetime
) -> list[Event]:
    """Record that the server took the mail; nothing if it has its answer."""
    if mail is None or mail.status is not Status.REQUESTED:
        return []
    return [
        MailAccepted(
            mail_id=mail.mail_id, message_id=message_id, handovers=handovers, accepted_at=in_utc(now)
        )
    ]


def record_failure(mail: Mail | None, *, permanent: bool, reason: str, now: datetime) -> list[Event]:
    """Record that the mail will not be sent; nothing if it has its answer."""
    if mail is None or mail.status is not Status.REQUESTED:
        return []
    return [MailFailed(mail_id=mail.mail_id, permanent=permanent, reason=reason, failed_at=in_utc(now))]


def record_suppression(mail: Mail | None, *, reason: str, now: datetime) -> list[Event]:
    """Record that nobody wants the mail any more; nothing if it has its answer."""
    if mail is None or mail.status is not Status.REQUESTED:
        return []
    return [MailSuppressed(mail_id=mail.mail_id, reason=reason, suppressed_at=in_utc(now))]


def record_silence(mail: Mail | None, *, message_id: MessageId, handovers: int, now: datetime) -> list[Event]:
    """Record that it is not known whether the server took the mail; nothing if it has its answer."""
    if mail is None or mail.status is not Status.REQUESTED:
        return []
    return [
        MailUnconfirmed(
            mail_id=mail.mail_id, message_id=message_id, handovers=handovers, unconfirmed_at=in_utc(now)
        )
    ]
