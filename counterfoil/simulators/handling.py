"""The HTTP side of a simulated party: what it answers, and what goes wrong with an answer."""

import hmac
import http.server
import json
import sys
import time
import urllib.parse
from collections.abc import Callable, Collection
from typing import Any, Final, Protocol, TypeVar

import msgspec

from counterfoil.simulators.faults import Chance
from runtime.decoders import json_decoder
from runtime.listening import listening_at

HOST: Final = "127.0.0.1"
BODY_BYTES_MAX: Final = 64 * 1024

Document = dict[str, Any]


class Keyed(Protocol):
    """A request that names its key."""

    @property
    def key(self) -> str:
        """The key."""


A = TypeVar("A", bound=Keyed)


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
    request_queue_size = 128  # as many callers at once as a sender has, and more

    def __init__(self, party: Party, handler: "type[PartyHandler]", *, port: int) -> None:
        self.party = party
        with listening_at(HOST, port):
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

    def asked_key(self, path: str) -> str | None:
        """The key that a question at a path is about; None, and answered so: it is no such question."""
        at, _, query = self.path.partition("?")
        key = dict(urllib.parse.parse_qsl(query)).get("key")
        if not at.endswith(path) or key is None:
            self._no_such_thing()
            return None
        return key

    def asked_for(self, kind: type[A], paths: Collection[str]) -> A | None:
        """The body of a request at one of the paths; None, and answered so: it is not what the contract says."""
        length = int(self.headers.get("content-length") or 0)
        body = None if length > BODY_BYTES_MAX else self.rfile.read(length)
        if body is None or self.last_part not in paths:
            self._no_such_thing()
            return None
        try:
            asked = json_decoder(kind).decode(body)
        except msgspec.MsgspecError:
            asked = None
        if asked is None or self.headers.get("idempotency-key") != asked.key:
            self.answer(400, {"error": "not what the contract says"})
            return None
        return asked

    @property
    def last_part(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]

    def _no_such_thing(self) -> None:
        self.answer(404, {"error": "no such thing here"})

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the library's
        """The ledger tells it all."""

    def carry_out(
        self,
        call: str,
        key: str,
        do: Callable[[str | None], tuple[int, Document]],
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
