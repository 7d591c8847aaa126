"""Decisions about chargebacks and webhooks: what the provider says without being asked."""

from datetime import datetime

from domain.event import Event
from domain.ids import DisputeId, KeyedHash, PaymentId, PspEventId
from domain.moment import in_utc
from domain.money import Minor
from domain.payments.events import (
    ChargebackLost,
    ChargebackOpened,
    ChargebackWon,
    DisputeReason,
    PspEventIngested,
)
from domain.payments.payment import MovementStep, Payment, known
from domain.payments.refusals import WebhookTooEarly


def ingest(
    payment: Payment | None,
    *,
    payment_id: PaymentId,
    psp_event_id: PspEventId,
    kind: str,
    digest: KeyedHash,
    now: datetime,
) -> list[Event]:
    """Take a webhook in, once; nothing if it was.

    Raises:
        PaymentUnknown: it is about a payment that there is not.
    """
    payment = known(payment, payment_id=payment_id)
    if psp_event_id in payment.ingested:
        return []
    return [
        PspEventIngested(
            payment_id=payment_id,
            order_id=payment.order_id,
            psp_event_id=psp_event_id,
            type=kind,
            hash=digest,
            ingested_at=in_utc(now),
        )
    ]


def record_opened(
    payment: Payment | None,
    *,
    payment_id: PaymentId,
    dispute_id: DisputeId,
    amount: Minor,
    reason: DisputeReason,
    now: datetime,
) -> list[Event]:
    """Record that a bank disputes an amount; nothing if that is known.

    Raises:
        PaymentUnknown: it is about a payment that there is not.
        WebhookTooEarly: so much is not recorded as captured, or a refund of it has no outcome yet.
    """
    payment = known(payment, payment_id=payment_id)
    if dispute_id in payment.disputes:
        return []
    if amount > payment.disputable or amount <= 0:
        raise WebhookTooEarly(payment_id=payment_id)
    return [
        ChargebackOpened(
            payment_id=payment_id,
            order_id=payment.order_id,
            dispute_id=dispute_id,
            currency=payment.currency,
            amount=amount,
            reason=reason,
            opened_at=in_utc(now),
        )
    ]


def record_closed(
    payment: Payment | None, *, payment_id: PaymentId, dispute_id: DisputeId, won: bool, now: datetime
) -> list[Event]:
    """Record how a dispute ended; nothing if that is known.

    Raises:
        PaymentUnknown: it is about a payment that there is not.
        WebhookTooEarly: the dispute is not recorded yet.
    """
    payment = known(payment, payment_id=payment_id)
    dispute = payment.disputes.get(dispute_id)
    if dispute is None:
        raise WebhookTooEarly(payment_id=payment_id)
    if dispute.step is not MovementStep.PENDING:
        return []
    if won:
        return [
            ChargebackWon(
                payment_id=payment_id,
                order_id=payment.order_id,
                dispute_id=dispute_id,
                currency=payment.currency,
                amount=dispute.amount,
                won_at=in_utc(now),
            )
        ]
    return [
        ChargebackLost(
            payment_id=payment_id,
            order_id=payment.order_id,
            dispute_id=dispute_id,
            currency=payment.currency,
            amount=dispute.amount,
            lost_at=in_utc(now),
        )
    ]
