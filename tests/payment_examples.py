"""One ordinary case of each event of a payment, in the order in which they could be recorded: 12.65 pounds."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from msgspec.structs import replace

from domain.event import Event
from domain.ids import (
    CaptureId,
    CreditHoldId,
    CreditId,
    CustomerId,
    DisputeId,
    KeyedHash,
    OrderId,
    PaymentId,
    PspEventId,
    RefundId,
)
from domain.money import Currency, Minor
from domain.payments import events
from domain.payments.authorising import Payable

NOW: Final = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
EXPIRES: Final = NOW + timedelta(days=7)
PAYMENT: Final = PaymentId("pay-1")
TILL: Final = PaymentId("till-1")
ORDER: Final = OrderId("536365")
CUSTOMER: Final = CustomerId("17850")
GBP: Final = Currency("GBP")
TOTAL: Final = Minor(1265)
CAPTURE: Final = CaptureId("parcel-1")
REFUND: Final = RefundId("return-1")
DISPUTE: Final = DisputeId("dp_1")
CREDIT: Final = CreditId("sorry-1")
HOLD: Final = CreditHoldId("hold-1")
METHOD: Final = "pm_visa"
AUTH: Final = "A-000001"

PAYABLE: Final = Payable(order_id=ORDER, customer_id=CUSTOMER, currency=GBP, total=TOTAL, covered=Minor(0))

_OF: Final = {"payment_id": PAYMENT, "order_id": ORDER}
_MONEY: Final = {**_OF, "currency": GBP, "amount": TOTAL}


def payment_created(**changes: Any) -> events.PaymentCreated:
    example = events.PaymentCreated(
        **_MONEY, customer_id=CUSTOMER, method_ref=METHOD, capture="manual", created_at=NOW
    )
    return replace(example, **changes)


def authorisation_requested(**changes: Any) -> events.AuthorisationRequested:
    example = events.AuthorisationRequested(**_MONEY, attempt=1, method_ref=METHOD, requested_at=NOW)
    return replace(example, **changes)


def authorisation_uncertain(**changes: Any) -> events.AuthorisationUncertain:
    example = events.AuthorisationUncertain(**_MONEY, attempt=1, method_ref=METHOD, uncertain_at=NOW)
    return replace(example, **changes)


def customer_action_required(**changes: Any) -> events.CustomerActionRequired:
    example = events.CustomerActionRequired(**_MONEY, attempt=1, kind="3d-secure", required_at=NOW)
    return replace(example, **changes)


def authorisation_declined(**changes: Any) -> events.AuthorisationDeclined:
    example = events.AuthorisationDeclined(
        **_OF, attempt=1, code="insufficient_funds", retryable=True, declined_at=NOW
    )
    return replace(example, **changes)


def payment_authorised(**changes: Any) -> events.PaymentAuthorised:
    example = events.PaymentAuthorised(
        **_MONEY, attempt=1, auth_ref=AUTH, expires_at=EXPIRES, authorised_at=NOW
    )
    return replace(example, **changes)


def authorisation_expired(**changes: Any) -> events.AuthorisationExpired:
    return replace(events.AuthorisationExpired(**_MONEY, attempt=1, expired_at=NOW), **changes)


def capture_requested(**changes: Any) -> events.CaptureRequested:
    example = events.CaptureRequested(
        **_MONEY, capture_id=CAPTURE, number=1, auth_ref=AUTH, shipment_id=None, requested_at=NOW
    )
    return replace(example, **changes)


def payment_captured(**changes: Any) -> events.PaymentCaptured:
    example = events.PaymentCaptured(**_MONEY, capture_id=CAPTURE, capture_ref="C-000002", captured_at=NOW)
    return replace(example, **changes)


def capture_failed(**changes: Any) -> events.CaptureFailed:
    example = events.CaptureFailed(**_MONEY, capture_id=CAPTURE, code="authorisation_expired", failed_at=NOW)
    return replace(example, **changes)


def void_requested(**changes: Any) -> events.VoidRequested:
    example = events.VoidRequested(**_MONEY, attempt=1, number=1, auth_ref=AUTH, requested_at=NOW)
    return replace(example, **changes)


def authorisation_voided(**changes: Any) -> events.AuthorisationVoided:
    return replace(events.AuthorisationVoided(**_MONEY, released=TOTAL, voided_at=NOW), **changes)


def void_failed(**changes: Any) -> events.VoidFailed:
    return replace(events.VoidFailed(**_OF, number=1, code="unknown", failed_at=NOW), **changes)


def refund_requested(**changes: Any) -> events.RefundRequested:
    example = events.RefundRequested(
        **_MONEY,
        refund_id=REFUND,
        number=1,
        auth_ref=AUTH,
        lines=(events.RefundedLine(line_id=1, quantity=3, amount=Minor(765)),),
        shipping=Minor(500),
        reason="return",
        to="original",
        requested_at=NOW,
    )
    return replace(example, **changes)


def refund_succeeded(**changes: Any) -> events.RefundSucceeded:
    example = events.RefundSucceeded(
        **_MONEY, refund_id=REFUND, to="original", refund_ref="R-000003", succeeded_at=NOW
    )
    return replace(example, **changes)


def refund_failed(**changes: Any) -> events.RefundFailed:
    return replace(
        events.RefundFailed(**_MONEY, refund_id=REFUND, code="account_closed", failed_at=NOW), **changes
    )


def refund_reversed(**changes: Any) -> events.RefundReversed:
    return replace(
        events.RefundReversed(**_MONEY, refund_id=REFUND, to="original", reversed_at=NOW), **changes
    )


def chargeback_opened(**changes: Any) -> events.ChargebackOpened:
    return replace(
        events.ChargebackOpened(**_MONEY, dispute_id=DISPUTE, reason="fraud", opened_at=NOW), **changes
    )


def chargeback_won(**changes: Any) -> events.ChargebackWon:
    return replace(events.ChargebackWon(**_MONEY, dispute_id=DISPUTE, won_at=NOW), **changes)


def chargeback_lost(**changes: Any) -> events.ChargebackLost:
    return replace(events.ChargebackLost(**_MONEY, dispute_id=DISPUTE, lost_at=NOW), **changes)


def manual_payment_recorded(**changes: Any) -> events.ManualPaymentRecorded:
    example = events.ManualPaymentRecorded(
        **{**_MONEY, "payment_id": TILL},
        customer_id=CUSTOMER,
        method="cash",
        reference="receipt 17",
        recorded_at=NOW,
    )
    return replace(example, **changes)


def manual_refund_recorded(**changes: Any) -> events.ManualRefundRecorded:
    example = events.ManualRefundRecorded(
        **_MONEY,
        refund_id=RefundId("transfer-1"),
        reason="return",
        method="bank_transfer",
        reference="statement 9",
        recorded_at=NOW,
    )
    return replace(example, **changes)


def psp_event_ingested(**changes: Any) -> events.PspEventIngested:
    example = events.PspEventIngested(
        **_OF,
        psp_event_id=PspEventId("evt_1"),
        type="operation.decided",
        hash=KeyedHash("9f86d081884c7d659a2feaa0c55ad015"),
        ingested_at=NOW,
    )
    return replace(example, **changes)


_CREDIT: Final = {"customer_id": CUSTOMER, "currency": GBP, "amount": TOTAL}


def credit_issued(**changes: Any) -> events.CreditIssued:
    example = events.CreditIssued(
        **_CREDIT, credit_id=CREDIT, reason="goodwill", payment_id=None, expires_at=EXPIRES, issued_at=NOW
    )
    return replace(example, **changes)


def credit_held(**changes: Any) -> events.CreditHeld:
    parts = (events.CreditUsed(credit_id=CREDIT, amount=TOTAL),)
    return replace(
        events.CreditHeld(**_CREDIT, hold_id=HOLD, order_id=ORDER, parts=parts, held_at=NOW), **changes
    )


def credit_spent(**changes: Any) -> events.CreditSpent:
    return replace(events.CreditSpent(**_CREDIT, hold_id=HOLD, order_id=ORDER, spent_at=NOW), **changes)


def credit_released(**changes: Any) -> events.CreditReleased:
    return replace(events.CreditReleased(**_CREDIT, hold_id=HOLD, order_id=ORDER, released_at=NOW), **changes)


def credit_returned(**changes: Any) -> events.CreditReturned:
    example = events.CreditReturned(
        **_CREDIT,
        hold_id=HOLD,
        order_id=ORDER,
        credit_id=CreditId(f"{ORDER}~{HOLD}~returned"),
        returned_at=NOW,
    )
    return replace(example, **changes)


def order_credit_changed(**changes: Any) -> events.OrderCreditChanged:
    of_it = {"order_id": ORDER, "hold_id": HOLD, "currency": GBP, "amount": TOTAL}
    return replace(events.OrderCreditChanged(**of_it, status="held", changed_at=NOW), **changes)


def credit_expired(**changes: Any) -> events.CreditExpired:
    return replace(events.CreditExpired(**_CREDIT, credit_id=CREDIT, number=1, expired_at=EXPIRES), **changes)


def credit_expiry_scheduled(**changes: Any) -> events.CreditExpiryScheduled:
    scheduled = events.CreditExpiryScheduled(customer_id=CUSTOMER, expires_at=EXPIRES, scheduled_at=NOW)
    return replace(scheduled, **changes)


ONE_OF_EACH: Final[tuple[Event, ...]] = (
    manual_payment_recorded(),
    manual_refund_recorded(),
    payment_created(),
    authorisation_requested(),
    authorisation_uncertain(),
    customer_action_required(),
    authorisation_declined(),
    payment_authorised(),
    authorisation_expired(),
    void_requested(),
    void_failed(),
    authorisation_voided(),
    capture_requested(),
    capture_failed(),
    payment_captured(),
    refund_requested(),
    refund_failed(),
    refund_succeeded(),
    refund_reversed(),
    chargeback_opened(),
    chargeback_won(),
    chargeback_lost(),
    psp_event_ingested(),
)

OF_STORE_CREDIT: Final[tuple[Event, ...]] = (
    credit_issued(),
    credit_expiry_scheduled(),
    credit_held(),
    credit_released(),
    credit_expired(),
    credit_spent(),
    credit_returned(),
    order_credit_changed(),
)
