"""Decisions about taking what is held, as a whole or in parts."""

from datetime import datetime

from domain.event import Event
from domain.ids import CaptureId, PaymentId, ShipmentId
from domain.moment import in_utc
from domain.money import Minor
from domain.payments.authorising import require_no_card_number
from domain.payments.card_numbers import without_card_numbers
from domain.payments.events import CaptureFailed, CaptureRequested, PaymentCaptured
from domain.payments.payment import Movement, MovementStep, Payment, Status, at_provider
from domain.payments.refusals import (
    AmountExceedsCapturable,
    AuthorisationExpired,
    CaptureIdTaken,
    NotAuthorised,
    PaymentIsClosed,
)


def capture(
    payment: Payment | None,
    *,
    payment_id: PaymentId,
    capture_id: CaptureId,
    amount: Minor | None,
    shipment_id: ShipmentId | None,
    now: datetime,
) -> list[Event]:
    """Have the provider take an amount; without one all that is left. The same capture again decides nothing.

    Raises:
        PaymentUnknown, ManuallyPaid, NotAuthorised, PaymentIsClosed: nothing is held.
        AuthorisationExpired: nothing is held any more.
        AmountExceedsCapturable: less is held.
        CaptureIdTaken: the id belongs to another capture.
        CardNumberGiven: an id does.
    """
    payment = at_provider(payment, payment_id=payment_id)
    require_no_card_number(capture_id=capture_id, shipment_id=shipment_id or "")
    earlier = payment.captures.get(capture_id)
    if earlier is not None:
        if amount in {None, earlier.amount} and earlier.step is not MovementStep.FAILED:
            return []
        raise CaptureIdTaken(payment_id=payment_id, capture_id=capture_id)
    _require_held(payment, now=now)
    wanted = payment.capturable if amount is None else amount
    if wanted > payment.capturable or wanted <= 0:
        raise AmountExceedsCapturable(payment_id=payment_id, amount=wanted, capturable=payment.capturable)
    return [
        CaptureRequested(
            payment_id=payment_id,
            order_id=payment.order_id,
            capture_id=capture_id,
            number=len(payment.captures) + 1,
            auth_ref=payment.auth_ref,
            currency=payment.currency,
            amount=wanted,
            shipment_id=shipment_id,
            requested_at=in_utc(now),
        )
    ]


def record_captured(payment: Payment | None, *, number: int, capture_ref: str, now: datetime) -> list[Event]:
    """Record that the provider took it; nothing if that capture has its outcome."""
    if payment is None or (pending := _pending(payment, number)) is None:
        return []
    capture_id, movement = pending
    return [
        PaymentCaptured(
            payment_id=payment.payment_id,
            order_id=payment.order_id,
            capture_id=capture_id,
            currency=payment.currency,
            amount=movement.amount,
            capture_ref=capture_ref,
            captured_at=in_utc(now),
        )
    ]


def record_capture_failed(payment: Payment | None, *, number: int, code: str, now: datetime) -> list[Event]:
    """Record that the provider took nothing; nothing if that capture has its outcome."""
    if payment is None or (pending := _pending(payment, number)) is None:
        return []
    capture_id, movement = pending
    return [
        CaptureFailed(
            payment_id=payment.payment_id,
            order_id=payment.order_id,
            capture_id=capture_id,
            currency=payment.currency,
            amount=movement.amount,
            code=without_card_numbers(code),
            failed_at=in_utc(now),
        )
    ]


def _require_held(payment: Payment, *, now: datetime) -> None:
    if payment.status is Status.EXPIRED:
        raise AuthorisationExpired(payment_id=payment.payment_id, expires_at=payment.expires_at)
    if payment.status in {Status.VOIDING, Status.VOIDED}:
        raise PaymentIsClosed(payment_id=payment.payment_id, status=payment.status)
    if payment.status is not Status.AUTHORISED:
        raise NotAuthorised(payment_id=payment.payment_id, status=payment.status)
    if payment.capturable and payment.expires_at is not None and now >= payment.expires_at:
        raise AuthorisationExpired(payment_id=payment.payment_id, expires_at=payment.expires_at)


def _pending(payment: Payment, number: int) -> tuple[CaptureId, Movement] | None:
    found = (each for each in payment.captures.items() if each[1].number == number)
    return next((each for each in found if each[1].step is MovementStep.PENDING), None)
