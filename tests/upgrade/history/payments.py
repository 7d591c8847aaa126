"""Payments: at a provider that holds, declines, disputes and forgets, by hand, and by store credit."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from tests.upgrade.history import buying
from tests.upgrade.history.customers import ADA
from tests.upgrade.installation import Installation, Sent

BRIEFLY_S: Final = 1.5
"""Longer than the provider holds an amount that is held briefly."""


def fill(on: Installation) -> None:
    """Everything that may come of a payment."""
    _attempts(on)
    _disputes(on)
    _by_hand(on)
    _instead(on)
    _parts(on)
    _store_credit(on)
    on.shows("/v1/payments?limit=100", "/v1/payments?waiting=true", "/v1/payment-ledger?limit=100")


def _attempts(on: Installation) -> None:
    """Orders whose payment is not simply held."""
    waiting = [buying.buy(on, name, method=f"pm_{name}") for name in ("3ds", "pending")]
    soft = buying.buy(on, "soft", method="pm_soft")
    on.wait_for_event("ordering.payment_needed.v1", f"purchase-{soft}")
    on.send(Sent("try-again", f"/v1/payments/{soft}/authorisation", {"method_ref": buying.VISA}))
    declined = buying.buy(on, "declined", method="pm_declined")
    on.wait_for_event("ordering.order_cancelled.v1", f"order-{declined}")
    for order_id in (soft, *waiting):
        on.wait_for_event("ordering.order_confirmed.v1", f"order-{order_id}")


def _disputes(on: Installation) -> None:
    """Orders whose money was taken, and is disputed or goes back."""
    for name in ("dispute_won", "dispute_lost", "returned"):
        order_id = buying.buy(on, name, method=f"pm_{name}")
        buying.ship(on, order_id)
        on.wait_for_event("payments.payment_captured.v1", f"payment-{order_id}")
        if name == "returned":
            _refund(on, order_id, amount=500)
            on.wait_for_event("payments.refund_reversed.v1", f"payment-{order_id}")
        else:
            on.wait_for_event(
                f"payments.chargeback_{name.removeprefix('dispute_')}.v1", f"payment-{order_id}"
            )
    paid = buying.buy(on, "refunded")
    buying.ship(on, paid)
    on.wait_for_event("payments.payment_captured.v1", f"payment-{paid}")
    line = {"line_id": 1, "quantity": 1, "amount": 1_190}
    _refund(on, paid, amount=1_190, lines=[line])
    on.wait_for_event("payments.refund_succeeded.v1", f"payment-{paid}")
    _refund(on, paid, amount=300, to="store_credit")


def _by_hand(on: Installation) -> None:
    """An order that is paid in cash after its payment was voided."""
    order_id = _voided(on, "by-hand")
    cash = {"payment_id": "cash", "order_id": order_id, "method": "cash", "reference": "receipt 17"}
    on.settle(Sent("cash", "/v1/manual-payments", cash))
    on.wait_for_event("ordering.hold_lifted.v1", f"order-{order_id}")
    back = {"refund_id": "cash-back", "amount": 100, "reason": "other", "method": "cash"}
    on.send(Sent("cash-back", "/v1/payments/cash/manual-refunds", back))
    on.shows("/v1/payments/cash")


def _instead(on: Installation) -> None:
    """An order that two other payments pay since its own was voided; the first of them expires first."""
    order_id = _voided(on, "instead")
    for name in ("first", "second"):
        of = {"payment_id": name, "order_id": order_id, "amount": 500, "method_ref": buying.VISA}
        on.send(Sent(f"pay-{name}", "/v1/payments", of))
        on.send(Sent(f"authorise-{name}", f"/v1/payments/{name}/authorisation", {}))
        on.wait_for_event("payments.payment_authorised.v1", f"payment-{name}")
    on.wait_for_event("ordering.payment_expiry_scheduled.v1", f"purchase-{order_id}")
    on.shows("/v1/payments/first", f"/v1/orders/{order_id}/history")


def _voided(on: Installation, name: str) -> str:
    """An order whose own payment was voided; its id."""
    order_id = buying.buy(on, name)
    on.wait_for_event("ordering.order_confirmed.v1", f"order-{order_id}")
    on.settle(Sent(f"void-{name}", f"/v1/payments/{order_id}/void", {}))
    on.wait_for_event("ordering.order_held.v1", f"order-{order_id}")
    on.wait_for_event("payments.authorisation_voided.v1", f"payment-{order_id}")
    return order_id


def _parts(on: Installation) -> None:
    """Payments of parts of an order: one that expires, and those that a provider does not know any more."""
    order_id = buying.buy(on, "parts", method=None)
    methods = {"brief": "pm_brief", "captured": buying.VISA, "voided": buying.VISA, "refunded": buying.VISA}
    for name, method in methods.items():
        of = {"payment_id": f"part-{name}", "order_id": order_id, "amount": 500, "method_ref": method}
        on.send(Sent(f"pay-{name}", "/v1/payments", of))
        on.send(Sent(f"authorise-{name}", f"/v1/payments/part-{name}/authorisation", {}))
        on.wait_for_event("payments.payment_authorised.v1", f"payment-part-{name}")
        on.shows(f"/v1/payments/part-{name}")
    time.sleep(BRIEFLY_S)
    again = {"method_ref": buying.VISA}
    on.send(Sent("authorise-again", "/v1/payments/part-brief/authorisation", again))
    on.wait_for_event("payments.payment_authorised.v1", "payment-part-brief", count=2)
    _capture(on, "refunded")
    on.wait_for_event("payments.payment_captured.v1", "payment-part-refunded")
    on.parties.payments.forget()
    _capture(on, "captured")
    on.send(Sent("void-part", "/v1/payments/part-voided/void", {}))
    _refund(on, "part-refunded", amount=100)
    for what, name in (("capture", "captured"), ("void", "voided"), ("refund", "refunded")):
        on.wait_for_event(f"payments.{what}_failed.v1", f"payment-part-{name}")


def _store_credit(on: Installation) -> None:
    """Credit that is spent and comes back, is released, and expires."""
    path = f"/v1/store-credits/{ADA}"
    soon = (datetime.now(UTC) + timedelta(seconds=2)).isoformat()
    on.send(Sent("sorry", f"{path}/credits", {"credit_id": "sorry", "currency": "GBP", "amount": 5_000}))
    brief = {"credit_id": "brief", "currency": "EUR", "amount": 70, "expires_at": soon}
    on.send(Sent("brief-credit", f"{path}/credits", brief))
    for outcome in ("spent", "released"):
        order_id = buying.buy(on, f"credit-{outcome}", method=None)
        on.wait_for_event("ordering.order_confirmed.v1", f"order-{order_id}")
        hold = {"hold_id": outcome, "order_id": order_id}
        on.settle(Sent(f"hold-{outcome}", f"{path}/holds", {**hold, "amount": 1_000}))
        on.settle(Sent(f"settle-{outcome}", f"{path}/settlements", {"hold_id": outcome, "outcome": outcome}))
        on.settle(Sent(f"cancel-{outcome}", f"/v1/orders/{order_id}/cancellation", {"reason": "customer"}))
    on.wait_for_event("payments.credit_returned.v1", f"store_credit-{ADA}")
    on.wait_for_event("payments.credit_expired.v1", f"store_credit-{ADA}")
    on.shows(path)


def _capture(on: Installation, name: str) -> None:
    on.send(Sent(f"capture-{name}", f"/v1/payments/part-{name}/captures", {"capture_id": name}))


def _refund(on: Installation, payment_id: str, *, amount: int, **more: Any) -> None:
    refund = f"refund-{more.get('to', 'original')}"
    body = {"refund_id": refund, "amount": amount, "reason": "return", **more}
    on.send(Sent(f"{refund}-{payment_id}", f"/v1/payments/{payment_id}/refunds", body))
