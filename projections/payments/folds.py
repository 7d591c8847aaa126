"""What becomes of a payment, one event at a time; the same changes are folded for a payment and for its order."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, TypeVar

from msgspec.structs import replace

from domain.event import Event
from domain.money import Minor
from domain.ordering.events import PaymentNeeded
from domain.payments.events import (
    AuthorisationDeclined,
    AuthorisationExpired,
    AuthorisationRequested,
    AuthorisationUncertain,
    AuthorisationVoided,
    CaptureFailed,
    CaptureRequested,
    ChargebackLost,
    ChargebackOpened,
    ChargebackWon,
    CustomerActionRequired,
    ManualPaymentRecorded,
    ManualRefundRecorded,
    PaymentAuthorised,
    PaymentCaptured,
    PaymentCreated,
    PspEventIngested,
    RefundFailed,
    RefundRequested,
    RefundReversed,
    RefundSucceeded,
    VoidFailed,
    VoidRequested,
)
from projections.payments import ledger
from projections.payments.credit_folds import STORE_CREDIT
from projections.payments.views import (
    Axis,
    CapturePart,
    DisputePart,
    OrderPayments,
    PaidBy,
    PaymentDetails,
    RefundPart,
    Status,
    Waiting,
    order_payments,
    payment_details,
)

P = TypeVar("P", PaymentDetails, PaidBy)


@payment_details.on(PaymentCreated)
def created(_payment: PaymentDetails | None, event: PaymentCreated) -> PaymentDetails:
    """Nothing was asked of the provider yet."""
    return PaymentDetails(
        payment_id=event.payment_id,
        order_id=event.order_id,
        customer_id=event.customer_id,
        currency=event.currency,
        amount=event.amount,
        status="created",
        method_ref=event.method_ref,
        manual_method=None,
        attempt=0,
        created_at=event.created_at,
    )


@payment_details.on(ManualPaymentRecorded)
def recorded(_payment: PaymentDetails | None, event: ManualPaymentRecorded) -> PaymentDetails:
    """Money that is there is captured."""
    return PaymentDetails(
        payment_id=event.payment_id,
        order_id=event.order_id,
        customer_id=event.customer_id,
        currency=event.currency,
        amount=event.amount,
        status="manual",
        method_ref=None,
        manual_method=event.method,
        attempt=0,
        created_at=event.recorded_at,
        authorised=event.amount,
        captured=event.amount,
    )


@payment_details.on(AuthorisationRequested)
def requested(payment: PaymentDetails, event: AuthorisationRequested) -> PaymentDetails:
    """What was said to the attempt before stands in the stream."""
    payment = replace(payment, attempt=event.attempt, method_ref=event.method_ref, declined_code=None)
    return _waiting(replace(_moved(payment, event), action=None))


@payment_details.on(PaymentAuthorised)
def authorised(payment: PaymentDetails, event: PaymentAuthorised) -> PaymentDetails:
    """It is held for a while."""
    return _waiting(replace(_moved(payment, event), expires_at=event.expires_at, action=None))


@payment_details.on(CustomerActionRequired)
def action_required(payment: PaymentDetails, event: CustomerActionRequired) -> PaymentDetails:
    """The buyer has to act."""
    return _waiting(replace(_moved(payment, event), action=event.kind))


@payment_details.on(AuthorisationDeclined)
def declined(payment: PaymentDetails, event: AuthorisationDeclined) -> PaymentDetails:
    """Another method may do."""
    return _waiting(replace(_moved(payment, event), declined_code=event.code, action=None))


@payment_details.on(AuthorisationUncertain)
def uncertain(payment: PaymentDetails, event: AuthorisationUncertain) -> PaymentDetails:
    """It may be held."""
    return _waiting(_moved(payment, event), event.uncertain_at)


@payment_details.on(PaymentNeeded)
def payment_needed(payment: PaymentDetails | None, event: PaymentNeeded) -> PaymentDetails | None:
    """An order has left whose money was not taken; the other reasons are the buyer's to see to."""
    if payment is None or event.reason != "not_collected" or payment.captured >= payment.amount:
        return payment
    return _waiting(replace(payment, uncollected=True), event.needed_at)


@payment_details.on(AuthorisationVoided)
def voided(payment: PaymentDetails, event: AuthorisationVoided) -> PaymentDetails:
    """It collects no more, so nobody has to see to that: its order is paid another way, or settled without."""
    return _waiting(replace(_moved(payment, event), uncollected=False))


@payment_details.on(CaptureRequested)
def capture_requested(payment: PaymentDetails, event: CaptureRequested) -> PaymentDetails:
    """Its outcome is not known."""
    capture = CapturePart(capture_id=event.capture_id, amount=event.amount, step="pending")
    return replace(payment, captures=(*payment.captures, capture))


@payment_details.on(PaymentCaptured)
def captured(payment: PaymentDetails, event: PaymentCaptured) -> PaymentDetails:
    """The shop has it."""
    done = {"step": "done", "reference": event.capture_ref}
    captures = _changed(payment.captures, "capture_id", event, done)
    return _waiting(replace(_moved(payment, event), captures=captures, uncollected=False))


@payment_details.on(CaptureFailed)
def capture_failed(payment: PaymentDetails, event: CaptureFailed) -> PaymentDetails:
    """It may be captured again."""
    failed = {"step": "failed", "code": event.code}
    return replace(payment, captures=_changed(payment.captures, "capture_id", event, failed))


@payment_details.on(RefundRequested)
def refund_requested(payment: PaymentDetails, event: RefundRequested) -> PaymentDetails:
    """Its outcome is not known; what was owed is on its way, unless this is the share of another authorisation."""
    refund = RefundPart(
        refund_id=event.refund_id,
        amount=event.amount,
        step="pending",
        reason=event.reason,
        to=event.to,
        auth_ref=event.auth_ref or None,
    )
    again = event.to != "original" or any(
        each.auth_ref == refund.auth_ref for each in payment.refunds if each.step in _NOT_GONE
    )
    after = replace(payment, refunds=(*payment.refunds, refund))
    return _owing(after, -event.amount if again else 0)


@payment_details.on(RefundSucceeded)
def refunded(payment: PaymentDetails, event: RefundSucceeded) -> PaymentDetails:
    """The buyer has it."""
    done = {"step": "done", "reference": event.refund_ref}
    return replace(_moved(payment, event), refunds=_changed(payment.refunds, "refund_id", event, done))


@payment_details.on(RefundFailed)
def refund_failed(payment: PaymentDetails, event: RefundFailed) -> PaymentDetails:
    """It may be refunded again."""
    failed = {"step": "failed", "code": event.code}
    refunds = _changed(payment.refunds, "refund_id", event, failed)
    return _owing(replace(payment, refunds=refunds), event.amount, event.failed_at)


@payment_details.on(RefundReversed)
def refund_reversed(payment: PaymentDetails, event: RefundReversed) -> PaymentDetails:
    """The shop has it again."""
    back = {"step": "reversed"}
    refunds = _changed(payment.refunds, "refund_id", event, back)
    return _owing(replace(_moved(payment, event), refunds=refunds), event.amount, event.reversed_at)


@payment_details.on(ManualRefundRecorded)
def refunded_by_hand(payment: PaymentDetails, event: ManualRefundRecorded) -> PaymentDetails:
    """The buyer has it, of another till."""
    refund = RefundPart(
        refund_id=event.refund_id, amount=event.amount, step="done", reason=event.reason, to="by_hand"
    )
    return _owing(replace(_moved(payment, event), refunds=(*payment.refunds, refund)), -event.amount)


@payment_details.on(ChargebackOpened)
def chargeback_opened(payment: PaymentDetails, event: ChargebackOpened) -> PaymentDetails:
    """The bank has it until it decides."""
    dispute = DisputePart(dispute_id=event.dispute_id, amount=event.amount, step="open")
    return replace(_moved(payment, event), disputes=(*payment.disputes, dispute))


@payment_details.on(ChargebackWon)
def chargeback_won(payment: PaymentDetails, event: ChargebackWon) -> PaymentDetails:
    """The shop has it again."""
    won = _changed(payment.disputes, "dispute_id", event, {"step": "won"})
    return replace(_moved(payment, event), disputes=won)


@payment_details.on(ChargebackLost)
def chargeback_lost(payment: PaymentDetails, event: ChargebackLost) -> PaymentDetails:
    """The buyer has it, so less of what was to go back is owed, if any."""
    lost = _changed(payment.disputes, "dispute_id", event, {"step": "lost"})
    return _owing(replace(_moved(payment, event), disputes=lost), 0)


@payment_details.on(PspEventIngested)
def ingested(payment: PaymentDetails, _event: PspEventIngested) -> PaymentDetails:
    """What it says is in events of its own."""
    return replace(payment, webhooks=payment.webhooks + 1)


@order_payments.on(PaymentCreated)
def paid_by(paid: OrderPayments | None, event: PaymentCreated) -> OrderPayments:
    """One more payment of the order."""
    return _with(paid, event, PaidBy(payment_id=event.payment_id, amount=event.amount, status="created"))


@order_payments.on(ManualPaymentRecorded)
def paid_by_hand(paid: OrderPayments | None, event: ManualPaymentRecorded) -> OrderPayments:
    """One more payment of the order, captured."""
    payment = PaidBy(
        payment_id=event.payment_id,
        amount=event.amount,
        status="manual",
        authorised=event.amount,
        captured=event.amount,
    )
    return _with(paid, event, payment)


_STATUSES: Final[dict[type[Event], Status]] = {
    AuthorisationRequested: "requested",
    PaymentAuthorised: "authorised",
    CustomerActionRequired: "action_required",
    AuthorisationDeclined: "declined",
    AuthorisationUncertain: "uncertain",
    AuthorisationExpired: "expired",
    VoidRequested: "voiding",
    AuthorisationVoided: "voided",
    VoidFailed: "authorised",
}
_SUMS: Final[dict[type[Event], dict[str, int]]] = {
    PaymentCaptured: {"captured": 1},
    RefundSucceeded: {"refunded": 1},
    RefundReversed: {"refunded": -1},
    ManualRefundRecorded: {"refunded": 1},
    ChargebackOpened: {"disputed": 1},
    ChargebackWon: {"disputed": -1},
    ChargebackLost: {"disputed": -1, "lost": 1},
}
"""Which sums of a payment an event raises or lowers by its amount."""
_NOT_GONE: Final = frozenset(("failed", "reversed"))
"""Steps of refunds that did not go back."""


def _moved(payment: P, event: Any) -> P:
    """The status and the sums of a payment after an event."""
    changes: dict[str, Any] = {
        name: Minor(getattr(payment, name) + sign * event.amount)
        for name, sign in _SUMS.get(type(event), {}).items()
    }
    if type(event) in _STATUSES:
        changes["status"] = _STATUSES[type(event)]
    if isinstance(event, PaymentAuthorised):
        changes["authorised"] = Minor(payment.captured + event.amount)
    if isinstance(event, AuthorisationExpired | AuthorisationVoided):
        changes["authorised"] = payment.captured
    return replace(payment, **changes)


def _owing(payment: PaymentDetails, amount: int, since: datetime | None = None) -> PaymentDetails:
    """What did not go back is owed; another refund of the same authorisation, or to elsewhere, is another try.

    No more is owed than the buyer has not got in any other way. An open dispute does not count: the bank may decide
    for the shop, which owes it again then.
    """
    pending = sum(each.amount for each in payment.refunds if each.step == "pending")
    left = payment.captured - payment.refunded - payment.lost - pending
    return _waiting(replace(payment, owed=Minor(max(0, min(payment.owed + amount, left)))), since)


def _waiting(payment: PaymentDetails, since: datetime | None = None) -> PaymentDetails:
    """Whether somebody has to see to the payment, `since` an event that may say so."""
    reason = _reason(payment)
    if reason == payment.waits_for:
        return payment
    began = None if reason is None else since or payment.waits_since
    return replace(payment, waiting=reason is not None, waits_for=reason, waits_since=began)


def _reason(payment: PaymentDetails) -> Waiting | None:
    """What is the most urgent of all that somebody has to see to."""
    if payment.owed:
        steps = [each.step for each in payment.refunds if each.step in _NOT_GONE]
        return "refund_reversed" if steps[-1] == "reversed" else "refund_failed"
    if payment.uncollected:
        return "not_collected"
    return "uncertain" if payment.status == "uncertain" else None


def _changed(parts: tuple[Any, ...], key: str, event: Event, changes: dict[str, Any]) -> tuple[Any, ...]:
    """The parts of a payment, that of the event changed."""
    wanted = getattr(event, key)
    return tuple(replace(each, **changes) if getattr(each, key) == wanted else each for each in parts)


def _order_moved(paid: OrderPayments, event: Any) -> OrderPayments:
    return _summed(
        replace(
            paid,
            payments=tuple(
                _moved(each, event) if each.payment_id == event.payment_id else each for each in paid.payments
            ),
        )
    )


def _attach(event: type[Event]) -> None:
    fold: Callable[[OrderPayments, Any], OrderPayments] = _order_moved
    order_payments.on(event)(fold)


for _event in (*_STATUSES, *_SUMS):
    _attach(_event)
for _event in (AuthorisationExpired, VoidRequested, VoidFailed):
    payment_details.on(_event)(lambda payment, event: _waiting(_moved(payment, event)))


def _with(
    paid: OrderPayments | None, event: PaymentCreated | ManualPaymentRecorded, payment: PaidBy
) -> OrderPayments:
    zero = Minor(0)
    paid = paid or OrderPayments(
        order_id=event.order_id,
        customer_id=event.customer_id,
        currency=event.currency,
        status="none",
        authorised=zero,
        captured=zero,
        refunded=zero,
        disputed=zero,
        lost=zero,
        payments=(),
    )
    return _summed(replace(paid, payments=(*paid.payments, payment)))


def _summed(paid: OrderPayments) -> OrderPayments:
    names = ("authorised", "captured", "refunded", "disputed", "lost")
    sums = {name: Minor(sum(getattr(each, name) for each in paid.payments)) for name in names}
    return replace(paid, **sums, status=_axis(paid, **sums))


def _axis(paid: OrderPayments, *, authorised: int, captured: int, refunded: int, lost: int, **_: int) -> Axis:
    wanted = sum(each.captured if each.status == "voided" else each.amount for each in paid.payments)
    if captured and refunded + lost >= captured:
        return "refunded"
    if captured and captured >= wanted:
        return "captured"
    if captured:
        return "partial"
    if authorised:
        return "authorised" if authorised >= wanted else "partial"
    waiting = any(each.status in {"requested", "uncertain", "action_required"} for each in paid.payments)
    return "pending" if waiting else "none"


VIEWS: Final = (payment_details, order_payments, ledger.LEDGER, STORE_CREDIT)
"""Views of payments."""
