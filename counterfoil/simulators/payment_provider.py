"""A payment provider as a process of its own, with its own books: docs/contracts/payment.md.

What it does with an authorisation depends on the method, besides its faults:

    pm_declined   declined for good             pm_3ds         the buyer confirms, once it was asked about twice
    pm_soft       declined, may be tried again  pm_3ds_never   the buyer never confirms
    pm_pending    decided once it was asked about twice
    pm_brief      holds for one second          any other      holds for seven days

What banks do by themselves depends on it, too, and is said by webhooks alone (`banks`):

    pm_disputed   what is captured is disputed  pm_dispute_won, pm_dispute_lost   and the dispute ends
    pm_returned   what is refunded comes back
"""

import contextlib
import random
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from counterfoil.simulators.banks import BankAct, acts_after, moved_by, said_of
from counterfoil.simulators.faults import Chance, Faults
from counterfoil.simulators.handling import Document, Party, PartyHandler, PartyServer
from counterfoil.simulators.journal import Ledger
from counterfoil.simulators.webhooks import Webhooks, WebhookTarget

HOLD_S: Final = 7 * 24 * 3_600.0
BRIEF_HOLD_S: Final = 1.0
ASKED_ENOUGH: Final = 2
"""After so many questions about it an open authorisation is decided."""


class PaymentOperation(Struct, frozen=True, kw_only=True):
    """What a request says."""

    key: str
    step: Literal["authorise", "capture", "void", "refund"]
    payment: str
    currency: str
    amount: int
    method: str = ""
    reference: str = ""


class PaymentEntry(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One request, and what was done about it; `answer` is what its answer said, whether or not it arrived.

    `call` is find, perform or cancel; `did` is decided, repeated, found, unknown, failed, or too-late. A `decided`
    entry changes what is known of a key, so an authorisation may have several. `call` bank is what a bank did about
    the operation with the key: opened, won, lost, returned. `call` webhook, with the number of the `decided` or `bank`
    entry that it said as key, was taken in.
    """

    at: float
    call: str
    key: str
    did: str
    step: str = ""
    method: str = ""
    reference: str = ""
    answer: Document = {}
    fault: str = ""


class WebhookOptions(Struct, frozen=True, kw_only=True):
    """Where webhooks are sent, and what goes wrong with them."""

    url: str
    secret: bytes
    faults: Faults


class HeldBalance(Struct, frozen=True, kw_only=True):
    """What is left of an authorisation: held, captured and not refunded."""

    held: int
    captured: int = 0
    expires_at: float
    method: str = ""


def serve(
    ledger: Path,
    *,
    port: int,
    faults: Faults,
    seed: int | None,
    token: str | None,
    webhooks: WebhookOptions | None,
    on_ready: Callable[[str, int], None],
) -> None:
    """Take payments until the process is ended. `on_ready` gets the address and the seed."""
    chosen = random.SystemRandom().randrange(2**32) if seed is None else seed
    with Ledger(ledger, PaymentEntry) as book, contextlib.ExitStack() as ending:
        provider = PaymentProvider(book, Chance(faults, seed=chosen), token=token)
        if webhooks is not None:
            chance = Chance(webhooks.faults, seed=chosen)
            target = WebhookTarget(url=webhooks.url, secret=webhooks.secret, chance=chance)
            ending.callback(provider.announce(target).close)
        with Server(provider, port=port) as server:
            on_ready(server.url, chosen)
            server.serve_forever()


class PaymentProvider(Party):
    """What it holds, took and gave back. One lock: it does one thing at a time, however many ask."""

    def __init__(self, ledger: Ledger[PaymentEntry], chance: Chance, *, token: str | None) -> None:
        super().__init__(chance, token=token)
        self._ledger = ledger
        self._lock = threading.Lock()
        self._answers: dict[str, Document] = {}
        self._methods: dict[str, str] = {}
        self._asked: dict[str, int] = {}
        self._holds: dict[str, HeldBalance] = {}
        self._numbers = 0
        self._unsaid: dict[int, Document] = {}
        self._webhooks: Webhooks | None = None
        for entry in ledger.entries():
            self._remember(entry)

    def announce(self, to: WebhookTarget) -> Webhooks:
        """Send a webhook for everything that is decided from now on, or was without one that was taken in."""
        with self._lock:
            self._webhooks = Webhooks(to, delivered=self._delivered)
            for number, said in self._unsaid.items():
                self._webhooks.add(number, said)
        return self._webhooks

    def find(self, key: str, fault: str | None) -> tuple[int, Document]:
        """What came of a key; a question may be the one after which an open authorisation is decided."""
        with self._lock:
            known = self._answers.get(key)
            if known is None:
                self._write("find", key, "unknown", {"key": key, "known": False}, fault)
                return 404, {"key": key, "known": False}
            self._asked[key] = self._asked.get(key, 0) + 1
            if (
                self._asked[key] >= ASKED_ENOUGH
                and self._is_open(known)
                and self._methods[key] != "pm_3ds_never"
            ):
                known = self._held(known, self._methods[key])
                self._write("find", key, "decided", known, fault, method=self._methods[key])
            else:
                self._write("find", key, "found", known, fault)
            return 200, known

    def perform(self, asked: PaymentOperation, fault: str | None) -> tuple[int, Document]:
        """Do it, once for each key."""
        with self._lock:
            known = self._answers.get(asked.key)
            if known is not None:
                self._write("perform", asked.key, "repeated", known, fault)
                return 200, known
            answer = self._authorised(asked) if asked.step == "authorise" else self._moved(asked)
            self._write(
                "perform",
                asked.key,
                "decided",
                answer,
                fault,
                step=asked.step,
                method=asked.method,
                reference=asked.reference,
            )
            for act in acts_after(answer["status"], self._method_of(asked)):
                self._act(act, answer, asked.reference)
            return 201, answer

    def cancel(self, asked: PaymentOperation, fault: str | None) -> tuple[int, Document]:
        """Give an open authorisation up; one that is decided stays so, one that never came is declined."""
        with self._lock:
            known = self._answers.get(asked.key)
            if known is not None and not self._is_open(known):
                self._write("cancel", asked.key, "too-late", known, fault)
                return 200, known
            answer = _answer(asked, "declined", code="cancelled", retryable=True)
            self._write("cancel", asked.key, "decided", answer, fault, step="authorise")
            return 200, answer

    def fail(self, call: str, key: str) -> None:
        """Note that a request was failed before anything was done."""
        with self._lock:
            self._write(call, key, "failed", {}, "error")

    def _method_of(self, asked: PaymentOperation) -> str:
        hold = self._holds.get(asked.reference)
        return "" if hold is None else hold.method

    def _act(self, act: BankAct, answer: Document, reference: str) -> None:
        """Have a bank do something about what was captured or refunded."""
        dispute = {"id": f"dp_{answer['reference']}", "amount": answer["amount"], "reason": "fraud"}
        about = answer if act == "returned" else {**answer, "dispute": dispute}
        self._write("bank", answer["key"], act, about, None, reference=reference)

    def _delivered(self, number: int) -> None:
        with self._lock:
            entry = PaymentEntry(at=time.time(), call="webhook", key=str(number), did="delivered")
            self._ledger.write(entry)
            self._remember(entry)

    def _authorised(self, asked: PaymentOperation) -> Document:
        if asked.method == "pm_declined":
            return _answer(asked, "declined", code="do_not_honour", retryable=False)
        if asked.method == "pm_soft" or self.chance.refuses():
            return _answer(asked, "declined", code="insufficient_funds", retryable=True)
        if asked.method.startswith("pm_3ds"):
            return _answer(asked, "action-required", action="3d-secure")
        if asked.method == "pm_pending":
            return _answer(asked, "pending")
        return self._held(_answer(asked, "pending"), asked.method)

    def _held(self, answer: Document, method: str) -> Document:
        hold_s = BRIEF_HOLD_S if method == "pm_brief" else HOLD_S
        expires_at = datetime.now(UTC) + timedelta(seconds=hold_s)
        return {
            **answer,
            "status": "authorised",
            "reference": f"A-{self._numbers + 1:06}",
            "expires_at": expires_at.isoformat(),
            "action": None,
        }

    def _moved(self, asked: PaymentOperation) -> Document:
        hold = self._holds.get(asked.reference)
        number = f"{asked.step[0].upper()}-{self._numbers + 1:06}"
        if hold is None:
            return _answer(asked, "failed", code="no_such_authorisation")
        if asked.step == "refund":
            if asked.amount > hold.captured:
                return _answer(asked, "failed", code="more_than_captured")
            return _answer(asked, "refunded", reference=number)
        if time.time() >= hold.expires_at:
            return _answer(asked, "failed", code="authorisation_expired")
        if asked.amount > hold.held:
            return _answer(asked, "failed", code="more_than_held")
        return _answer(asked, "captured" if asked.step == "capture" else "released", reference=number)

    @staticmethod
    def _is_open(answer: Document) -> bool:
        return answer["status"] in {"pending", "action-required"}

    def _write(
        self,
        call: str,
        key: str,
        did: str,
        answer: Document,
        fault: str | None,
        *,
        step: str = "",
        method: str = "",
        reference: str = "",
    ) -> None:
        entry = PaymentEntry(
            at=time.time(),
            call=call,
            key=key,
            did=did,
            step=step,
            method=method,
            reference=reference,
            answer=answer,
            fault=fault or "",
        )
        self._ledger.write(entry)
        self._remember(entry)
        said = _said(entry)
        if said is not None and self._webhooks is not None:
            self._webhooks.add(self._numbers, said)

    def _remember(self, entry: PaymentEntry) -> None:
        """What a decision, or a bank, changes in the books."""
        if entry.did == "delivered":
            self._unsaid.pop(int(entry.key), None)
        said = _said(entry)
        if said is None:
            return
        self._numbers += 1
        self._unsaid[self._numbers] = said
        hold = self._holds.get(entry.reference)
        amount = entry.answer["amount"]
        if entry.call == "bank":
            assert hold is not None, "a bank acts on what was captured"
            captured = hold.captured + moved_by(entry.did, amount)
            self._holds[entry.reference] = replace(hold, captured=captured)
            return
        answer = self._answers[entry.key] = entry.answer
        self._methods[entry.key] = entry.method or self._methods.get(entry.key, "")
        match answer["status"]:
            case "authorised":
                until = datetime.fromisoformat(answer["expires_at"]).timestamp()
                method = self._methods[entry.key]
                self._holds[answer["reference"]] = HeldBalance(held=amount, expires_at=until, method=method)
            case "captured" if hold is not None:
                self._holds[entry.reference] = replace(
                    hold, held=hold.held - amount, captured=hold.captured + amount
                )
            case "released" if hold is not None:
                self._holds[entry.reference] = replace(hold, held=hold.held - amount)
            case "refunded" if hold is not None:
                self._holds[entry.reference] = replace(hold, captured=hold.captured - amount)


class PaymentHandler(PartyHandler):
    """One connection to a payment provider."""

    def get(self) -> None:
        """A question about a key."""
        key = self.asked_key("/operations")
        if key is not None:
            self.carry_out("find", key, lambda fault: self.provider.find(key, fault), other=_wrong)

    def post(self) -> None:
        """An operation, or the cancellation of one."""
        actions = {"operations": self.provider.perform, "cancellations": self.provider.cancel}
        asked = self.asked_for(PaymentOperation, actions)
        if asked is not None:
            do = actions[self.last_part]
            self.carry_out(self.last_part, asked.key, lambda fault: do(asked, fault), other=_wrong)

    @property
    def provider(self) -> PaymentProvider:
        """Whom it speaks for."""
        assert isinstance(self.server, Server)
        return self.server.provider


class Server(PartyServer):
    """A payment provider at an address of this machine; port 0 takes a free one."""

    def __init__(self, provider: PaymentProvider, *, port: int) -> None:
        self.provider = provider
        super().__init__(provider, PaymentHandler, port=port)


def _answer(asked: PaymentOperation, status: str, **parts: object) -> Document:
    return {
        "key": asked.key,
        "payment": asked.payment,
        "status": status,
        "currency": asked.currency,
        "amount": asked.amount,
        **parts,
    }


def _said(entry: PaymentEntry) -> Document | None:
    """What a webhook says of an entry; None: nothing."""
    if entry.call == "bank":
        return said_of(entry.did, entry.answer)
    if entry.did != "decided":
        return None
    return {"type": "operation.decided", "payment": entry.answer["payment"], "operation": entry.answer}


def _wrong(answer: Document) -> Document:
    """An answer with another amount."""
    return {**answer, "amount": answer.get("amount", 0) + 1, "known": True}
