"""Money that went back by hand, or to store credit: once, no more than there is, and the provider has it still."""

import pytest

from domain.ids import RefundId
from domain.payments import disputes, refunding
from domain.payments.refusals import (
    AmountExceedsRefundable,
    CardNumberGiven,
    PaymentUnknown,
    RefundIdTaken,
    WebhookTooEarly,
)
from tests.domain.payments.test_payment import CAPTURED, HELD, IT, VISA, after, part, refund
from tests.payment_examples import (
    DISPUTE,
    REFUND,
    TILL,
    TOTAL,
    chargeback_lost,
    chargeback_opened,
    manual_payment_recorded,
    manual_refund_recorded,
    refund_failed,
    refund_requested,
    refund_succeeded,
)


def test_what_went_back_by_hand_is_recorded_once_of_any_payment():
    failed = (*CAPTURED, refund_requested(), refund_failed())
    of_it = {**IT, "refund_id": RefundId("transfer-1"), "amount": TOTAL, "reason": "return"}
    by_hand = {**of_it, "method": "bank_transfer", "reference": "statement 9"}

    def recorded(*facts, **given):
        return refunding.record_manual(after(*facts), **by_hand | given)

    assert [manual_refund_recorded()] == recorded(*failed)
    assert [] == recorded(*failed, manual_refund_recorded())
    assert [manual_refund_recorded(payment_id=TILL)] == recorded(manual_payment_recorded(), payment_id=TILL)
    for refusal, refused in (
        (PaymentUnknown, recorded),
        (AmountExceedsRefundable, lambda: recorded(*HELD)),
        (
            AmountExceedsRefundable,
            lambda: recorded(*failed, manual_refund_recorded(), refund_id=RefundId("2")),
        ),
        (RefundIdTaken, lambda: recorded(*failed, refund_id=REFUND)),
        (
            RefundIdTaken,
            lambda: refund(*CAPTURED, manual_refund_recorded(), refund_id=RefundId("transfer-1")),
        ),
        (AmountExceedsRefundable, lambda: refund(*CAPTURED, manual_refund_recorded(), request=part(1, 1))),
        (CardNumberGiven, lambda: recorded(*failed, reference=VISA)),
    ):
        with pytest.raises(refusal):
            refused()


def test_a_bank_disputes_what_was_refunded_to_store_credit_or_by_hand_too():
    """The provider has it still, and takes it: a webhook that is refused as too early would come for ever."""
    credited = (*CAPTURED, refund_requested(to="store_credit"), refund_succeeded(to="store_credit"))
    asked = {"dispute_id": DISPUTE, "amount": TOTAL, "reason": "fraud", **IT}

    assert [chargeback_opened()] == disputes.record_opened(after(*credited), **asked)
    assert [chargeback_opened()] == disputes.record_opened(
        after(*CAPTURED, manual_refund_recorded()), **asked
    )
    assert 0 == after(*credited, chargeback_opened(), chargeback_lost()).refundable
    with pytest.raises(WebhookTooEarly):
        disputes.record_opened(after(*CAPTURED, refund_requested(), refund_succeeded()), **asked)
