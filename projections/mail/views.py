"""Row type and key of mails."""

from datetime import datetime
from typing import Annotated, Literal

from domain.ids import OrderId
from domain.mail.events import MailId
from domain.mail.mail import MAIL
from domain.text import Actor, PublicText, Word
from projections.view import DEFERRED, Row, View

Status = Literal["requested", "accepted", "failed", "suppressed", "unconfirmed"]
Reason = Annotated[
    str, PublicText("a reply code of the server without its text, or why nobody wants the mail")
]


class MailDetails(Row, frozen=True):
    """A mail, and what became of it. `order_id` is there when it is about one.

    `reason` says why it was not sent: the server's reply code, or why nobody wants it any more.
    """

    mail_id: MailId
    template: Word
    recipient_ref: Actor
    order_id: OrderId | None
    status: Status
    requested_at: datetime
    answered_at: datetime | None = None
    reason: Reason | None = None


mail_details = View(
    name="mail_details", row=MailDetails, key=("mail_id",), shape=1, kind=DEFERRED, category=MAIL.category
)
