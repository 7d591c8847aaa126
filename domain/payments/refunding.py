"""Decisions about money that goes back."""

from collections import Counter
from datetime import datetime
from typing import Final

from msgspec import Struct

from domain.event import Event
from domain.ids import OrderId, PaymentId, RefundId
from domain.moment import in_utc
from domain.money import Minor
from domain.payments.authorising import require_no_card_number
from domain.payments.card_numbers import without_card_numbers
from domain.payments.events import (
    ManualMethod,
    ManualRefundRecorded,
    RefundedLine,
    RefundFailed,
    RefundReason,
    RefundRequested,
    RefundReversed,
    RefundSucceeded,
    RefundTarget,
)
from domain.payments.payment import Movement, MovementStep, Payment, Status, known
from domain.payments.refusals import (
    AmountExceedsRefundable,
    ManuallyPaid,
    NobodyToCredit,
    RefundBeyondOrder,
    RefundDoesNotAddUp,
    RefundIdTaken,
    WebhookTooEarly,
)

STORE_CREDIT_REF: Final = "store credit"
"""The reference of a refund that no provider made."""


class RefundRequest(Struct, frozen=True, kw_only=True):
    """How much is to go back, what for, and where to.

    `auth_ref` is the authorisation whose share it is, where that is not left to the payment.
    """

    refund_id: RefundId
    amount: Minor
    lines: tuple[RefundedLine, ...] = ()
    shipping: Minor = Minor(0)
    reason: RefundReason
    to: RefundTarget = "original"
    auth_ref: str | None = None


class OrderedLine(Struct, frozen=True, kw_only=True):
    """A line of an order: its pieces and what they cost; of what is not kept in stock, it is its shipping."""

    pieces: int
    total: Minor
    is_shipping: bool


class Ordered(Struct, frozen=True, kw_only=True):
    """The order that a refund is about: its lines, the first being line 1, and what was refunded of it before.

    `refunds` are those of all its payments.
    """

    order_id: OrderId
    lines: tuple[OrderedLine, ...]
    refunds: tuple[Movement, ...] = ()


def require_ordered(request: RefundRequest, ordered: Ordered) -> None:
    """Refuse a refund whose parts its order does not have, or has given back, or is about to.

    A refund that failed or came back gave nothing back; one that says nothing of its parts counts for none.

    Raises:
        RefundBeyondOrder: a line is not there, or fewer pieces or less money of it, or less shipping.
    """
    before = [each for each in ordered.refunds if each.step in {MovementStep.PENDING, MovementStep.DONE}]
    pieces: Counter[int] = Counter()
    amounts: Counter[int] = Counter()
    for line in (*request.lines, *(line for refund in before for line in refund.lines)):
        pieces[line.line_id] += line.quantity
        amounts[line.line_id] += line.amount
    lines = dict(enumerate(ordered.lines, start=1))
    named = {line.line_id for line in request.lines}
    beyond = [
        f"line {each}"
        for each in sorted(named)
        if each not in lines or pieces[each] > lines[each].pieces or amounts[each] > lines[each].total
    ]
    shipping = {each: line.total for each, line in lines.items() if line.is_shipping}
    # Shipping is given back as such, or as the lines that it is: by both together no more than they cost.
    back = request.shipping + sum(each.shipping for each in before) + sum(amounts[each] for each in shipping)
    if (request.shipping or named & shipping.keys()) and back > sum(shipping.values()):
        beyond.append("shipping")
    if beyond:
        raise RefundBeyondOrder(order_id=ordered.order_id, parts=tuple(beyond))


def refund(
    payment: Payment | None, *, payment_id: PaymentId, request: RefundRequest, now: datetime
) -> list[Event]:
    """Have an amount go back, again and again until all that was captured has. The same refund again decides nothing.

    `lines` and `shipping` say what it is for; a refund for the payment as such has neither. Each goes back to where one
    authorisation collected it, so it is no larger than what is left of that. A refund to store credit is done with this
    decision: the credit is issued with it (`store_credit`), and no provider has a part in it.

    Raises:
        PaymentUnknown: there is no such payment.
        ManuallyPaid: there is no provider that could refund it.
        NobodyToCredit: it has no customer whom store credit could be issued to.
        AmountExceedsRefundable: less is there.
        RefundDoesNotAddUp: the parts are not the amount.
        RefundIdTaken: the id belongs to another refund.
        CardNumberGiven: the id does.
    """
    payment = known(payment, payment_id=payment_id)
    refund_id, amount, to = request.refund_id, request.amount, request.to
    require_no_card_number(refund_id=refund_id)
    earlier = payment.refunds.get(refund_id)
    if earlier is not None:
        same = (amount, to) == (earlier.amount, earlier.to) and earlier.number > 0
        if same and earlier.step is not MovementStep.FAILED:
            return []
        raise RefundIdTaken(payment_id=payment_id, refund_id=refund_id)
    if payment.status is Status.MANUAL and to == "original":
        raise ManuallyPaid(payment_id=payment_id)
    if to == "store_credit" and payment.customer_id is None:
        raise NobodyToCredit(payment_id=payment_id)
    parts = Minor(sum(line.amount for line in request.lines) + request.shipping)
    if (request.lines or request.shipping) and parts != amount:
        raise RefundDoesNotAddUp(amount=amount, parts=parts)
    auth_ref = _collected_by(payment, request)
    requested = RefundRequested(
        payment_id=payment_id,
        order_id=payment.order_id,
        refund_id=refund_id,
        number=len(payment.refunds) + 1,
        auth_ref=auth_ref,
        currency=payment.currency,
        amount=amount,
        lines=request.lines,
        shipping=request.shipping,
        reason=request.reason,
        to=to,
        requested_at=in_utc(now),
    )
    if to == "original":
        return [requested]
    credited = RefundSucceeded(
        payment_id=payment_id,
        order_id=payment.order_id,
        refund_id=refund_id,
        currency=payment.currency,
        amount=amount,
        to=to,
        refund_ref=STORE_CREDIT_REF,
        succeeded_at=in_utc(now),
    )
    return [requested, credited]


def record_manual(
    payment: Payment | None,
    *,
    payment_id: PaymentId,
    refund_id: RefundId,
    amount: Minor,
    reason: RefundReason,
    method: ManualMethod,
    reference: str,
    now: datetime,
) -> list[Event]:
    """Record that money went back without a provider: of any payment, also where its provider or its bank refuses to.

    The same refund again decides nothing. No authorisation has less to give back: what is refundable together is.

    Raises:
        PaymentUnknown: there is no such payment.
        AmountExceedsRefundable: less is there.
        RefundIdTaken: the id belongs to another refund.
        CardNumberGiven: the id or the reference does.
    """
    payment = known(payment, payment_id=payment_id)
    require_no_card_number(refund_id=refund_id, reference=reference)
    earlier = payment.refunds.get(refund_id)
    if earlier is not None:
        if (earlier.amount, earlier.number) == (amount, 0):
            return []
        raise RefundIdTaken(payment_id=payment_id, refund_id=refund_id)
    if not 0 < amount <= payment.refundable:
        raise AmountExceedsRefundable(payment_id=payment_id, amount=amount, refundable=payment.refundable)
    return [
        ManualRefundRecorded(
            payment_id=payment_id,
            order_id=payment.order_id,
            refund_id=refund_id,
            currency=payment.currency,
            amount=amount,
            reason=reason,
            method=method,
            reference=reference,
            recorded_at=in_utc(now),
        )
    ]


def record_refunded(payment: Payment | None, *, number: int, refund_ref: str, now: datetime) -> list[Event]:
    """Record that it went back; nothing if that refund has its outcome."""
    if payment is None or (pending := _numbered(payment, number)) is None:
        return []
    refund_id, movement = pending
    if movement.step is not MovementStep.PENDING:
        return []
    return [
        RefundSucceeded(
            payment_id=payment.payment_id,
            order_id=payment.order_id,
            refund_id=refund_id,
            currency=payment.currency,
            amount=movement.amount,
            to=movement.to,
            refund_ref=refund_ref,
            succeeded_at=in_utc(now),
        )
    ]


def record_refund_failed(payment: Payment | None, *, number: int, code: str, now: datetime) -> list[Event]:
    """Record that nothing went back; nothing if that refund has its outcome."""
    if payment is None or (pending := _numbered(payment, number)) is None:
        return []
    refund_id, movement = pending
    if movement.step is not MovementStep.PENDING:
        return []
    return [
        RefundFailed(
            payment_id=payment.payment_id,
            order_id=payment.order_id,
            refund_id=refund_id,
            currency=payment.currency,
            amount=movement.amount,
            code=without_card_numbers(code),
            failed_at=in_utc(now),
        )
    ]


def record_reversed(
    payment: Payment | None, *, payment_id: PaymentId, number: int, now: datetime
) -> list[Event]:
    """Record that a refund came back; nothing if that is known, or it never went to a provider.

    Raises:
        PaymentUnknown: there is no such payment.
        WebhookTooEarly: its success is not recorded yet.
    """
    payment = known(payment, payment_id=payment_id)
    found = _numbered(payment, number)
    if found is None or found[1].step is MovementStep.PENDING:
        raise WebhookTooEarly(payment_id=payment_id)
    refund_id, movement = found
    if movement.step is not MovementStep.DONE or movement.to == "store_credit":
        return []
    return [
        RefundReversed(
            payment_id=payment_id,
            order_id=payment.order_id,
            refund_id=refund_id,
            currency=payment.currency,
            amount=movement.amount,
            to=movement.to,
            reversed_at=in_utc(now),
        )
    ]


def _collected_by(payment: Payment, request: RefundRequest) -> str:
    """The authorisation that an amount goes back to: the one with the least left of those that have enough."""
    amount = request.amount
    shares = {
        auth_ref: left for auth_ref, left in payment.collected.items() if request.auth_ref in {None, auth_ref}
    }
    most = min(payment.refundable, max(shares.values(), default=0))
    if amount > most or amount <= 0:
        raise AmountExceedsRefundable(payment_id=payment.payment_id, amount=amount, refundable=Minor(most))
    return min((left, auth_ref) for auth_ref, left in shares.items() if left >= amount)[1]


def _numbered(payment: Payment, number: int) -> tuple[RefundId, Movement] | None:
    return next((each for each in payment.refunds.items() if each[1].number == number), None)
