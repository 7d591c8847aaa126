"""Commands of mail: a mail that was not sent, or did not arrive, is sent again."""

from pydantic import ConfigDict

from commands.documentation import Caller
from commands.payloads import Payload
from commands.recording import Answer
from commands.routing import command, command_router
from domain.mail import mail as mails
from domain.mail.events import MailId
from domain.mail.mail import MAIL, MailHasLink, MailUnanswered, MailUnknown

router = command_router("mail")


class RequestCopy(Payload):
    """Nothing needs to be said."""

    model_config = ConfigDict(json_schema_extra={"example": {}})


@command(
    router,
    "/mails/{mail_id}/copy",
    requires="mails:send",
    refusals=(MailUnknown, MailUnanswered, MailHasLink),
)
async def request_mail_copy(mail_id: MailId, body: RequestCopy, caller: Caller) -> Answer:  # noqa: ARG001 - an empty body
    """Send a mail once more, as a mail of its own, to the address that its recipient has by now."""
    return await caller.execute(
        MAIL,
        mails.copy_id(mail_id),
        lambda copy, view: mails.request_copy(
            view.current(MAIL, mail_id), copy, mail_id=mail_id, now=caller.now
        ),
    )
