"""What the process of an order decides about its payment, of which others gave something back before."""

import pytest

from domain.ids import RefundId
from domain.money import Minor
from domain.payments import ending
from tests.domain.payments.test_payment import CAPTURED, after
from tests.payment_examples import (
    NOW,
    TOTAL,
    manual_refund_recorded,
    refund_failed,
    refund_requested,
    refund_reversed,
    refund_succeeded,
)

PART = Minor(100)


def went(name, number, *outcomes):
    """A refund of a part, and what came of it."""
    asked = refund_requested(refund_id=RefundId(name), number=number, amount=PART, lines=())
    return (asked, *(each(refund_id=RefundId(name), amount=PART) for each in outcomes))


FAILED = [fact for n in (1, 2, 3) for fact in went(f"goodwill-{n}", n, refund_failed)]
CAME_BACK = went("goodwill-1", 1, refund_succeeded, refund_reversed)


@pytest.mark.parametrize(
    ("before", "rest"),
    [
        (FAILED, TOTAL),
        (CAME_BACK, TOTAL),
        ((*CAME_BACK, manual_refund_recorded(amount=PART)), TOTAL - PART),
        ((*FAILED, *went("goodwill-4", 4, refund_succeeded)), TOTAL - PART),
    ],
)
def test_all_that_is_left_is_given_back_whatever_came_of_refunds_that_staff_made_before(before, rest):
    payment = after(*CAPTURED, *before)

    (asked,) = ending.let_go(payment, now=NOW)

    assert (rest, f"cancelled~{len(payment.refunds) + 1}") == (asked.amount, asked.refund_id)


def test_nothing_more_is_asked_once_its_own_refund_came_back_or_failed_three_times():
    failed = [fact for n in (1, 2, 3) for fact in went(f"cancelled~{n}", n, refund_failed)]

    assert [] != ending.let_go(after(*CAPTURED, *failed[:4]), now=NOW)
    assert [] == ending.let_go(after(*CAPTURED, *failed), now=NOW)
    assert [] == ending.let_go(
        after(*CAPTURED, *went("cancelled~1", 1, refund_succeeded, refund_reversed)), now=NOW
    )
