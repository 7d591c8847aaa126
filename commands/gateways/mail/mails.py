"""Mails are sent through a mail server: what is asked for an intent, and what is recorded about the answer.

A mail server cannot be asked what came of a mail, and takes one twice if it is sent twice. So each handover is counted
next to the log before it happens (`handovers`), and a mail is handed over twice at most: the second time if the sender
died, or the connection broke, while the first was on its way. Both copies are the same, with the same Message-ID.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

import psycopg
from msgspec import Struct

from commands.calls import key_digest
from commands.gateways.gateway import Effect, Gateway, NoAnswer, Unaskable
from commands.gateways.mail.handovers import Handovers, Overtaken
from commands.gateways.mail.smtp import MailServer, RejectedMail, SmtpServer, UnansweredMail
from commands.mail import rendering
from commands.mail.rendering import Letterhead, MalformedAddress, RenderingError
from commands.recipients import Recipient, Recipients, RecipientsUnreachable, Unwanted
from domain.event import Event
from domain.mail import mail as mails
from domain.mail.events import MailRequested, MessageId
from domain.mail.mail import MAIL, Mail
from runtime import database
from runtime.settings import Settings

NAME: Final = "mail"
STEP: Final = "send"
ATTEMPT: Final = 1
"""A mail has one attempt; to send it again, a decision requests another one."""

HANDOVERS_MAX: Final = 2
"""How often a mail is handed over at most: once more than is known to have been answered."""

GIVE_UP_AFTER: Final = timedelta(days=3)
"""How long the mail server may put a mail off."""

CHECK_TIMEOUT_S: Final = 5.0


class Accepted(Struct, frozen=True):
    """The server took the mail."""

    message_id: MessageId
    handovers: int = 1


class AcceptedAgain(Accepted, frozen=True):
    """The server took the mail, and may have taken a copy of it before."""


class Failed(Struct, frozen=True):
    """The mail will not be sent."""

    permanent: bool
    reason: str


class Unconfirmed(Struct, frozen=True):
    """The mail was handed over, and will not be once more; whether it was taken is not known."""

    message_id: MessageId
    handovers: int


Answer = Accepted | Failed | Unwanted | Unconfirmed
Opening = Callable[[Settings], AbstractAsyncContextManager[Recipients]]
"""Opens recipients, on the database that the settings name."""


def _now() -> datetime:
    return datetime.now(UTC)


class Mails:
    """The mail server, asked in the terms of mails."""

    def __init__(
        self,
        server: SmtpServer,
        handovers: Handovers,
        recipients: Recipients,
        *,
        letterhead: Letterhead,
        clock: Callable[[], datetime] = _now,
    ) -> None:
        self._server = server
        self._handovers = handovers
        self._recipients = recipients
        self._letterhead = letterhead
        self._clock = clock

    async def find(self, key: str, intent: MailRequested) -> Unconfirmed | None:  # noqa: ARG002 - the key says it all
        """See `Port`: the server is not asked, since it cannot say. None: the mail may be handed over."""
        with _translated():
            handed_over = await self._handovers.count(_outcome_key(key))
        return self._unconfirmed(key, handed_over) if handed_over >= HANDOVERS_MAX else None

    async def ask(self, key: str, intent: MailRequested) -> Answer:
        """See `Port`."""
        with _translated():
            handed_over = await self._handovers.count(_outcome_key(key))
            found = await self._recipients.find(intent)
            if isinstance(found, Unwanted) or self._clock() - intent.requested_at > GIVE_UP_AFTER:
                if handed_over:
                    return self._unconfirmed(key, handed_over)
                return (
                    found if isinstance(found, Unwanted) else Failed(permanent=False, reason="took too long")
                )
            try:
                content = self._content(key, intent, found)
            except MalformedAddress as error:
                return Failed(permanent=True, reason=str(error))
            return await self._handed_over(key, content, to=found.address, known=handed_over)

    async def _handed_over(self, key: str, content: bytes, *, to: str, known: int) -> Answer:
        """Hand the mail over, counted before, and not counted if the server says no."""
        counted = False

        async def count() -> None:
            nonlocal counted
            await self._handovers.begin(_outcome_key(key), known=known)
            counted = True

        try:
            await self._server.send(
                content, sender=self._letterhead.address, recipient=to, handing_over=count
            )
        except UnansweredMail as error:
            raise NoAnswer(str(error)) from error
        except RejectedMail as error:
            if counted:
                await self._handovers.take_back(_outcome_key(key), known=known)
            return self._unconfirmed(key, known) if known else Failed(permanent=True, reason=str(error))
        except NoAnswer:
            if counted:
                await self._handovers.take_back(_outcome_key(key), known=known)
            raise
        answer = AcceptedAgain if known else Accepted
        return answer(self._message_id(key), known + 1)

    def _content(self, key: str, intent: MailRequested, recipient: Recipient) -> bytes:
        rendered = rendering.render(
            intent.template,
            intent.template_version,
            letterhead=self._letterhead,
            values={**intent.parameters, **recipient.secrets},
        )
        made = rendering.message(
            rendered,
            letterhead=self._letterhead,
            to=recipient.address,
            key=key,
            at=intent.requested_at,
        )
        return made.as_bytes()

    def _message_id(self, key: str) -> MessageId:
        return MessageId(rendering.message_id(key, domain=self._letterhead.domain))

    def _unconfirmed(self, key: str, handovers: int) -> Unconfirmed:
        return Unconfirmed(self._message_id(key), handovers)


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Say of what failed on our side whether it may go well another time.

    Raises:
        NoAnswer: it may.
        Unaskable: the mail cannot be made.
    """
    try:
        yield
    except Overtaken:
        raise NoAnswer("another sender was here") from None
    except RecipientsUnreachable as error:
        raise NoAnswer(f"the recipient cannot be looked up: {error}") from error
    except psycopg.OperationalError as error:
        raise NoAnswer(f"handovers cannot be counted: {type(error).__name__}") from error
    except RenderingError as error:
        raise Unaskable(str(error)) from error


def _outcome_key(key: str) -> bytes:
    """The key under which the sender records the answer."""
    return key_digest(f"sender-{NAME}", key)


def record(mail: Mail | None, intent: MailRequested, answer: Answer, now: datetime) -> Sequence[Event]:  # noqa: ARG001
    """The outcome for an answer."""
    match answer:
        case Accepted():
            return mails.record_acceptance(
                mail, message_id=answer.message_id, handovers=answer.handovers, now=now
            )
        case Failed():
            return mails.record_failure(mail, permanent=answer.permanent, reason=answer.reason, now=now)
        case Unwanted():
            return mails.record_suppression(mail, reason=answer.reason, now=now)
        case Unconfirmed():
            return mails.record_silence(
                mail, message_id=answer.message_id, handovers=answer.handovers, now=now
            )


def gateway(recipients: Opening) -> Gateway:
    """The gateway of mails that go to these recipients."""
    return Gateway(
        name=NAME,
        effects=(
            Effect(
                step=STEP,
                aggregate=MAIL,
                intent=MailRequested,
                concerns=lambda intent: (intent.mail_id, ATTEMPT),
                record=record,
            ),
        ),
        opened=partial(_opened, recipients),
        check=_check,
    )


def _opened(recipients: Opening, settings: Settings) -> AbstractAsyncContextManager[Mails] | None:
    return None if settings.mail_host is None else _mails(recipients, settings)


@contextlib.asynccontextmanager
async def _mails(recipients: Opening, settings: Settings) -> AsyncIterator[Mails]:
    assert settings.database_url is not None, "a sender says where the log is"
    url = settings.database_url.get_secret_value()
    pool = database.pool(url, role="counterfoil_writer", name=f"sender-{NAME} handovers", size=1)
    letterhead = rendering.letterhead(settings)
    async with (
        pool,
        recipients(settings) as found,
        SmtpServer.open(place(settings)) as server,
    ):
        yield Mails(server, Handovers(pool), found, letterhead=letterhead)


async def _check(settings: Settings) -> str:
    """What a session with the mail server finds.

    Raises:
        NoAnswer: no mail can be sent now.
    """
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S), SmtpServer.open(place(settings)) as server:
            return await server.check()
    except TimeoutError:
        raise NoAnswer(f"no answer within {CHECK_TIMEOUT_S:g} s") from None


def place(settings: Settings) -> MailServer:
    """Where settings that have a mail server say that it is."""
    assert settings.mail_host is not None, "no mail server is set"
    password = settings.mail_password
    return MailServer(
        host=settings.mail_host,
        port=settings.mail_port,
        tls=settings.mail_tls,
        authorities=settings.mail_ca,
        user=settings.mail_user,
        password=None if password is None else password.get_secret_value(),
        called=rendering.letterhead(settings).domain,
    )
