"""Decisions about what is to be paid, and about holding it: creation, authorisation, its end."""

from datetime import datetime

from msgspec import Struct

from domain.event import Event
from domain.ids import CaptureId, CustomerId, OrderId, PaymentId
from domain.moment import in_utc
from domain.money import Currency, Minor
from domain.payments.card_numbers import has_card_number, without_card_numbers
from domain.payments.events import (
    ActionKind,
    AuthorisationDeclined,
    AuthorisationExpired,
    AuthorisationRequested,
    AuthorisationUncertain,
    AuthorisationVoided,
    CaptureMode,
    CaptureRequested,
    CreditHeld,
    CreditReleased,
    CustomerActionRequired,
    ManualMethod,
    ManualPaymentRecorded,
    PaymentAuthorised,
    PaymentCreated,
    VoidFailed,
    VoidRequested,
)
from domain.payments.payment import OPEN, Payment, Status, at_provider, evolve
from domain.payments.refusals import (
    AmountExceedsDue,
    AttemptInProgress,
    CaptureInProgress,
    CardNumberGiven,
    Declined,
    PaymentIdTaken,
    PaymentIsClosed,
)


class Payable(Struct, frozen=True, kw_only=True):
    """What of an order is to be paid: its total, and how much of that its other payments cover."""

    order_id: OrderId
    customer_id: CustomerId | None
    currency: Currency
    total: Minor
    covered: Minor

    @property
    def due(self) -> Minor:
        """What no payment covers."""
        return Minor(self.total - self.covered)


def covering(covered: Minor, event: Event) -> Minor:
    """How much of an order its payments cover: all that was to be paid by one, without what it will not collect."""
    match event:
        case PaymentCreated() | ManualPaymentRecorded() | CreditHeld():
            return Minor(covered + event.amount)
        case AuthorisationVoided() | CreditReleased():
            return Minor(covered - event.amount)
    raise AssertionError(f"{type(event).__name__} does not change what is due")


def paying(
    payments: tuple[PaymentId, ...], event: PaymentCreated | ManualPaymentRecorded
) -> tuple[PaymentId, ...]:
    """The payments of an order after one more."""
    return (*payments, event.payment_id)


def create(
    payment: Payment | None,
    *,
    payment_id: PaymentId,
    of: Payable,
    amount: Minor | None,
    method_ref: str,
    capture: CaptureMode,
    now: datetime,
) -> list[Event]:
    """Have an amount of an order paid by a method; without an amount all that is due.

    Raises:
        PaymentIdTaken: there is a payment with this id.
        CardNumberGiven: the method or the id does.
        AmountExceedsDue: other payments cover it.
    """
    require_no_card_number(payment_id=payment_id, method_ref=method_ref)
    amount = _due(payment, payment_id=payment_id, of=of, amount=amount)
    return [
        PaymentCreated(
            payment_id=payment_id,
            order_id=of.order_id,
            customer_id=of.customer_id,
            currency=of.currency,
            amount=amount,
            method_ref=method_ref,
            capture=capture,
            created_at=in_utc(now),
        )
    ]


def request(*, payment_id: PaymentId, of: Payable, method_ref: str, now: datetime) -> list[Event]:
    """Create the payment of an order that was placed with a method, and have all that is due held.

    The method was looked at when the order was placed, and the id is the order's: neither is a client's here.
    """
    created = PaymentCreated(
        payment_id=payment_id,
        order_id=of.order_id,
        customer_id=of.customer_id,
        currency=of.currency,
        amount=of.due,
        method_ref=method_ref,
        capture="manual",
        created_at=in_utc(now),
    )
    return [
        created,
        *authorise(evolve(None, created), payment_id=payment_id, method_ref=None, now=now),
    ]


def record_manual(
    payment: Payment | None,
    *,
    payment_id: PaymentId,
    of: Payable,
    amount: Minor | None,
    method: ManualMethod,
    reference: str,
    now: datetime,
) -> list[Event]:
    """Record money that came in without a provider; without an amount all that is due.

    Raises:
        PaymentIdTaken, CardNumberGiven, AmountExceedsDue: as `create`.
    """
    require_no_card_number(payment_id=payment_id, reference=reference)
    amount = _due(payment, payment_id=payment_id, of=of, amount=amount)
    return [
        ManualPaymentRecorded(
            payment_id=payment_id,
            order_id=of.order_id,
            customer_id=of.customer_id,
            currency=of.currency,
            amount=amount,
            method=method,
            reference=reference,
            recorded_at=in_utc(now),
        )
    ]


def _due(payment: Payment | None, *, payment_id: PaymentId, of: Payable, amount: Minor | None) -> Minor:
    if payment is not None:
        raise PaymentIdTaken(payment_id=payment_id)
    wanted = of.due if amount is None else amount
    if wanted > of.due or wanted <= 0:
        raise AmountExceedsDue(order_id=of.order_id, amount=wanted, due=of.due)
    return wanted


def authorise(
    payment: Payment | None, *, payment_id: PaymentId, method_ref: str | None, now: datetime
) -> list[Event]:
    """Have the provider hold what is not captured: the first time, or again after a decline or an expiry.

    Nothing is decided while it is held. An authorisation whose time is over expires first.

    Raises:
        PaymentUnknown, ManuallyPaid, PaymentIsClosed: there is nothing to authorise (any more).
        AttemptInProgress: the last attempt has no outcome.
        Declined: this method was declined for good.
        CardNumberGiven: the method does.
    """
    payment = at_provider(payment, payment_id=payment_id)
    if method_ref is not None:
        require_no_card_number(method_ref=method_ref)
    method = method_ref or payment.method_ref
    if payment.status in OPEN:
        raise AttemptInProgress(payment_id=payment_id, attempt=payment.attempt)
    if payment.status in {Status.VOIDING, Status.VOIDED}:
        raise PaymentIsClosed(payment_id=payment_id, status=payment.status)
    if payment.status is Status.DECLINED and not payment.is_retryable and method == payment.method_ref:
        raise Declined(payment_id=payment_id, provider_code=payment.declined_code or "")
    expired = record_expired(payment, now=now) if _is_over(payment, now=now) else []
    rest = Minor(payment.amount - payment.captured)
    if rest <= 0 or (payment.status is Status.AUTHORISED and not expired):
        return []
    return [
        *expired,
        AuthorisationRequested(
            payment_id=payment_id,
            order_id=payment.order_id,
            attempt=payment.attempt + 1,
            currency=payment.currency,
            amount=rest,
            method_ref=method,
            requested_at=in_utc(now),
        ),
    ]


def record_authorised(
    payment: Payment | None,
    *,
    attempt: int,
    amount: Minor,
    auth_ref: str,
    expires_at: datetime,
    now: datetime,
) -> list[Event]:
    """Record what the provider holds, and have it captured where that was the intention; nothing if it is decided."""
    if payment is None or not _awaits(payment, attempt):
        return []
    authorised = PaymentAuthorised(
        payment_id=payment.payment_id,
        order_id=payment.order_id,
        attempt=attempt,
        currency=payment.currency,
        amount=amount,
        auth_ref=auth_ref,
        expires_at=in_utc(expires_at),
        authorised_at=in_utc(now),
    )
    if payment.capture == "manual":
        return [authorised]
    return [
        authorised,
        CaptureRequested(
            payment_id=payment.payment_id,
            order_id=payment.order_id,
            capture_id=CaptureId(f"auto~{attempt}"),
            number=len(payment.captures) + 1,
            auth_ref=auth_ref,
            currency=payment.currency,
            amount=amount,
            shipment_id=None,
            requested_at=in_utc(now),
        ),
    ]


def record_action_required(
    payment: Payment | None, *, attempt: int, kind: ActionKind, now: datetime
) -> list[Event]:
    """Record that the buyer has to act; nothing if that is known, or the attempt is decided."""
    if payment is None or not _awaits(payment, attempt) or payment.status is Status.ACTION_REQUIRED:
        return []
    return [
        CustomerActionRequired(
            payment_id=payment.payment_id,
            order_id=payment.order_id,
            attempt=attempt,
            currency=payment.currency,
            amount=Minor(payment.amount - payment.captured),
            kind=kind,
            required_at=in_utc(now),
        )
    ]


def record_declined(
    payment: Payment | None, *, attempt: int, code: str, retryable: bool, now: datetime
) -> list[Event]:
    """Record that the provider declined; nothing if the attempt is decided."""
    if payment is None or not _awaits(payment, attempt):
        return []
    return [
        AuthorisationDeclined(
            payment_id=payment.payment_id,
            order_id=payment.order_id,
            attempt=attempt,
            code=without_card_numbers(code),
            retryable=retryable,
            declined_at=in_utc(now),
        )
    ]


def record_uncertain(payment: Payment | None, *, attempt: int, now: datetime) -> list[Event]:
    """Record that the provider was asked and did not say; nothing if the attempt has any answer."""
    if payment is None or payment.status is not Status.REQUESTED or payment.attempt != attempt:
        return []
    return [
        AuthorisationUncertain(
            payment_id=payment.payment_id,
            order_id=payment.order_id,
            attempt=attempt,
            currency=payment.currency,
            amount=Minor(payment.amount - payment.captured),
            method_ref=payment.method_ref,
            uncertain_at=in_utc(now),
        )
    ]


def record_expired(payment: Payment | None, *, now: datetime) -> list[Event]:
    """Record that nothing is held any more; nothing while a capture has no outcome, which tells."""
    if (
        payment is None
        or payment.status is not Status.AUTHORISED
        or payment.capturing
        or not payment.capturable
    ):
        return []
    return [
        AuthorisationExpired(
            payment_id=payment.payment_id,
            order_id=payment.order_id,
            attempt=payment.attempt,
            currency=payment.currency,
            amount=payment.capturable,
            expired_at=in_utc(now),
        )
    ]


def void(payment: Payment | None, *, payment_id: PaymentId, now: datetime) -> list[Event]:
    """Collect no more than was captured: what is held beyond that is released, by the provider.

    Raises:
        PaymentUnknown, ManuallyPaid: there is nothing to void.
        AttemptInProgress, CaptureInProgress: what is to be voided is not known.
    """
    payment = at_provider(payment, payment_id=payment_id)
    if payment.status in OPEN:
        raise AttemptInProgress(payment_id=payment_id, attempt=payment.attempt)
    if payment.capturing:
        raise CaptureInProgress(payment_id=payment_id)
    if payment.status in {Status.VOIDING, Status.VOIDED} or payment.captured == payment.amount:
        return []
    if not payment.capturable:
        return [_voided(payment, released=Minor(0), now=now)]
    return [
        VoidRequested(
            payment_id=payment_id,
            order_id=payment.order_id,
            attempt=payment.attempt,
            number=payment.voids + 1,
            auth_ref=payment.auth_ref,
            currency=payment.currency,
            amount=payment.capturable,
            requested_at=in_utc(now),
        )
    ]


def record_voided(payment: Payment | None, *, number: int, now: datetime) -> list[Event]:
    """Record that the provider released the rest; nothing if that void has its outcome."""
    if payment is None or not _is_voiding(payment, number):
        return []
    return [_voided(payment, released=payment.capturable, now=now)]


def record_void_failed(payment: Payment | None, *, number: int, code: str, now: datetime) -> list[Event]:
    """Record that the provider did not release it; nothing if that void has its outcome."""
    if payment is None or not _is_voiding(payment, number):
        return []
    return [
        VoidFailed(
            payment_id=payment.payment_id,
            order_id=payment.order_id,
            number=number,
            code=without_card_numbers(code),
            failed_at=in_utc(now),
        )
    ]


def require_no_card_number(**members: str) -> None:
    """Refuse what a client sent that looks like a card number.

    Raises:
        CardNumberGiven: names the member, not its text.
    """
    for member, text in members.items():
        if has_card_number(text):
            raise CardNumberGiven(member=member)


def _voided(payment: Payment, *, released: Minor, now: datetime) -> AuthorisationVoided:
    return AuthorisationVoided(
        payment_id=payment.payment_id,
        order_id=payment.order_id,
        currency=payment.currency,
        amount=Minor(payment.amount - payment.captured),
        released=released,
        voided_at=in_utc(now),
    )


def _is_over(payment: Payment, *, now: datetime) -> bool:
    return (
        payment.status is Status.AUTHORISED and payment.expires_at is not None and now >= payment.expires_at
    )


def _is_voiding(payment: Payment, number: int) -> bool:
    return payment.status is Status.VOIDING and payment.voids == number


def _awaits(payment: Payment, attempt: int) -> bool:
    return payment.status in OPEN and payment.attempt == attempt
