"""A carrier as a process of its own, to buy labels from, and to be let down by: docs/contracts/carrier.md."""

import random
import threading
import time
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from counterfoil.simulators.faults import Chance, Faults
from counterfoil.simulators.handling import Document, Party, PartyHandler, PartyServer
from counterfoil.simulators.journal import Ledger, LedgerEntry


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
        Ledger(ledger, LedgerEntry) as book,
        Server(Carrier(book, Chance(faults, seed=chosen), token=token), port=port) as server,
    ):
        on_ready(server.url, chosen)
        server.serve_forever()


class Carrier(Party):
    """What it sold and refused, by key. One lock: it does one thing at a time, however many ask."""

    def __init__(self, ledger: Ledger[LedgerEntry], chance: Chance, *, token: str | None) -> None:
        super().__init__(chance, token=token)
        self._ledger = ledger
        self._lock = threading.Lock()
        self._answers: dict[str, Document] = {}
        self._sold_at: dict[str, float] = {}
        self._labels = 0
        for entry in ledger.entries():
            self._remember(entry)

    def find(self, key: str, fault: str | None) -> tuple[int, Document]:
        """What came of a key."""
        with self._lock:
            known = self._answers.get(key)
            answer = {"key": key, "known": False} if known is None else known
            did = "unknown" if known is None else "found"
            self._ledger.write(
                LedgerEntry(at=time.time(), call="find", key=key, did=did, answer=answer, fault=fault or "")
            )
        return (404 if known is None else 200), answer

    def buy(self, asked: Purchase, fault: str | None) -> tuple[int, Document]:
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


class CarrierHandler(PartyHandler):
    """One connection to a carrier."""

    def get(self) -> None:
        """A question about a key."""
        key = self.asked_key("/labels")
        if key is not None:
            self.carry_out("find", key, lambda fault: self.carrier.find(key, fault), other=_other)

    def post(self) -> None:
        """A purchase."""
        asked = self.asked_for(Purchase, {"labels"})
        if asked is not None:
            self.carry_out("buy", asked.key, lambda fault: self.carrier.buy(asked, fault), other=_other)

    @property
    def carrier(self) -> Carrier:
        """Whom it speaks for."""
        assert isinstance(self.server, Server)
        return self.server.carrier


class Server(PartyServer):
    """A carrier at an address of this machine; port 0 takes a free one. A thread for each connection."""

    def __init__(self, carrier: Carrier, *, port: int) -> None:
        self.carrier = carrier
        super().__init__(carrier, CarrierHandler, port=port)


def _other(answer: Document) -> Document:
    """An answer about another shipment."""
    return {**answer, "shipment": "another", "label": "L-999999", "tracking": "CF999999999GB"}
