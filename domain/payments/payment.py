"""A payment: an amount of an order that a method is to pay, and where every part of it is.

created ─▶ requested ─┬─▶ authorised ─┬─▶ captured in parts, refunded in parts
   ▲          ▲│      ├─▶ uncertain   ├─▶ expired ─▶ requested, for the rest
   └ declined ◀┘      └─▶ action      └─▶ voiding ─▶ voided

A request without an outcome is no failure: whether the provider did it is not known then. What was captured stays with
the payment whatever becomes of its authorisations, so these hold after every event:

    captured + capturing <= authorised
    refunded + refunding <= captured
    refunded - credited + refunding + disputed + lost <= captured

What was refunded to store credit or by hand is at the provider still, where a bank can dispute it.

Decisions: `authorising`, `capturing`, `refunding`, `disputes`. Refusals: `refusals`.
"""

from datetime import datetime
from enum import StrEnum
from typing import Final, assert_never

from msgspec import Struct
from msgspec.structs import replace

from domain.aggregate import Aggregate
from domain.event import Event
from domain.ids import CaptureId, CustomerId, DisputeId, OrderId, PaymentId, PspEventId, RefundId
from domain.money import Currency, Minor
from domain.payments.events import (
    AuthorisationDeclined,
    AuthorisationExpired,
    AuthorisationRequested,
    AuthorisationUncertain,
    AuthorisationVoided,
    CaptureFailed,
    CaptureMode,
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
    RefundedLine,
    RefundFailed,
    RefundRequested,
    RefundReversed,
    RefundSucceeded,
    RefundTarget,
    VoidFailed,
    VoidRequested,
)
from domain.payments.refusals import ManuallyPaid, PaymentUnknown


class Status(StrEnum):
    """Where its authorisation stands."""

    CREATED = "created"
    REQUESTED = "requested"
    UNCERTAIN = "uncertain"
    ACTION_REQUIRED = "action_required"
    DECLINED = "declined"
    AUTHORISED = "authorised"
    EXPIRED = "expired"
    VOIDING = "voiding"
    VOIDED = "voided"
    MANUAL = "manual"


OPEN: Final = frozenset((Status.REQUESTED, Status.UNCERTAIN, Status.ACTION_REQUIRED))
"""An attempt has no outcome yet."""


class MovementStep(StrEnum):
    """Where a capture, a refund or a chargeback stands."""

    PENDING = "pending"
    DONE = "done"
    FAILED = "failed"
    REVERSED = "reversed"


class Movement(Struct, frozen=True, kw_only=True):
    """A capture, a refund or a chargeback. Captures and refunds are numbered, each kind from 1; 0: by hand.

    `lines` and `shipping` are what a refund is for, as far as it says so.
    """

    amount: Minor
    step: MovementStep
    number: int = 0
    auth_ref: str = ""
    to: RefundTarget = "original"
    lines: tuple[RefundedLine, ...] = ()
    shipping: Minor = Minor(0)


class Payment(Struct, frozen=True, kw_only=True):
    """Amounts in minor units. `collected` is what each authorisation captured and nothing went back of, or may go.

    `credited` is what of `refunded` went to store credit, or by hand: the provider has it still. `unheld_since`: when
    the rest was to be released, or was not held any more; none while it is held (`unheld`).
    """

    payment_id: PaymentId
    order_id: OrderId
    customer_id: CustomerId | None
    currency: Currency
    amount: Minor
    status: Status
    capture: CaptureMode = "manual"
    method_ref: str = ""
    attempt: int = 0
    auth_ref: str = ""
    expires_at: datetime | None = None
    unheld_since: datetime | None = None
    declined_code: str | None = None
    is_retryable: bool = True
    voids: int = 0
    authorised: Minor = Minor(0)
    captured: Minor = Minor(0)
    capturing: Minor = Minor(0)
    refunded: Minor = Minor(0)
    refunding: Minor = Minor(0)
    credited: Minor = Minor(0)
    disputed: Minor = Minor(0)
    lost: Minor = Minor(0)
    captures: dict[CaptureId, Movement] = {}
    refunds: dict[RefundId, Movement] = {}
    disputes: dict[DisputeId, Movement] = {}
    collected: dict[str, Minor] = {}
    ingested: tuple[PspEventId, ...] = ()

    @property
    def capturable(self) -> Minor:
        """What is held and neither captured nor being captured."""
        return Minor(self.authorised - self.captured - self.capturing)

    def unheld(self, *, now: datetime) -> datetime | None:
        """Since when what is not captured is not held, or is to be released; none: all is held or captured."""
        if self.captured + self.capturing >= self.amount:
            return None
        is_over = self.status is Status.AUTHORISED and self.expires_at is not None and now >= self.expires_at
        return self.unheld_since or (self.expires_at if is_over else None)

    def held_until(self, *, now: datetime) -> datetime | None:
        """When what is not captured expires; none: nothing of it is held."""
        is_held = self.unheld(now=now) is None and self.captured < self.amount
        return self.expires_at if is_held else None

    def secured(self, *, now: datetime) -> Minor:
        """What it holds, or has and did not give back."""
        held = Minor(0) if self.unheld(now=now) else self.capturable
        return Minor(held + self.capturing + self.refundable)

    @property
    def refundable(self) -> Minor:
        """What was captured and has not gone back, is not going, and is not disputed."""
        return Minor(max(0, self.disputable - self.credited))

    @property
    def disputable(self) -> Minor:
        """What of it a bank can dispute: what the provider has, also if the buyer got other money for it."""
        to_method = self.refunded - self.credited + self.refunding
        return Minor(self.captured - to_method - self.disputed - self.lost)


def evolve(payment: Payment | None, event: Event) -> Payment:
    """Return the payment as it is after `event`."""
    if isinstance(event, PaymentCreated | ManualPaymentRecorded):
        return _begun(event)
    assert payment is not None, "an event about a payment before it was created"
    match event:
        case (
            AuthorisationRequested()
            | PaymentAuthorised()
            | CustomerActionRequired()
            | AuthorisationDeclined()
            | AuthorisationUncertain()
            | AuthorisationExpired()
            | VoidRequested()
            | AuthorisationVoided()
            | VoidFailed()
        ):
            return _authorising(payment, event)
        case CaptureRequested() | PaymentCaptured() | CaptureFailed():
            return _capturing(payment, event)
        case RefundRequested() | RefundSucceeded() | RefundFailed() | RefundReversed():
            return _refunding(payment, event)
        case ManualRefundRecorded():
            by_hand = Movement(amount=event.amount, step=MovementStep.DONE)
            return replace(
                payment,
                refunded=Minor(payment.refunded + event.amount),
                credited=Minor(payment.credited + event.amount),
                refunds={**payment.refunds, event.refund_id: by_hand},
            )
        case ChargebackOpened() | ChargebackWon() | ChargebackLost():
            return _disputing(payment, event)
        case PspEventIngested():
            return replace(payment, ingested=(*payment.ingested, event.psp_event_id))
    raise AssertionError(f"{type(event).__name__} is no event of a payment")


PAYMENT: Final[Aggregate[Payment]] = Aggregate(
    "payment",
    evolve,
    (
        PaymentCreated,
        AuthorisationRequested,
        PaymentAuthorised,
        CustomerActionRequired,
        AuthorisationDeclined,
        AuthorisationUncertain,
        AuthorisationExpired,
        CaptureRequested,
        PaymentCaptured,
        CaptureFailed,
        VoidRequested,
        AuthorisationVoided,
        VoidFailed,
        RefundRequested,
        RefundSucceeded,
        RefundFailed,
        RefundReversed,
        ChargebackOpened,
        ChargebackWon,
        ChargebackLost,
        ManualPaymentRecorded,
        ManualRefundRecorded,
        PspEventIngested,
    ),
    cached=False,
)
"""Not cached: callers, the sender and webhooks write it."""


def known(payment: Payment | None, *, payment_id: PaymentId) -> Payment:
    """The payment that a command addresses.

    Raises:
        PaymentUnknown: there is none.
    """
    if payment is None:
        raise PaymentUnknown(payment_id=payment_id)
    return payment


def at_provider(payment: Payment | None, *, payment_id: PaymentId) -> Payment:
    """The payment that a command addresses, which a provider has.

    Raises:
        PaymentUnknown, ManuallyPaid: there is none.
    """
    payment = known(payment, payment_id=payment_id)
    if payment.status is Status.MANUAL:
        raise ManuallyPaid(payment_id=payment_id)
    return payment


def _begun(event: PaymentCreated | ManualPaymentRecorded) -> Payment:
    begun = Payment(
        payment_id=event.payment_id,
        order_id=event.order_id,
        customer_id=event.customer_id,
        currency=event.currency,
        amount=event.amount,
        status=Status.CREATED,
    )
    if isinstance(event, PaymentCreated):
        return replace(
            begun, method_ref=event.method_ref, capture=event.capture, unheld_since=event.created_at
        )
    return replace(
        begun,
        status=Status.MANUAL,
        authorised=event.amount,
        captured=event.amount,
        collected={"": event.amount},
    )


def _authorising(payment: Payment, event: Event) -> Payment:
    match event:
        case AuthorisationRequested():
            return replace(
                payment,
                status=Status.REQUESTED,
                attempt=event.attempt,
                method_ref=event.method_ref,
                declined_code=None,
                is_retryable=True,
            )
        case PaymentAuthorised():
            return replace(
                payment,
                status=Status.AUTHORISED,
                auth_ref=event.auth_ref,
                expires_at=event.expires_at,
                unheld_since=None,
                authorised=Minor(payment.captured + event.amount),
            )
        case CustomerActionRequired():
            return replace(payment, status=Status.ACTION_REQUIRED)
        case AuthorisationDeclined():
            return replace(
                payment, status=Status.DECLINED, declined_code=event.code, is_retryable=event.retryable
            )
        case AuthorisationUncertain():
            return replace(payment, status=Status.UNCERTAIN)
        case AuthorisationExpired():
            expired_at = event.expired_at
            return replace(
                payment, status=Status.EXPIRED, authorised=payment.captured, unheld_since=expired_at
            )
        case VoidRequested():
            return replace(
                payment, status=Status.VOIDING, voids=event.number, unheld_since=event.requested_at
            )
        case VoidFailed():
            return replace(payment, status=Status.AUTHORISED, unheld_since=None)
        case AuthorisationVoided():
            unheld_since = payment.unheld_since or event.voided_at
            return replace(
                payment, status=Status.VOIDED, authorised=payment.captured, unheld_since=unheld_since
            )
    raise AssertionError(f"{type(event).__name__} is no event of an authorisation")


def _capturing(payment: Payment, event: CaptureRequested | PaymentCaptured | CaptureFailed) -> Payment:
    amount = event.amount
    if isinstance(event, CaptureRequested):
        capture = Movement(
            amount=amount, step=MovementStep.PENDING, number=event.number, auth_ref=event.auth_ref
        )
        return replace(
            payment,
            capturing=Minor(payment.capturing + amount),
            captures={**payment.captures, event.capture_id: capture},
        )
    capture = payment.captures[event.capture_id]
    step = MovementStep.DONE if isinstance(event, PaymentCaptured) else MovementStep.FAILED
    payment = replace(
        payment,
        capturing=Minor(payment.capturing - amount),
        captures={**payment.captures, event.capture_id: replace(capture, step=step)},
    )
    if step is MovementStep.FAILED:
        return payment
    return replace(
        payment,
        captured=Minor(payment.captured + amount),
        collected=_plus(payment.collected, capture.auth_ref, amount),
    )


def _refunding(
    payment: Payment, event: RefundRequested | RefundSucceeded | RefundFailed | RefundReversed
) -> Payment:
    amount = event.amount
    if isinstance(event, RefundRequested):
        refund = Movement(
            amount=amount,
            step=MovementStep.PENDING,
            number=event.number,
            auth_ref=event.auth_ref,
            to=event.to,
            lines=event.lines,
            shipping=event.shipping,
        )
        return replace(
            payment,
            refunding=Minor(payment.refunding + amount),
            refunds={**payment.refunds, event.refund_id: refund},
            collected=_plus(payment.collected, event.auth_ref, -amount),
        )
    refund = payment.refunds[event.refund_id]
    match event:
        case RefundSucceeded():
            return _refunded(
                payment,
                event.refund_id,
                replace(refund, step=MovementStep.DONE),
                pending=-amount,
                done=amount,
            )
        case RefundFailed():
            return _refunded(
                payment, event.refund_id, replace(refund, step=MovementStep.FAILED), pending=-amount, done=0
            )
        case RefundReversed():
            return _refunded(
                payment, event.refund_id, replace(refund, step=MovementStep.REVERSED), pending=0, done=-amount
            )
    assert_never(event)


def _refunded(payment: Payment, refund_id: RefundId, refund: Movement, *, pending: int, done: int) -> Payment:
    """The payment after an outcome: what is no longer pending and not done is there to be refunded again."""
    return replace(
        payment,
        refunding=Minor(payment.refunding + pending),
        refunded=Minor(payment.refunded + done),
        credited=Minor(payment.credited + (done if refund.to == "store_credit" else 0)),
        refunds={**payment.refunds, refund_id: refund},
        collected=_plus(payment.collected, refund.auth_ref, -pending - done),
    )


def _disputing(payment: Payment, event: ChargebackOpened | ChargebackWon | ChargebackLost) -> Payment:
    opened = isinstance(event, ChargebackOpened)
    lost = event.amount if isinstance(event, ChargebackLost) else 0
    step = MovementStep.PENDING if opened else MovementStep.DONE if lost else MovementStep.REVERSED
    return replace(
        payment,
        disputed=Minor(payment.disputed + (event.amount if opened else -event.amount)),
        lost=Minor(payment.lost + lost),
        disputes={**payment.disputes, event.dispute_id: Movement(amount=event.amount, step=step)},
    )


def _plus(amounts: dict[str, Minor], key: str, amount: int) -> dict[str, Minor]:
    return {**amounts, key: Minor(amounts.get(key, 0) + amount)}
