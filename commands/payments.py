"""Commands of payments: created, authorised, captured, voided, refunded, and recorded by hand, as are refunds.

What a provider is to do is requested here and done by a sender (`commands.gateways.payment`); no request waits for it.
"""

from typing import Annotated, Final

from pydantic import ConfigDict, Field, StringConstraints

from commands.decision import Decision, DecisionView, Tagged, events_of
from commands.documentation import Caller
from commands.execution import Caller as Executing
from commands.payloads import CHOSEN_BY_STAFF, Id, Method, Payload, Quantity
from commands.recording import Answer
from commands.routing import command, command_router
from domain.event import Event
from domain.ids import CaptureId, OrderId, PaymentId, RefundId, ShipmentId, payments_tag
from domain.money import AMOUNT_MAX, Minor
from domain.ordering.order import ORDER, Order, OrderUnknown, Status
from domain.payments import authorising, capturing, refunding, store_credit
from domain.payments.authorising import Payable
from domain.payments.events import (
    AuthorisationVoided,
    CaptureMode,
    CreditHeld,
    CreditReleased,
    ManualMethod,
    ManualPaymentRecorded,
    PaymentCreated,
    ReceiptRef,
    RefundedLine,
    RefundReason,
    RefundTarget,
)
from domain.payments.payment import PAYMENT, Payment
from domain.payments.refunding import Ordered, OrderedLine
from domain.payments.refusals import (
    AmountExceedsCapturable,
    AmountExceedsDue,
    AmountExceedsRefundable,
    AttemptInProgress,
    AuthorisationExpired,
    CaptureIdTaken,
    CaptureInProgress,
    CardNumberGiven,
    Declined,
    ManuallyPaid,
    NobodyToCredit,
    NotAuthorised,
    OrderNotPayable,
    PaymentIdTaken,
    PaymentIsClosed,
    PaymentUnknown,
    RefundBeyondOrder,
    RefundDoesNotAddUp,
    RefundIdTaken,
)
from domain.payments.store_credit import STORE_CREDIT
from domain.shipping.shipment import SHIPMENT
from domain.text import LINE_PATTERN, REFERENCE_CHARACTERS_MAX
from runtime.http.principal import Owned
from runtime.problems import Fault, ProblemError

router = command_router("payments")

LINES_MAX: Final = 500
"""Lines that one refund names."""

COVERED: Final[Tagged[Minor]] = Tagged(
    (PaymentCreated, ManualPaymentRecorded, AuthorisationVoided, CreditHeld, CreditReleased),
    Minor(0),
    authorising.covering,
)
"""How much of an order its payments and store credit cover."""

PAYERS: Final[Tagged[tuple[PaymentId, ...]]] = Tagged(
    (PaymentCreated, ManualPaymentRecorded), (), authorising.paying
)
"""The payments of an order."""

_PAYS: Final = Owned("payments:pay")
_ORDER: Final = (OrderUnknown, OrderNotPayable, PaymentIdTaken, AmountExceedsDue, CardNumberGiven)
_NOT_THERE: Final = (PaymentUnknown, ManuallyPaid)

_CHOSEN: Final = Fault(
    detail="Only callers who have orders of others paid may send this member", pointer="/payment_id"
)

Amount = Annotated[int, Field(ge=1, le=AMOUNT_MAX, description="Minor units of the order's currency.")]
Part = Annotated[int, Field(ge=0, le=AMOUNT_MAX)]
Receipt = Annotated[ReceiptRef, StringConstraints(max_length=REFERENCE_CHARACTERS_MAX, pattern=LINE_PATTERN)]


class CreatePayment(Payload):
    """What is to be paid, and by which method."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "payment_id": "pay-1",
                "order_id": "536365",
                "method_ref": "pm_visa",
                "capture": "manual",
            }
        }
    )

    payment_id: Id | None = Field(default=None, description=CHOSEN_BY_STAFF)
    order_id: Id
    amount: Amount | None = Field(default=None, description="Minor units; all that is due when absent.")
    method_ref: Method = Field(description="The payment provider's token; never a card number.")
    capture: CaptureMode = "manual"


class Authorise(Payload):
    """By which method, if by another one."""

    model_config = ConfigDict(json_schema_extra={"example": {"method_ref": "pm_visa"}})

    method_ref: Method | None = None


class CaptureAmount(Payload):
    """How much of what is held is taken."""

    model_config = ConfigDict(json_schema_extra={"example": {"capture_id": "parcel-1", "amount": 765}})

    capture_id: Id
    amount: Amount | None = Field(default=None, description="Minor units; all that is left when absent.")
    shipment_id: Id | None = None


class VoidPayment(Payload):
    """Nothing needs to be said."""

    model_config = ConfigDict(json_schema_extra={"example": {}})


class LineRefund(Payload):
    """The part of a refund for pieces of one line."""

    line_id: Annotated[int, Field(ge=1, le=100_000)]
    quantity: Quantity
    amount: Part = Field(description="With its tax, and after its promotions.")


class RefundAmount(Payload):
    """How much goes back, and what for."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "refund_id": "return-1",
                "amount": 755,
                "lines": [{"line_id": 1, "quantity": 1, "amount": 255}],
                "shipping": 500,
                "reason": "return",
            }
        }
    )

    refund_id: Id
    amount: Amount
    lines: tuple[LineRefund, ...] = Field(default=(), max_length=LINES_MAX)
    shipping: Part = Field(default=0, description="Shipping with its tax.")
    reason: RefundReason
    to: RefundTarget = Field(
        default="original", description="Where it came from, or the customer's store credit."
    )


class RecordManualPayment(Payload):
    """What came in, and how."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "payment_id": "till-1",
                "order_id": "536365",
                "method": "cash",
                "reference": "receipt 17",
            }
        }
    )

    payment_id: Id | None = Field(default=None, description="A UUID is made up when absent.")
    order_id: Id
    amount: Amount | None = Field(default=None, description="Minor units; all that is due when absent.")
    method: ManualMethod
    reference: Receipt = ""


class RecordManualRefund(Payload):
    """What went back, and how."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "refund_id": "transfer-1",
                "amount": 765,
                "reason": "return",
                "method": "bank_transfer",
                "reference": "statement 9",
            }
        }
    )

    refund_id: Id
    amount: Amount
    reason: RefundReason
    method: ManualMethod
    reference: Receipt = ""


@command(router, "/payments", requires=_PAYS, refusals=_ORDER)
async def create_payment(body: CreatePayment, caller: Caller) -> Answer:
    """Have an amount of an order paid. All payments of an order together are no more than its total.

    Customers and guests pay their own, under an id that is made up.
    """
    if caller.confined_to is not None and body.payment_id is not None:
        # Whether it is taken would tell of an order of somebody else, whose payment has its id.
        detail = "This needs the permission payments:pay: a payment of one's own has an id that is made up."
        raise ProblemError("forbidden", detail, errors=[_CHOSEN])
    payment_id, order_id = PaymentId(body.payment_id or caller.new_id()), OrderId(body.order_id)

    def create(payment: Payment | None, view: DecisionView) -> list[Event]:
        return authorising.create(
            payment,
            payment_id=payment_id,
            of=payable(order_id, view, caller),
            amount=_minor(body.amount),
            method_ref=body.method_ref,
            capture=body.capture,
            now=caller.now,
        )

    return await caller.execute(PAYMENT, payment_id, create, creates=True)


@command(
    router,
    "/payments/{payment_id}/authorisation",
    requires=_PAYS,
    refusals=(*_NOT_THERE, PaymentIsClosed, AttemptInProgress, Declined, CardNumberGiven),
)
async def authorise_payment(payment_id: PaymentId, body: Authorise, caller: Caller) -> Answer:
    """Have the provider hold what is not captured: once, or again after a decline or an expiry."""
    return await caller.execute(
        PAYMENT,
        payment_id,
        lambda payment, _: authorising.authorise(
            payment, payment_id=payment_id, method_ref=body.method_ref, now=caller.now
        ),
        owner=_payer,
    )


@command(
    router,
    "/payments/{payment_id}/captures",
    requires="payments:capture",
    refusals=(
        *_NOT_THERE,
        NotAuthorised,
        PaymentIsClosed,
        AuthorisationExpired,
        AmountExceedsCapturable,
        CaptureIdTaken,
        CardNumberGiven,
    ),
)
async def capture_payment(payment_id: PaymentId, body: CaptureAmount, caller: Caller) -> Answer:
    """Have the provider take what it holds, or a part of it."""
    return await caller.execute(
        PAYMENT,
        payment_id,
        lambda payment, _: capturing.capture(
            payment,
            payment_id=payment_id,
            capture_id=CaptureId(body.capture_id),
            amount=_minor(body.amount),
            shipment_id=None if body.shipment_id is None else ShipmentId(body.shipment_id),
            now=caller.now,
        ),
    )


@command(
    router,
    "/payments/{payment_id}/void",
    requires="payments:capture",
    refusals=(*_NOT_THERE, AttemptInProgress, CaptureInProgress),
)
async def void_payment(payment_id: PaymentId, body: VoidPayment, caller: Caller) -> Answer:  # noqa: ARG001 - an empty body
    """Have the provider release what was not captured; the payment collects no more."""
    return await caller.execute(
        PAYMENT,
        payment_id,
        lambda payment, _: authorising.void(payment, payment_id=payment_id, now=caller.now),
    )


@command(
    router,
    "/payments/{payment_id}/refunds",
    requires="payments:refund",
    refusals=(
        *_NOT_THERE,
        AmountExceedsRefundable,
        RefundDoesNotAddUp,
        RefundBeyondOrder,
        RefundIdTaken,
        NobodyToCredit,
        CardNumberGiven,
    ),
)
async def refund_payment(payment_id: PaymentId, body: RefundAmount, caller: Caller) -> Answer:
    """Have an amount go back; partial refunds repeat until all that was captured has.

    A refund to store credit is the customer's at once, also of a payment that was recorded by hand.
    """
    request = refunding.RefundRequest(
        refund_id=RefundId(body.refund_id),
        amount=Minor(body.amount),
        lines=tuple(
            RefundedLine(line_id=each.line_id, quantity=each.quantity, amount=Minor(each.amount))
            for each in body.lines
        ),
        shipping=Minor(body.shipping),
        reason=body.reason,
        to=body.to,
    )

    def refund(payment: Payment | None, view: DecisionView) -> Decision:
        refunded = refunding.refund(payment, payment_id=payment_id, request=request, now=caller.now)
        if refunded and payment is not None and (request.lines or request.shipping):
            refunding.require_ordered(request, ordered(payment, view))
        decided = events_of(PAYMENT, payment_id, refunded)
        if not refunded or request.to == "original":
            return Decision(decided)
        assert payment is not None, "refused before"
        assert payment.customer_id is not None, "refused before"
        issued = store_credit.issue(
            view.current(STORE_CREDIT, payment.customer_id),
            customer_id=payment.customer_id,
            credit_id=store_credit.credit_of_refund(payment_id, request.refund_id),
            currency=payment.currency,
            amount=request.amount,
            payment_id=payment_id,
            now=caller.now,
        )
        return Decision((*decided, *events_of(STORE_CREDIT, payment.customer_id, issued)))

    return await caller.execute(PAYMENT, payment_id, refund)


@command(
    router,
    "/payments/{payment_id}/manual-refunds",
    requires="payments:refund",
    refusals=(PaymentUnknown, AmountExceedsRefundable, RefundIdTaken, CardNumberGiven),
)
async def record_manual_refund(payment_id: PaymentId, body: RecordManualRefund, caller: Caller) -> Answer:
    """Record money that went back without the provider, such as a refund that failed for good or came back."""
    return await caller.execute(
        PAYMENT,
        payment_id,
        lambda payment, _: refunding.record_manual(
            payment,
            payment_id=payment_id,
            refund_id=RefundId(body.refund_id),
            amount=Minor(body.amount),
            reason=body.reason,
            method=body.method,
            reference=body.reference,
            now=caller.now,
        ),
    )


@command(router, "/manual-payments", requires="payments:record", refusals=_ORDER)
async def record_manual_payment(body: RecordManualPayment, caller: Caller) -> Answer:
    """Record money that came in without a provider."""
    payment_id, order_id = PaymentId(body.payment_id or caller.new_id()), OrderId(body.order_id)

    def record(payment: Payment | None, view: DecisionView) -> list[Event]:
        return authorising.record_manual(
            payment,
            payment_id=payment_id,
            of=payable(order_id, view, caller),
            amount=_minor(body.amount),
            method=body.method,
            reference=body.reference,
            now=caller.now,
        )

    return await caller.execute(PAYMENT, payment_id, record, creates=True)


def payable(order_id: OrderId, view: DecisionView, caller: Executing) -> Payable:
    """What is due for an order.

    Raises:
        OrderUnknown: there is none, or it is somebody else's.
        OrderNotPayable: it was rejected or cancelled, or its lost parcel refunded.
    """
    view.prefetch_tagged(COVERED, payments_tag(order_id))
    order = view.current(ORDER, order_id)
    if order is None or caller.confined_to not in {None, order.customer_id}:
        raise OrderUnknown(order_id=order_id)
    require_payable(order, view)
    covered = view.tagged(COVERED, payments_tag(order_id))
    if order.payment is not None and order.status is Status.PLACED:
        covered = order.total  # by its own payment, whether or not its process has created that yet
    return Payable(
        order_id=order_id,
        customer_id=order.customer_id,
        currency=order.currency,
        total=order.total,
        covered=covered,
    )


def require_payable(order: Order | None, view: DecisionView) -> None:
    """Refuse to take money for an order that is off, or whose buyer has it back: nothing would end that once more.

    Raises:
        OrderNotPayable: it was rejected or cancelled, or its lost parcel refunded.
    """
    if order is None:
        return
    if order.status in {Status.REJECTED, Status.CANCELLED}:
        raise OrderNotPayable(order_id=order.order_id, status=order.status)
    shipment = view.current(SHIPMENT, order.order_id) if order.status is Status.SHIPPED else None
    if shipment is not None and shipment.is_refunded:
        raise OrderNotPayable(order_id=order.order_id, status="refunded")


def ordered(payment: Payment, view: DecisionView) -> Ordered:
    """The order of a payment, and what its payments gave back, exactly as it is when the refund is recorded."""
    order_id, tag = payment.order_id, payments_tag(payment.order_id)
    view.prefetch_tagged(PAYERS, tag)
    order = view.known(ORDER, order_id)  # its lines never change
    assert order is not None, "a payment is of an order"
    others = [each for each in view.tagged(PAYERS, tag) if each != payment.payment_id]
    view.prefetch(PAYMENT, others)
    payments = [payment, *(view.current(PAYMENT, each) for each in others)]
    lines = [
        OrderedLine(pieces=each.quantity, total=each.total, is_shipping=not each.stocked)
        for each in order.lines
    ]
    refunds = [refund for each in payments if each is not None for refund in each.refunds.values()]
    return Ordered(order_id=order_id, lines=tuple(lines), refunds=tuple(refunds))


def _payer(payment: Payment) -> str | None:
    return payment.customer_id


def _minor(amount: int | None) -> Minor | None:
    return None if amount is None else Minor(amount)
