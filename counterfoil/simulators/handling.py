"""The HTTP side of a simulated party: what it answers, and what goes wrong with an answer."""

import hmac
import http.server
import json
import sys
import time
from collections.abc import Callable
from typing import Any, Final

from counterfoil.simulators.faults import Chance, Fault

HOST: Final = "127.0.0.1"
BODY_BYTES_MAX: Final = 64 * 1024

Document = dict[str, Any]


class Party:
    """Whom a server speaks for."""

    def __init__(self, chance: Chance, *, token: str | None) -> None:
        self.chance = chance
        self._token = token

    def admits(self, authorization: str | None) -> bool:
        """Whether a request brings the token, if there is one."""
        expected = f"Bearer {self._token}"
        return self._token is None or hmac.compare_digest(expected, authorization or "")

    def fail(self, call: str, key: str) -> None:
        """Note that a request was failed before anything was done."""
        raise NotImplementedError


class PartyServer(http.server.ThreadingHTTPServer):
    """A party at an address of this machine; port 0 takes a free one. A thread for each connection."""

    daemon_threads = True  # one may still be late when the process is to end

    def __init__(self, party: Party, handler: "type[PartyHandler]", *, port: int) -> None:
        self.party = party
        super().__init__((HOST, port), handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """The caller may be gone, which is no defect."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://{HOST}:{self.server_port}"


class PartyHandler(http.server.BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"

    @property
    def party(self) -> Party:
        """Whom it speaks for."""
        assert isinstance(self.server, PartyServer)
        return self.server.party

    def do_GET(self) -> None:
        """A question."""
        self.get()

    def do_POST(self) -> None:
        """A request to do something."""
        self.post()

    def get(self) -> None:
        """Answer a question."""
        raise NotImplementedError

    def post(self) -> None:
        """Do what is asked for."""
        raise NotImplementedError

    def body(self) -> bytes | None:
        """The body of the request; None: it is too long."""
        length = int(self.headers.get("content-length") or 0)
        return None if length > BODY_BYTES_MAX else self.rfile.read(length)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the library's
        """The ledger tells it all."""

    def carry_out(
        self,
        call: str,
        key: str,
        do: Callable[[Fault | None], tuple[int, Document]],
        *,
        other: Callable[[Document], Document],
    ) -> None:
        """Do what a request asks for, and answer, or not; `other` makes an answer a wrong one."""
        chance = self.party.chance
        if not self.party.admits(self.headers.get("authorization")):
            self.answer(401, {"error": "no valid token"})
            return
        fault = chance.fault()
        if fault == "error" and chance.happens():
            self.party.fail(call, key)
            self.answer(500, {"error": "a defect"})
            return
        status, document = do(fault)
        match fault:
            case "lose":
                self.close_connection = True
            case "twice":
                self.answer(status, document)
                self.answer(status, document)
            case "late":
                time.sleep(chance.faults.late_s)
                self.answer(status, document)
            case "error":
                self.answer(500, {"error": "a defect"})
            case "garble":
                body = b"<html>Bad gateway</html>" if chance.happens() else _body(document)[:-9]
                self._send(status, body)
            case "wrong":
                self.answer(status, other(document))
            case None:
                self.answer(status, document)

    def answer(self, status: int, document: Document) -> None:
        """Answer a document."""
        self._send(status, _body(document))

    def _send(self, status: int, body: bytes) -> None:
        try:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except OSError:  # the caller is gone
            self.close_connection = True


def _body(document: Document) -> bytes:
    return json.dumps(document).encode()
