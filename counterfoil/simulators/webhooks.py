"""The webhooks of a simulated payment provider: signed, and sent by themselves, with faults by a seed.

    twice=0.1      delivered again after it was taken in
    late=0.1:5     sent so many seconds later
    reorder=0.1    sent after the one that follows it, or after a second
    wrong=0.1      says another amount of an operation
    lose=0.1       never sent

Whatever is not answered 204 is sent again, with growing pauses, until it is, or the process ends; the next one goes on.
"""

import base64
import hashlib
import hmac
import http.client
import threading
import time
import urllib.request
from collections.abc import Callable
from typing import Any, Final

import msgspec
from msgspec import Struct

from counterfoil.simulators.faults import Chance

WEBHOOK_FAULTS: Final = ("twice", "late", "reorder", "wrong", "lose")
"""What may go wrong with one webhook."""

REORDER_S: Final = 1.0
"""How long a webhook that is to be overtaken waits for another one."""

ANSWER_S: Final = 10.0
"""How long the shop may take to answer."""

RETRY_FIRST_S: Final = 0.2
RETRY_MAX_S: Final = 30.0
"""First and longest pause after another answer than 204."""


class WebhookTarget(Struct, frozen=True, kw_only=True):
    """Where webhooks are sent, under which secret, and what goes wrong with them."""

    url: str
    secret: bytes
    chance: Chance


class _Waiting(Struct, kw_only=True):
    due_s: float
    number: int
    body: bytes
    identifier: str
    overtaken: bool = False
    twice: bool = False
    lost: bool = False
    pause_s: float = RETRY_FIRST_S


class Webhooks:
    """Sends webhooks from a thread of its own, one at a time; `delivered` gets the number of each that was taken in."""

    def __init__(self, target: WebhookTarget, *, delivered: Callable[[int], None]) -> None:
        self._target, self._delivered = target, delivered
        self._waiting: list[_Waiting] = []
        self._changed = threading.Condition()
        self._ends = False
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        self._thread = threading.Thread(target=self._run, name="webhooks", daemon=True)
        self._thread.start()

    def add(self, number: int, said: dict[str, Any]) -> None:
        """Have one more sent: type, payment, and operation or dispute, as the provider's number so many."""
        chance = self._target.chance
        fault = chance.fault()
        now_s = time.monotonic()
        if fault == "wrong" and "operation" in said:
            operation = said["operation"]
            said = {**said, "operation": {**operation, "amount": operation["amount"] + 1}}
        identifier = f"evt_{number:06}"
        waiting = _Waiting(
            due_s=now_s + {"late": chance.faults.late_s, "reorder": REORDER_S}.get(fault or "", 0.0),
            number=number,
            body=msgspec.json.encode({"id": identifier, **said}),
            identifier=identifier,
            overtaken=fault == "reorder",
            twice=fault == "twice",
            lost=fault == "lose",
        )
        with self._changed:
            if not waiting.overtaken:
                for each in self._waiting:
                    each.due_s = min(each.due_s, waiting.due_s) if each.overtaken else each.due_s
            self._waiting.append(waiting)
            self._changed.notify()

    def close(self) -> None:
        """Send no more."""
        with self._changed:
            self._ends = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while (waiting := self._next()) is not None:
            if not (waiting.lost or self._taken(waiting)):
                waiting.due_s = time.monotonic() + waiting.pause_s
                waiting.pause_s = min(2 * waiting.pause_s, RETRY_MAX_S)
            elif waiting.twice:
                waiting.twice = False
            else:
                with self._changed:
                    self._waiting.remove(waiting)
                self._delivered(waiting.number)

    def _next(self) -> _Waiting | None:
        """The next that is due; None at the end. What is overtaken comes after what is due at the same time."""
        with self._changed:
            while not self._ends:
                first = min(
                    self._waiting, key=lambda each: (each.due_s, each.overtaken, each.number), default=None
                )
                wait_s = None if first is None else first.due_s - time.monotonic()
                if first is not None and wait_s is not None and wait_s <= 0:
                    return first
                self._changed.wait(wait_s)
        return None

    def _taken(self, waiting: _Waiting) -> bool:
        sent_at = str(int(time.time()))
        message = b".".join((waiting.identifier.encode(), sent_at.encode(), waiting.body))
        signature = base64.b64encode(hmac.digest(self._target.secret, message, hashlib.sha256)).decode()
        request = urllib.request.Request(  # noqa: S310 - the address is the caller's own
            self._target.url,
            data=waiting.body,
            headers={
                "Content-Type": "application/json",
                "webhook-id": waiting.identifier,
                "webhook-timestamp": sent_at,
                "webhook-signature": f"v1,{signature}",
            },
            method="POST",
        )
        try:
            with self._opener.open(request, timeout=ANSWER_S) as answer:
                return bool(answer.status == 204)
        except (
            OSError,
            http.client.HTTPException,
        ):  # the shop is away, or refuses: a status of 400 is an OSError, too
            return False
