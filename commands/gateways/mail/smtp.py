"""The mail server: one mail over one connection, by SMTP as RFC 5321 and RFC 6409 (submission) say.

The session is encrypted before the login and the mail, unless the settings say otherwise, and the server has to show a
certificate of a trusted authority for its name. Replies are kept as codes only: their text may repeat the address.

Errors, in addition to NoAnswer (nothing was taken; it may go well another time):

SmtpError
├── RejectedMail    the server will never take this mail
└── UnansweredMail  the mail was handed over, and whether it was taken is not known
"""

import asyncio
import contextlib
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Final, Literal

from aiosmtplib import SMTP, SMTPDataError, SMTPException, SMTPRecipientRefused, SMTPResponseException
from msgspec import Struct

from commands.gateways.gateway import NoAnswer

CONNECT_TIMEOUT_S: Final = 10.0
REPLY_TIMEOUT_S: Final = 30.0
"""How long one reply may take, but for the last one."""

TAKEN_TIMEOUT_S: Final = 600.0
"""How long the reply to the whole mail may take. RFC 5321 (4.5.3.2.6) asks for ten minutes: giving up duplicates it."""

FAREWELL_TIMEOUT_S: Final = 1.0
"""How long a server has to answer QUIT."""

CONNECTIONS_MAX: Final = 8
"""Connections at a time."""

BUSY_WAIT_S: Final = 30.0
"""The least pause after a reply that asks for another try; a server that greylists wants minutes."""

_OURS: Final = frozenset({502, 503, 530, 534, 535, 538})
"""Replies for good that are about us, not about the mail: commands and logins."""

_enhanced = re.compile(r"[245]\.\d{1,3}\.\d{1,3}(?!\d)")

Tls = Literal["starttls", "implicit", "none"]


class SmtpError(Exception):
    """A mail that was not taken, or not known to be. The text holds no address."""


class RejectedMail(SmtpError):
    """The server will never take this mail."""


class UnansweredMail(SmtpError):
    """The mail was handed over, and whether it was taken is not known."""


class MailServer(Struct, frozen=True, kw_only=True):
    """Where the server is, and how it is spoken to. `authorities`: PEM file, the machine's own if None."""

    host: str
    port: int
    tls: Tls
    authorities: Path | None
    user: str | None
    password: str | None
    called: str
    """What we call ourselves there."""


class SmtpServer:
    """A client of one mail server. No connection is used twice."""

    def __init__(self, place: MailServer) -> None:
        self._place = place
        self._connections = asyncio.Semaphore(CONNECTIONS_MAX)
        self._leaving: set[asyncio.Task[None]] = set()

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, place: MailServer) -> AsyncIterator["SmtpServer"]:
        """A client while the block runs; nothing is connected yet."""
        server = cls(place)
        try:
            yield server
        finally:
            await server._close()

    async def send(
        self, mail: bytes, *, sender: str, recipient: str, handing_over: Callable[[], Awaitable[None]]
    ) -> None:
        """Have one mail taken.

        `handing_over` is awaited when the server has agreed to sender and recipient, before the mail itself is sent; if
        it raises, nothing was sent.

        Raises:
            NoAnswer: the mail was not taken; it may be another time.
            RejectedMail: the mail was not taken, and never will be.
            UnansweredMail: whether it was taken is not known.
        """
        async with self._connections:
            session = await self._connected()
            client = session.client
            try:
                with _translated("sender"):
                    await client.mail(sender, timeout=REPLY_TIMEOUT_S)
                with _translated("recipient", final=SMTPRecipientRefused):
                    await client.rcpt(recipient, timeout=REPLY_TIMEOUT_S)
                await handing_over()
                with _translated("mail", final=SMTPDataError, handed_over=True):
                    await client.data(mail, timeout=TAKEN_TIMEOUT_S)
            except BaseException:
                session.cut()
                raise
            self._leave(session)

    async def check(self) -> str:
        """Connect, encrypt and log in, as for a mail, and say what was found.

        Raises:
            NoAnswer: no mail can be sent now.
        """
        session = await self._connected()
        try:
            cipher = session.client.get_transport_info("cipher")
        finally:
            self._leave(session)
        how = "not encrypted" if cipher is None else f"encrypted ({cipher[1]})"
        return f"{how}, {'not logged in' if self._place.user is None else 'logged in'}"

    async def _connected(self) -> "_Session":
        """A session that is encrypted and logged in as the settings say."""
        place = self._place
        with _translated("connection"):
            client = SMTP(
                hostname=place.host,
                port=place.port,
                timeout=CONNECT_TIMEOUT_S,
                use_tls=place.tls == "implicit",
                start_tls=False,
                tls_context=None if place.tls == "none" else _trusting(place.authorities),
                local_hostname=place.called,
            )
            await client.connect()
        session = _Session(client)
        try:
            if place.tls == "starttls":
                with _translated("encryption"):
                    await client.starttls(timeout=CONNECT_TIMEOUT_S)
                session = _Session(client)
            if place.user is not None:
                with _translated("login"):
                    await client.login(place.user, place.password or "", timeout=REPLY_TIMEOUT_S)
        except BaseException:
            session.cut()
            raise
        return session

    async def _close(self) -> None:
        """End the sessions that are left to be ended."""
        leaving = tuple(self._leaving)
        if leaving:
            await asyncio.wait(leaving, timeout=FAREWELL_TIMEOUT_S)
        for task in leaving:
            task.cancel()
        await asyncio.gather(*leaving, return_exceptions=True)

    def _leave(self, session: "_Session") -> None:
        """Say goodbye, without waiting for it: what was answered is to be recorded first."""
        task = asyncio.get_running_loop().create_task(session.leave())
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)


class _Session:
    """A connection that was made."""

    def __init__(self, client: SMTP) -> None:
        self.client = client
        self._transport = client.transport  # which the client forgets when it closes

    async def leave(self) -> None:
        """Say goodbye."""
        try:
            with contextlib.suppress(SMTPException, OSError):
                await self.client.quit(timeout=FAREWELL_TIMEOUT_S)
        finally:
            self.cut()

    def cut(self) -> None:
        """End it now: an encrypted one would wait for the other side's farewell."""
        self.client.close()
        if isinstance(self._transport, asyncio.WriteTransport):
            self._transport.abort()


def _trusting(authorities: Path | None) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=None if authorities is None else str(authorities))


@contextlib.contextmanager
def _translated(
    step: str, *, final: type[SMTPResponseException] | None = None, handed_over: bool = False
) -> Iterator[None]:
    """Say in our words what went wrong at a step. A reply of 5xx of the type `final` is about this mail, for good.

    Raises:
        NoAnswer, RejectedMail, UnansweredMail: see `SmtpServer.send`.
    """
    try:
        yield
    except SMTPResponseException as error:
        code = _code(error)
        if (
            final is not None
            and isinstance(error, final)
            and error.code // 100 == 5
            and error.code not in _OURS
        ):
            raise RejectedMail(code) from None
        if handed_over and error.code // 100 not in {4, 5}:
            raise UnansweredMail(f"the reply to the {step} was none: {code}") from None
        raise NoAnswer(f"the reply to the {step} was {code}", wait_s=BUSY_WAIT_S) from None
    except (SMTPException, OSError) as error:
        # Of these texts none repeats what we sent; those of the connection say what an operator has to know.
        reason = f"no reply to the {step}: {type(error).__name__}: {error}".rstrip(": ")
        if handed_over:
            raise UnansweredMail(reason) from error
        raise NoAnswer(reason) from error


def _code(error: SMTPResponseException) -> str:
    """The reply code with the enhanced one (RFC 3463), if there is one; the text may hold the address."""
    found = _enhanced.match(error.message)
    return f"{error.code} {found.group()}" if found else str(error.code)
