"""The few resources of Stripe that its adapter uses, by its documentation; nothing was compared with the real one.

Cards: `pm_card_visa` is held, `pm_card_chargeDeclined_…` is declined with the rest of its name as code, `pm_card_3ds`
has to be confirmed, `pm_card_single` cannot be captured in parts, and `pm_missing` does not exist.
"""

import http.server
import json
import threading
import time
import urllib.parse
from contextlib import contextmanager

CREATED = 1_772_366_400
CAPTURE_BEFORE = CREATED + 7 * 86_400


class Refused(Exception):
    """An answer that is an error."""

    def __init__(self, status, **error):
        super().__init__(error)
        self.status, self.body = status, {"error": error}


class Stripe(http.server.ThreadingHTTPServer):
    """What Stripe holds, and what it was asked, in order. `loses` answers are not sent after all was done."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.intents, self.refunds, self.by_key = {}, {}, {}
        self.asked = []
        self.loses = 0
        self.fails = 0
        self.indexed = True
        self.lock = threading.Lock()

    def handle_error(self, request, client_address):
        """The caller may be gone."""

    def carry_out(self, method, path, form, key):
        self.asked.append((method, path, form, key))
        if key is None:
            return self._do(method, path, form)
        if key in self.by_key:
            asked, answer = self.by_key[key]
            if asked != (path, form):
                raise Refused(400, type="idempotency_error", message="another request has this key")
            return answer
        try:
            answer = 200, self._do(method, path, form)[1]
        except Refused as refused:
            if refused.status != 402:
                raise
            answer = 402, refused.body
        self.by_key[key] = (path, form), answer
        return answer

    def _do(self, method, path, form):
        parts = path.removeprefix("/v1/").split("/")
        match method, *parts:
            case "POST", "payment_intents":
                return 200, self._created(form)
            case "GET", "payment_intents", "search":
                wanted = form["query"].partition(":")[2].strip("'")
                found = [
                    each for each in self.intents.values() if each["metadata"]["counterfoil_key"] == wanted
                ]
                return 200, _list(found if self.indexed else [])
            case "GET", "payment_intents", name:
                return 200, self._intent(name)
            case "POST", "payment_intents", name, "capture":
                return 200, self._captured(self._intent(name), form)
            case "POST", "payment_intents", name, "cancel":
                return 200, self._cancelled(self._intent(name))
            case "GET", "refunds":
                of = form["payment_intent"]
                return 200, _list([each for each in self.refunds.values() if each["payment_intent"] == of])
            case "POST", "refunds":
                return 200, self._refunded(form)
        raise Refused(404, type="invalid_request_error", message="no such route")

    def _intent(self, name):
        if name not in self.intents:
            raise Refused(
                404, type="invalid_request_error", code="resource_missing", message="no such intent"
            )
        return self.intents[name]

    def _created(self, form):
        method = form["payment_method"]
        if method == "pm_missing":
            raise Refused(
                400,
                type="invalid_request_error",
                code="resource_missing",
                param="payment_method",
                message="none",
            )
        name = f"pi_{len(self.intents) + 1}"
        multicapture = "unavailable" if method == "pm_card_single" else "available"
        card = {"capture_before": CAPTURE_BEFORE, "multicapture": {"status": multicapture}}
        intent = self.intents[name] = {
            "id": name,
            "object": "payment_intent",
            "amount": int(form["amount"]),
            "amount_capturable": int(form["amount"]),
            "amount_received": 0,
            "currency": form["currency"],
            "created": CREATED,
            "metadata": _metadata(form),
            "latest_charge": {
                "id": f"ch_{name}",
                "object": "charge",
                "payment_method_details": {"type": "card", "card": card},
            },
            "status": "requires_capture",
        }
        if method == "pm_card_3ds":
            intent |= {
                "status": "requires_action",
                "next_action": {"type": "use_stripe_sdk"},
                "amount_capturable": 0,
            }
        if method.startswith("pm_card_chargeDeclined"):
            code = method.removeprefix("pm_card_chargeDeclined_")
            error = {
                "type": "card_error",
                "code": "card_declined",
                "decline_code": code,
                "message": "declined",
            }
            intent |= {
                "status": "requires_payment_method",
                "last_payment_error": error,
                "amount_capturable": 0,
            }
            raise Refused(402, **error, payment_intent=intent)
        return intent

    def _captured(self, intent, form):
        amount = int(form["amount_to_capture"])
        if intent["status"] != "requires_capture":
            raise Refused(
                400, type="invalid_request_error", code="payment_intent_unexpected_state", message="not held"
            )
        if amount > intent["amount_capturable"]:
            raise Refused(400, type="invalid_request_error", code="amount_too_large", message="too much")
        intent["amount_received"] += amount
        final = form.get("final_capture") != "false"
        intent["amount_capturable"] = 0 if final else intent["amount_capturable"] - amount
        intent["status"] = "requires_capture" if intent["amount_capturable"] else "succeeded"
        intent["metadata"] |= _metadata(form)
        return intent

    def _cancelled(self, intent):
        if intent["status"] in {"succeeded", "canceled"}:
            raise Refused(
                400,
                type="invalid_request_error",
                code="payment_intent_unexpected_state",
                message="it is over",
            )
        return intent | self._set(intent, status="canceled", amount_capturable=0)

    def _set(self, intent, **changes):
        intent |= changes
        return intent

    def _refunded(self, form):
        intent = self._intent(form["payment_intent"])
        gone = sum(each["amount"] for each in self.refunds.values() if each["payment_intent"] == intent["id"])
        amount = int(form["amount"])
        if amount > intent["amount_received"] - gone:
            raise Refused(400, type="invalid_request_error", code="charge_already_refunded", message="gone")
        name = f"re_{len(self.refunds) + 1}"
        self.refunds[name] = {
            "id": name,
            "object": "refund",
            "amount": amount,
            "currency": intent["currency"],
            "payment_intent": intent["id"],
            "metadata": _metadata(form),
            "status": "succeeded",
        }
        return self.refunds[name]


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        path, _, query = self.path.partition("?")
        self._answer("GET", path, dict(urllib.parse.parse_qsl(query)))

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"] or 0)).decode()
        self._answer("POST", self.path, dict(urllib.parse.parse_qsl(body)))

    def _answer(self, method, path, form):
        stripe = self.server
        with stripe.lock:
            if stripe.fails:
                stripe.fails -= 1
                status, answer = 500, {"error": {"type": "api_error", "message": "a defect"}}
            else:
                try:
                    status, answer = stripe.carry_out(method, path, form, self.headers["idempotency-key"])
                except Refused as refused:
                    status, answer = refused.status, refused.body
            if stripe.loses:
                stripe.loses -= 1
                self.close_connection = True
                return
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """The test says it all."""


@contextmanager
def stubbed():
    """Stripe's stub at an address of this machine."""
    with Stripe() as stripe:
        thread = threading.Thread(target=stripe.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield stripe
        finally:
            stripe.shutdown()
            thread.join()


def event(kind, about, *, identifier="evt_1"):
    """An event of Stripe."""
    return {
        "id": identifier,
        "object": "event",
        "type": kind,
        "created": int(time.time()),
        "data": {"object": about},
    }


def _list(found):
    return {"object": "list", "data": found, "has_more": False}


def _metadata(form):
    return {
        name.removeprefix("metadata[").removesuffix("]"): value
        for name, value in form.items()
        if name.startswith("metadata[")
    }
