"""A carrier as a process of its own, to buy labels from, and to be let down by: docs/contracts/carrier.md."""

import hmac
import http.server
import json
import random
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from counterfoil.simulators.faults import Chance, Fault, Faults
from counterfoil.simulators.journal import Ledger, LedgerEntry

HOST: Final = "127.0.0.1"
BODY_BYTES_MAX: Final = 64 * 1024

Document = dict[str, Any]


class Purchase(Struct, frozen=True):
    """What a purchase says."""

    key: str
    shipment: str
    country: str
    contents: list[Document]


def serve(
    ledger: Path,
    *,
    port: int,
    faults: Faults,
    seed: int | None,
    token: str | None,
    on_ready: Callable[[str, int], None],
) -> None:
    """Sell labels until the process is ended. `on_ready` gets the address and the seed."""
    chosen = random.SystemRandom().randrange(2**32) if seed is None else seed
    with (
        Ledger(ledger) as book,
        Server(Carrier(book, Chance(faults, seed=chosen), token=token), port=port) as server,
    ):
        on_ready(server.url, chosen)
        server.serve_forever()


class Carrier:
    """What it sold and refused, by key. One lock: it does one thing at a time, however many ask."""

    def __init__(self, ledger: Ledger, chance: Chance, *, token: str | None) -> None:
        self.chance = chance
        self._ledger = ledger
        self._token = token
        self._lock = threading.Lock()
        self._answers: dict[str, Document] = {}
        self._sold_at: dict[str, float] = {}
        self._labels = 0
        for entry in ledger.entries():
            self._remember(entry)

    def admits(self, authorization: str | None) -> bool:
        """Whether a request brings the token, if there is one."""
        expected = f"Bearer {self._token}"
        return self._token is None or hmac.compare_digest(expected, authorization or "")

    def find(self, key: str, fault: Fault | None) -> tuple[int, Document]:
        """What came of a key."""
        with self._lock:
            known = self._answers.get(key)
            answer = {"key": key, "known": False} if known is None else known
            did = "unknown" if known is None else "found"
            self._ledger.write(
                LedgerEntry(at=time.time(), call="find", key=key, did=did, answer=answer, fault=fault or "")
            )
        return (404 if known is None else 200), answer

    def buy(self, asked: Purchase, fault: Fault | None) -> tuple[int, Document]:
        """Sell a label, refuse, or repeat what was said under the key before."""
        with self._lock:
            key, known = asked.key, self._answers.get(asked.key)
            if known is not None and not self._has_forgotten(key):
                did, status, answer = "repeated", 422 if "refused" in known else 200, known
            elif self.chance.refuses():
                did, status = "refused", 422
                answer = {"key": key, "shipment": asked.shipment, "refused": "no service to that country"}
            else:
                did, status, answer = "sold", 201, self._new_label(asked)
            entry = LedgerEntry(
                at=time.time(),
                call="buy",
                key=key,
                did=did,
                shipment=asked.shipment,
                country=asked.country,
                contents=asked.contents,
                answer=answer,
                fault=fault or "",
            )
            self._ledger.write(entry)
            self._remember(entry)
        return status, answer

    def fail(self, call: str, key: str) -> None:
        """Note that a request was failed before anything was done."""
        with self._lock:
            self._ledger.write(LedgerEntry(at=time.time(), call=call, key=key, did="failed", fault="error"))

    def _new_label(self, asked: Purchase) -> Document:
        number = self._labels + 1
        return {
            "key": asked.key,
            "shipment": asked.shipment,
            "label": f"L-{number:06}",
            "tracking": f"CF{number:09}GB",
        }

    def _has_forgotten(self, key: str) -> bool:
        forget_s = self.chance.faults.forget_s
        return forget_s is not None and time.time() - self._sold_at.get(key, 0.0) > forget_s

    def _remember(self, entry: LedgerEntry) -> None:
        if entry.did in {"sold", "refused"}:
            self._answers.setdefault(entry.key, entry.answer)
            self._sold_at[entry.key] = entry.at
            self._labels += entry.did == "sold"


class Server(http.server.ThreadingHTTPServer):
    """A carrier at an address of this machine; port 0 takes a free one. A thread for each connection."""

    daemon_threads = True  # one may still be late when the process is to end

    def __init__(self, carrier: Carrier, *, port: int) -> None:
        self.carrier = carrier
        super().__init__((HOST, port), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """The caller may be gone, which is no defect."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://{HOST}:{self.server_port}"


class _Handler(http.server.BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: "Server"

    @property
    def carrier(self) -> Carrier:
        """Whom it speaks for."""
        return self.server.carrier

    def do_GET(self) -> None:
        """A question about a key."""
        path, _, query = self.path.partition("?")
        found = dict(urllib.parse.parse_qsl(query)).get("key")
        if not path.endswith("/labels") or found is None:
            self._answer(404, {"error": "no such thing here"})
            return
        self._carry_out("find", found, lambda fault: self.carrier.find(found, fault))

    def do_POST(self) -> None:
        """A purchase."""
        length = int(self.headers.get("content-length") or 0)
        if not self.path.endswith("/labels") or length > BODY_BYTES_MAX:
            self._answer(404, {"error": "no such thing here"})
            return
        asked = _purchase(self.rfile.read(length))
        if asked is None or self.headers.get("idempotency-key") != asked.key:
            self._answer(400, {"error": "not what the contract says"})
            return
        self._carry_out("buy", asked.key, lambda fault: self.carrier.buy(asked, fault))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the library's
        """The ledger tells it all."""

    def _carry_out(self, call: str, key: str, do: Callable[[Fault | None], tuple[int, Document]]) -> None:
        if not self.carrier.admits(self.headers.get("authorization")):
            self._answer(401, {"error": "no valid token"})
            return
        fault = self.carrier.chance.fault()
        if fault == "error" and self.carrier.chance.happens():
            self.carrier.fail(call, key)
            self._answer(500, {"error": "a defect of the carrier"})
            return
        status, answer = do(fault)
        match fault:
            case "lose":
                self.close_connection = True
            case "twice":
                self._answer(status, answer)
                self._answer(status, answer)
            case "late":
                time.sleep(self.carrier.chance.faults.late_s)
                self._answer(status, answer)
            case "error":
                self._answer(500, {"error": "a defect of the carrier"})
            case "garble":
                body = b"<html>Bad gateway</html>" if self.carrier.chance.happens() else _body(answer)[:-9]
                self._send(status, body)
            case "wrong":
                self._answer(status, {**answer, **_OTHER})
            case None:
                self._answer(status, answer)

    def _answer(self, status: int, document: Document) -> None:
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


_OTHER: Final = {"shipment": "another", "label": "L-999999", "tracking": "CF999999999GB"}


def _purchase(body: bytes) -> Purchase | None:
    try:
        return msgspec.json.decode(body, type=Purchase)
    except msgspec.MsgspecError:
        return None


def _body(document: Document) -> bytes:
    return json.dumps(document).encode()
