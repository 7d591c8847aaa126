"""Requests of payments for tests of all commands: accepted after `FACTS`, and refused."""

from typing import Any

from domain.ids import CaptureId, CustomerId, OrderId, PaymentId, RefundId
from domain.money import Minor
from tests.examples import placed, rejected
from tests.payment_examples import (
    CREDIT,
    CUSTOMER,
    HOLD,
    NOW,
    authorisation_declined,
    authorisation_requested,
    authorisation_voided,
    capture_requested,
    credit_held,
    credit_issued,
    credit_spent,
    manual_payment_recorded,
    payment_authorised,
    payment_captured,
    payment_created,
    refund_requested,
)

CARD = "4111111111111111"
METHOD = {"method_ref": "pm_visa"}
OF_ORDER = {"order_id": "payable", **METHOD}
CASH = {"order_id": "payable", "method": "cash"}
REFUND = {"refund_id": "r", "amount": 1, "reason": "other"}
BY_HAND = {**REFUND, "method": "cash"}

HOLD_CREDIT = {"hold_id": "another", "order_id": "payable"}
ISSUE_CREDIT = {"credit_id": "another", "currency": "GBP", "amount": 1}

PAID = {"order_id": OrderId("paid")}


def _of(name: str) -> dict[str, Any]:
    return {"payment_id": PaymentId(name), **PAID}


def _requested(name: str) -> tuple[Any, ...]:
    return payment_created(**_of(name)), authorisation_requested(**_of(name))


def _held(name: str) -> tuple[Any, ...]:
    return *_requested(name), payment_authorised(**_of(name))


FACTS = (
    placed(order_id="payable"),
    placed(order_id="unpayable"),
    rejected(order_id="unpayable"),
    placed(order_id="paid"),
    payment_created(**_of("created")),
    *_requested("requested"),
    *_requested("declined"),
    authorisation_declined(**_of("declined"), retryable=False),
    *_held("held"),
    *_held("expired")[:-1],
    payment_authorised(**_of("expired"), expires_at=NOW),
    *_held("capturing"),
    capture_requested(**_of("capturing"), capture_id=CaptureId("taken"), amount=Minor(1)),
    *_held("captured"),
    capture_requested(**_of("captured")),
    payment_captured(**_of("captured")),
    refund_requested(
        **_of("captured"), refund_id=RefundId("refunded"), amount=Minor(1), lines=(), shipping=Minor(0)
    ),
    payment_created(**_of("voided")),
    authorisation_voided(**_of("voided")),
    manual_payment_recorded(**_of("manual")),
    manual_payment_recorded(**_of("unowned"), customer_id=None),
    credit_issued(amount=Minor(2_000), expires_at=None),
    credit_held(**PAID),
    credit_issued(customer_id=CustomerId("17851")),
    credit_held(customer_id=CustomerId("17851"), **PAID),
    credit_issued(customer_id=CustomerId("17852")),
    credit_held(customer_id=CustomerId("17852"), order_id=OrderId("unpayable")),
    credit_spent(customer_id=CustomerId("17851"), **PAID),
)


def _to(name: str, what: str) -> str:
    return f"/v1/payments/{name}/{what}"


def _credit(what: str, *, of: str = CUSTOMER) -> str:
    return f"/v1/store-credits/{of}/{what}"


VALID: dict[str, tuple[str, Any]] = {
    "create_payment": ("/v1/payments", OF_ORDER),
    "record_manual_payment": ("/v1/manual-payments", CASH),
    "authorise_payment": (_to("created", "authorisation"), {}),
    "capture_payment": (_to("held", "captures"), {"capture_id": "c"}),
    "void_payment": (_to("held", "void"), {}),
    "refund_payment": (_to("captured", "refunds"), REFUND),
    "record_manual_refund": (_to("manual", "manual-refunds"), BY_HAND),
    "issue_store_credit": (_credit("credits"), ISSUE_CREDIT),
    "hold_store_credit": (_credit("holds"), HOLD_CREDIT),
    "settle_store_credit": (_credit("settlements"), {"hold_id": HOLD, "outcome": "spent"}),
}

_ORDER: dict[str, dict[str, Any]] = {
    "order-unknown": {"order_id": "none"},
    "order-not-payable": {"order_id": "unpayable"},
    "payment-id-taken": {"payment_id": "created"},
    "amount-exceeds-due": {"amount": 99_999},
}

REFUSED: dict[tuple[str, str], tuple[str, Any]] = {
    **{("create_payment", code): ("/v1/payments", {**OF_ORDER, **given}) for code, given in _ORDER.items()},
    **{
        ("record_manual_payment", code): ("/v1/manual-payments", {**CASH, **given})
        for code, given in _ORDER.items()
    },
    ("create_payment", "card-number-given"): ("/v1/payments", {**OF_ORDER, "method_ref": CARD}),
    ("record_manual_payment", "card-number-given"): ("/v1/manual-payments", {**CASH, "reference": CARD}),
    **{
        (command, code): (_to(name, what), body)
        for command, what, body in (
            ("authorise_payment", "authorisation", {}),
            ("capture_payment", "captures", {"capture_id": "c"}),
            ("void_payment", "void", {}),
            ("refund_payment", "refunds", REFUND),
        )
        for code, name in (("payment-unknown", "none"), ("manually-paid", "manual"))
    },
    **{
        ("record_manual_refund", code): (_to(name, "manual-refunds"), {**BY_HAND, **given})
        for code, name, given in (
            ("payment-unknown", "none", {}),
            ("amount-exceeds-refundable", "manual", {"amount": 99_999}),
            ("refund-id-taken", "captured", {"refund_id": "refunded"}),
            ("card-number-given", "manual", {"reference": CARD}),
        )
    },
    ("authorise_payment", "payment-is-closed"): (_to("voided", "authorisation"), {}),
    ("authorise_payment", "attempt-in-progress"): (_to("requested", "authorisation"), {}),
    ("authorise_payment", "declined"): (_to("declined", "authorisation"), {}),
    ("authorise_payment", "card-number-given"): (
        _to("created", "authorisation"),
        {"method_ref": CARD},
    ),
    ("capture_payment", "not-authorised"): (_to("created", "captures"), {"capture_id": "c"}),
    ("capture_payment", "payment-is-closed"): (_to("voided", "captures"), {"capture_id": "c"}),
    ("capture_payment", "authorisation-expired"): (_to("expired", "captures"), {"capture_id": "c"}),
    ("capture_payment", "amount-exceeds-capturable"): (
        _to("held", "captures"),
        {"capture_id": "c", "amount": 99_999},
    ),
    ("capture_payment", "capture-id-taken"): (
        _to("capturing", "captures"),
        {"capture_id": "taken", "amount": 2},
    ),
    ("capture_payment", "card-number-given"): (_to("held", "captures"), {"capture_id": CARD}),
    ("void_payment", "attempt-in-progress"): (_to("requested", "void"), {}),
    ("void_payment", "capture-in-progress"): (_to("capturing", "void"), {}),
    ("refund_payment", "amount-exceeds-refundable"): (
        _to("captured", "refunds"),
        {**REFUND, "amount": 99_999},
    ),
    ("refund_payment", "refund-does-not-add-up"): (_to("captured", "refunds"), {**REFUND, "shipping": 2}),
    ("refund_payment", "refund-beyond-order"): (
        _to("captured", "refunds"),
        {**REFUND, "lines": [{"line_id": 4, "quantity": 1, "amount": 1}]},
    ),
    ("refund_payment", "refund-id-taken"): (
        _to("captured", "refunds"),
        {**REFUND, "refund_id": "refunded", "amount": 2},
    ),
    ("refund_payment", "card-number-given"): (_to("captured", "refunds"), {**REFUND, "refund_id": CARD}),
    ("refund_payment", "nobody-to-credit"): (_to("unowned", "refunds"), {**REFUND, "to": "store_credit"}),
    ("issue_store_credit", "credit-id-taken"): (_credit("credits"), {**ISSUE_CREDIT, "credit_id": CREDIT}),
    ("issue_store_credit", "card-number-given"): (_credit("credits"), {**ISSUE_CREDIT, "credit_id": CARD}),
    ("hold_store_credit", "order-unknown"): (_credit("holds"), {**HOLD_CREDIT, "order_id": "none"}),
    ("hold_store_credit", "order-not-payable"): (_credit("holds"), {**HOLD_CREDIT, "order_id": "unpayable"}),
    ("hold_store_credit", "amount-exceeds-due"): (_credit("holds"), {**HOLD_CREDIT, "amount": 99_999}),
    ("hold_store_credit", "insufficient-credit"): (_credit("holds"), {**HOLD_CREDIT, "amount": 1_000}),
    ("hold_store_credit", "credit-hold-id-taken"): (_credit("holds"), {**HOLD_CREDIT, "hold_id": HOLD}),
    ("hold_store_credit", "card-number-given"): (_credit("holds"), {**HOLD_CREDIT, "hold_id": CARD}),
    ("settle_store_credit", "credit-hold-unknown"): (
        _credit("settlements"),
        {"hold_id": "none", "outcome": "spent"},
    ),
    ("settle_store_credit", "order-not-payable"): (
        _credit("settlements", of="17852"),
        {"hold_id": HOLD, "outcome": "spent"},
    ),
    ("settle_store_credit", "credit-hold-settled"): (
        _credit("settlements", of="17851"),
        {"hold_id": HOLD, "outcome": "released"},
    ),
}
