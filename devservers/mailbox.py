"""A mail server for the demo: it takes every mail, on this machine only, and gives the links in them away."""

import re
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from typing import Final

LINE_BYTES_MAX: Final = 2_000
MAIL_LINES_MAX: Final = 1_000

_recipient: Final = re.compile(rb"RCPT TO:<([^>]+)>", re.IGNORECASE).match
_token: Final = re.compile(r"#token=(\S+)").search


class Mailbox:
    """The last link that came for each address."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._links: dict[str, str] = {}
        self._came = threading.Condition()

    def link_to(self, address: str, *, within_s: float) -> str | None:
        """The token of the link that was sent to an address, None if none comes in time."""
        with self._came:
            self._came.wait_for(lambda: address in self._links, timeout=within_s)
            return self._links.get(address)

    def take(self, address: str, mail: bytes) -> None:
        """Keep the link of a mail."""
        text = message_from_bytes(mail, policy=policy.default).get_content()
        found = _token(text)
        if found is not None:
            with self._came:
                self._links[address] = found.group(1)
                self._came.notify_all()


@contextmanager
def opened() -> Iterator[Mailbox]:
    """A mailbox that takes mails while the block runs."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Session) as server:
        server.daemon_threads = True
        server.mailbox = Mailbox(server.server_address[1])  # type: ignore[attr-defined]  # for its sessions
        thread = threading.Thread(target=server.serve_forever, name="mailbox", daemon=True)
        thread.start()
        try:
            yield server.mailbox  # type: ignore[attr-defined]
        finally:
            server.shutdown()
            thread.join()


class _Session(socketserver.StreamRequestHandler):
    """One connection: as much of RFC 5321 as a sender of our mails asks for."""

    timeout = 30.0

    def handle(self) -> None:
        self._say("220 the demo's mailbox")
        address = ""
        while line := self.rfile.readline(LINE_BYTES_MAX):
            if (named := _recipient(line)) is not None:
                address = named.group(1).decode()
            match line[:4].upper():
                case b"DATA":
                    self._say("354 go on")
                    self.server.mailbox.take(address, self._mail())  # type: ignore[attr-defined]
                    self._say("250 taken")
                case b"QUIT":
                    self._say("221 goodbye")
                    return
                case _:
                    self._say("250 fine")

    def _mail(self) -> bytes:
        lines = []
        for _ in range(MAIL_LINES_MAX):
            line = self.rfile.readline(LINE_BYTES_MAX)
            if line in {b".\r\n", b""}:
                break
            lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
        return b"".join(lines)

    def _say(self, reply: str) -> None:
        self.wfile.write(reply.encode() + b"\r\n")
