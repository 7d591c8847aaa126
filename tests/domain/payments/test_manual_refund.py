"""Money that went back by hand: of any payment, once, and no more than there is."""

import pytest

from domain.ids import RefundId
from domain.payments import refunding
from domain.payments.refusals import AmountExceedsRefundable, CardNumberGiven, PaymentUnknown, RefundIdTaken
from tests.domain.payments.test_payment import CAPTURED, HELD, IT, VISA, after, part, refund
from tests.payment_examples import (
    REFUND,
    TILL,
    TOTAL,
    manual_payment_recorded,
    manual_refund_recorded,
    refund_failed,
    refund_requested,
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
