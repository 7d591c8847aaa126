"""A mail server as a process of its own: `python -m tests.mails.server DIRECTORY CERTIFICATE OTHER_CERTIFICATE`.

It prints its ports as JSON: `starttls` (with login), `plain` (neither encryption nor login), `implicit`, and
`stranger`, whose certificate is of another authority. What happens to connections stands in the file `script`, one
entry each in order, as JSON: `{"at": STEP}` keeps the connection waiting for the reply at a step, `{"at": STEP, "say":
REPLY}` answers that instead. What the server does stands in the file `ledger`, one JSON object a line, written before
the reply is sent. At the step END the whole mail is there, and taken unless the entry says something else about it.
"""

import asyncio
import json
import os
import ssl
import sys
from pathlib import Path

from aiosmtpd.smtp import SMTP, AuthResult

USER, PASSWORD = "shop", "a-password-for-mails"
STEPS = ("CONNECT", "EHLO", "STARTTLS", "EHLO again", "AUTH", "MAIL", "RCPT", "DATA", "END")
_COMMANDS = ("EHLO", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA")


class Book:
    """Script and ledger, in a directory that tests empty."""

    def __init__(self, directory):
        self._directory = directory
        self._connections = 0

    def next_entry(self):
        """What happens to the next connection."""
        path = self._directory / "script"
        script = json.loads(path.read_text()) if path.exists() else []
        if not script:
            return {}
        rest = path.with_name("script.rest")
        rest.write_text(json.dumps(script[1:]))
        rest.replace(path)
        return script[0]

    def write(self, **entry):
        with (self._directory / "ledger").open("a") as ledger:
            ledger.write(json.dumps(entry) + "\n")
            ledger.flush()
            os.fsync(ledger.fileno())


class Session(SMTP):
    """One connection."""

    def __init__(self, book, **options):
        self._book = book
        self._entry = {}
        self._greeted = 0
        super().__init__(_Taking(), hostname="localhost", authenticator=_authenticated, **options)
        for command in _COMMANDS:
            self._smtp_methods[command] = self._scripted(command, self._smtp_methods[command])

    def _scripted(self, command, method):
        async def run(argument):
            self._greeted += command == "EHLO"
            step = "EHLO again" if command == "EHLO" and self._greeted > 1 else command
            if not await self._scripted_at(step):
                await method(argument)

        return run

    async def _scripted_at(self, step):
        """Whether the script says what happens at a step."""
        if self._entry.get("at") != step:
            return False
        self._book.write(at=step)
        if "say" not in self._entry:
            await asyncio.Event().wait()
        await self.push(self._entry["say"])
        return True

    async def _handle_client(self):
        self._entry = self._book.next_entry()
        self._book.write(at="connected")
        if not await self._scripted_at("CONNECT"):
            await super()._handle_client()

    async def take(self, session, envelope):
        """The reply to a whole mail."""
        if "say" not in self._entry:
            self._book.write(
                at="taken",
                sender=envelope.mail_from,
                to=envelope.rcpt_tos,
                content=envelope.content.decode("ascii"),
                encrypted=session.ssl is not None or self.transport.get_extra_info("sslcontext") is not None,
                user=session.auth_data,
            )
        if self._entry.get("at") == "END":
            self._book.write(at="END")
            if "say" not in self._entry:
                await asyncio.Event().wait()
            return self._entry["say"]
        return "250 2.0.0 taken"


class _Taking:
    async def handle_DATA(self, server, session, envelope):  # noqa: N802 - a name of the library
        return await server.take(session, envelope)


def _authenticated(_server, _session, _envelope, _mechanism, given):
    user, password = given.login.decode(), given.password.decode()
    right = (user, password) == (USER, PASSWORD)
    return AuthResult(success=right, handled=False, auth_data=user if right else None)


def _context(certificate):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    return context


async def main(directory, certificate, other):
    book, loop = Book(Path(directory)), asyncio.get_running_loop()
    ours, others = _context(certificate), _context(other)
    secured = {"require_starttls": True, "auth_required": True}
    listeners = {
        "starttls": (lambda: Session(book, tls_context=ours, **secured), None),
        "plain": (lambda: Session(book, auth_require_tls=False), None),
        "implicit": (lambda: Session(book, auth_require_tls=False), ours),
        "stranger": (lambda: Session(book, tls_context=others, **secured), None),
    }
    ports = {}
    for name, (session, context) in listeners.items():
        server = await loop.create_server(session, "127.0.0.1", 0, ssl=context)
        ports[name] = server.sockets[0].getsockname()[1]
    print(json.dumps(ports), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
