"""What the process of an order decides about its payment: that all of it is collected, or nothing.

Each decides what can be done now, and nothing while an outcome is awaited: it is decided again then.
"""

from datetime import datetime
from typing import Final

from domain.event import Event
from domain.ids import PART_SEPARATOR, CaptureId, RefundId
from domain.money import Minor
from domain.payments import authorising, capturing, refunding
from domain.payments.payment import OPEN, MovementStep, Payment, Status
from domain.payments.refunding import RefundRequest
from domain.payments.store_credit import CLOCKS_DIFFER_BY

TRIES_MAX: Final = 3
"""Voids of a payment, and failed refunds to one of its authorisations, that nobody looked at in between."""

_REFUND: Final = f"cancelled{PART_SEPARATOR}"
"""Ids of refunds that are requested here begin with it, and no others: people's own ids have no separator."""


def collect(payment: Payment, *, now: datetime) -> list[Event]:
    """Have the provider take the rest; what is not held any more is to be held first.

    Nothing where that cannot be: the payment is closed, or its method was declined for good (`is_declined`).
    """
    is_open = payment.status in OPEN or payment.capturing > 0
    if is_open or payment.status in {Status.VOIDING, Status.VOIDED} or payment.captured == payment.amount:
        return []
    if is_declined(payment):
        return []
    held_again = authorising.authorise(payment, payment_id=payment.payment_id, method_ref=None, now=now)
    if held_again:
        return held_again
    return capturing.capture(
        payment,
        payment_id=payment.payment_id,
        capture_id=CaptureId(f"shipped~{len(payment.captures) + 1}"),
        amount=None,
        shipment_id=None,
        now=now,
    )


def is_declined(payment: Payment) -> bool:
    """Whether nothing more of it is collected before somebody names another method: this one was declined for good."""
    return payment.status is Status.DECLINED and not payment.is_retryable


def let_go(payment: Payment, *, now: datetime) -> list[Event]:
    """Have the provider release what it holds, and give back what it took; where to send what came back, people say.

    Each authorisation gets back what it collected, and one whose refund failed or came back does not keep the others
    from theirs. Only what came of refunds that were requested here counts: one of staff that failed or came back
    before, such as one of goodwill, says nothing about these, and people saw to it. What was taken by hand goes back by
    hand.
    """
    if payment.status in OPEN or payment.status is Status.MANUAL or payment.capturing > 0:
        return []
    events: list[Event] = []
    if payment.voids < TRIES_MAX:
        events += authorising.void(payment, payment_id=payment.payment_id, now=now)
    share = None if payment.refunding else _share(payment)
    if share is not None:
        auth_ref, amount = share
        request = RefundRequest(
            refund_id=RefundId(f"{_REFUND}{len(payment.refunds) + 1}"),
            amount=amount,
            reason="cancellation",
            auth_ref=auth_ref,
        )
        events += refunding.refund(payment, payment_id=payment.payment_id, request=request, now=now)
    return events


def _share(payment: Payment) -> tuple[str, Minor] | None:
    """The largest share that an authorisation may still get back, with the authorisation; None: there is none."""
    steps: dict[str, list[MovementStep]] = {}
    for refund_id, refund in payment.refunds.items():
        if refund_id.startswith(_REFUND):
            steps.setdefault(refund.auth_ref, []).append(refund.step)
    refused = {
        auth_ref
        for auth_ref, came in steps.items()
        if MovementStep.REVERSED in came or came.count(MovementStep.FAILED) >= TRIES_MAX
    }
    shares = [
        (min(payment.refundable, left), auth_ref)
        for auth_ref, left in payment.collected.items()
        if auth_ref not in refused
    ]
    amount, auth_ref = max(shares, default=(Minor(0), ""))
    return (auth_ref, amount) if amount > 0 else None


def renew(payment: Payment, *, now: datetime) -> list[Event]:
    """Have what is not held any more held again, in time for it to be collected; nothing while it is held.

    A timer that is set for its end may come a little early, by this clock, and is not set again: so it counts as over.
    """
    if payment.status not in {Status.AUTHORISED, Status.EXPIRED}:
        return []
    if payment.expires_at is not None and now >= payment.expires_at - CLOCKS_DIFFER_BY:
        now = max(now, payment.expires_at)
    return authorising.authorise(payment, payment_id=payment.payment_id, method_ref=None, now=now)
