"""The mail server of the tests, settings that lead to it, and recipients of nobody in particular."""

import contextlib
import json
import subprocess
import sys
from dataclasses import dataclass
from email import message_from_bytes, policy
from pathlib import Path

from commands.recipients import Recipient, RecipientsUnreachable, Unwanted
from runtime.settings import Settings
from tests.acceptance.running import PROJECT
from tests.certificates import Authority
from tests.mails.server import PASSWORD, USER

TOKEN = "canary-token-of-a-link"


@dataclass
class MailServer:
    """A server that runs; `taken` is what it took, `seen` every step that it wrote down."""

    directory: Path
    authority: Path
    stranger: Path
    ports: dict

    def script(self, *entries):
        """Say what happens to the next connections, one each."""
        (self.directory / "script").write_text(json.dumps(entries))

    def forget(self):
        """Begin anew."""
        (self.directory / "script").unlink(missing_ok=True)
        (self.directory / "ledger").write_text("")

    @property
    def entries(self):
        lines = (self.directory / "ledger").read_bytes().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith(b"\n")]

    @property
    def seen(self):
        return [entry["at"] for entry in self.entries]

    @property
    def taken(self):
        return [entry for entry in self.entries if entry["at"] == "taken"]

    def settings(self, port="starttls", **changes):
        """Settings by which mails are handed to it."""
        given = {
            "mail_host": "localhost",
            "mail_port": self.ports[port],
            "mail_ca": self.authority,
            "mail_user": USER,
            "mail_password": PASSWORD,
            "mail_from": "no-reply@shop.example",
            "mail_name": "The shop",
            "mail_links": "https://shop.example/account",
        }
        return Settings(**given | changes)


@contextlib.contextmanager
def mail_server(directory):
    """A mail server while the block runs."""
    (directory / "others").mkdir()
    ours, others = Authority(directory, name="ours"), Authority(directory / "others", name="others")
    certificate, other = ours.server("localhost"), others.server("localhost")
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.mails.server", str(directory), str(certificate), str(other)],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        server = MailServer(directory, ours.file, others.file, json.loads(process.stdout.readline()))
        server.forget()
        yield server
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def parsed(entry):
    """A mail that was taken, as a mailbox reads it."""
    return message_from_bytes(entry["content"].encode(), policy=policy.default)


class Book:
    """Recipients: everybody has an address after their id, and one token; `says` has what is said of some instead."""

    def __init__(self):
        self.says = {}
        self.asked = []

    def opened(self, _settings):
        @contextlib.asynccontextmanager
        async def open_():
            yield self

        return open_()

    async def find(self, mail):
        self.asked.append(mail.mail_id)
        said = self.says.get(mail.mail_id)
        if isinstance(said, RecipientsUnreachable):
            del self.says[mail.mail_id]
            raise said
        if isinstance(said, Unwanted | Recipient):
            return said
        return Recipient(address=f"{mail.recipient_ref}@example.org", secrets={"token": TOKEN})
