"""The HTTP side of a witness: POST /add-checkpoint, and GET /<SHA-256 of an origin>/checkpoint for monitors.

Run it with `counterfoil witness serve`, on another machine and under another owner than the log.
"""

import http.server
import sys
from http import HTTPStatus
from typing import Final

from event_store.proofs import witness
from event_store.proofs.witness import Refused, StorageInvalid, Witness

READ_TIMEOUT_S: Final = 10.0
"""How long a connection may take over a request, or stay open without one."""

_TEXT: Final = "text/plain; charset=utf-8"
_PARTS_OF_CHECKPOINT: Final = 3


class Server(http.server.ThreadingHTTPServer):
    """Serves one witness until it is shut down."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, serving: Witness, *, host: str, port: int) -> None:
        """Listen; port 0 takes a free one."""
        super().__init__((host, port), _Handler)
        self.witness = serving

    @property
    def url(self) -> str:
        """Where logs submit to."""
        host, port = self.server_address[:2]
        return f"http://{host!s}:{port}"


def _complain(message: str) -> None:
    sys.stderr.write(f"{message}\n")
    sys.stderr.flush()


class _Handler(http.server.BaseHTTPRequestHandler):
    """One connection."""

    server: Server
    protocol_version = "HTTP/1.1"
    timeout = READ_TIMEOUT_S

    def do_POST(self) -> None:
        """Cosign."""
        body = self._body()
        if body is None:
            return
        if self.path != "/add-checkpoint":
            self._answer(HTTPStatus.NOT_FOUND, "there is nothing here; POST to /add-checkpoint\n")
            return
        try:
            self._answer(HTTPStatus.OK, self.server.witness.add_checkpoint(body))
        except Refused as refused:
            self._answer(refused.status, refused.body, content_type=refused.content_type)
        except (OSError, StorageInvalid) as error:
            _complain(f"cannot store what would be cosigned: {error}")
            self._answer(HTTPStatus.SERVICE_UNAVAILABLE, "the witness cannot store anything now\n")

    def do_GET(self) -> None:
        """The newest cosigned checkpoint of a log."""
        parts = self.path.split("/")
        found = None
        if len(parts) == _PARTS_OF_CHECKPOINT and parts[2] == "checkpoint":
            try:
                found = self.server.witness.newest(parts[1])
            except StorageInvalid as error:
                _complain(str(error))
                self._answer(HTTPStatus.SERVICE_UNAVAILABLE, "the witness cannot read what it stored\n")
                return
        if found is None:
            self._answer(HTTPStatus.NOT_FOUND, "no checkpoint of this log was cosigned here\n")
        else:
            self._answer(HTTPStatus.OK, found)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Nothing: a log submits every second."""

    def _body(self) -> bytes | None:
        """The body, or None where the request was refused because of it."""
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdigit():
            self._answer(HTTPStatus.LENGTH_REQUIRED, "say the length of the body\n", close=True)
            return None
        if int(length) > witness.REQUEST_BYTES_MAX:
            message = f"the body may have {witness.REQUEST_BYTES_MAX} bytes\n"
            self._answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message, close=True)
            return None
        body = self.rfile.read(int(length))
        if len(body) < int(length):  # the connection ended
            self.close_connection = True
            return None
        return body

    def _answer(self, status: int, body: str, *, content_type: str = _TEXT, close: bool = False) -> None:
        content = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(content)))
        if close:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        self.wfile.write(content)
