"""How the events of a mail change its row."""

from datetime import datetime
from typing import Final

from msgspec.structs import replace

from domain.ids import OrderId
from domain.mail.events import MailAccepted, MailFailed, MailRequested, MailSuppressed, MailUnconfirmed
from projections.mail.views import MailDetails, Status, mail_details


@mail_details.on(MailRequested)
def requested(_mail: None, event: MailRequested) -> MailDetails:
    """Whom it goes to is looked up when it is sent."""
    order = event.parameters.get("order")
    return MailDetails(
        mail_id=event.mail_id,
        template=event.template,
        recipient_ref=event.recipient_ref,
        order_id=None if order is None else OrderId(order),
        status="requested",
        requested_at=event.requested_at,
    )


@mail_details.on(MailAccepted)
def accepted(mail: MailDetails, event: MailAccepted) -> MailDetails:
    """The mail server has it."""
    return _answered(mail, "accepted", event.accepted_at)


@mail_details.on(MailFailed)
def failed(mail: MailDetails, event: MailFailed) -> MailDetails:
    """Somebody may have it sent again, once the address is right."""
    return _answered(mail, "failed", event.failed_at, reason=event.reason)


@mail_details.on(MailSuppressed)
def suppressed(mail: MailDetails, event: MailSuppressed) -> MailDetails:
    """Its purpose is gone, or its recipient."""
    return _answered(mail, "suppressed", event.suppressed_at, reason=event.reason)


@mail_details.on(MailUnconfirmed)
def unconfirmed(mail: MailDetails, event: MailUnconfirmed) -> MailDetails:
    """Whether the mail server has it is not known."""
    return _answered(mail, "unconfirmed", event.unconfirmed_at)


def _answered(mail: MailDetails, status: Status, at: datetime, *, reason: str | None = None) -> MailDetails:
    return replace(mail, status=status, answered_at=at, reason=reason)


VIEWS: Final = (mail_details,)
"""Views of mails."""
