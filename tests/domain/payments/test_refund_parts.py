"""The parts of a refund are those of its order."""

import pytest

from domain.money import Minor
from domain.payments import refunding
from domain.payments.events import RefundedLine
from domain.payments.refunding import Ordered, RefundRequest
from domain.payments.refusals import RefundBeyondOrder
from tests.payment_examples import ORDER, REFUND, TOTAL

ORDERED = Ordered(order_id=ORDER, pieces=(2, 1, 1), shipping=Minor(500))


def back(*lines, shipping=0):
    """A refund of so many pieces of lines, and of shipping."""
    named = tuple(RefundedLine(line_id=each, quantity=pieces, amount=Minor(1)) for each, pieces in lines)
    return RefundRequest(
        refund_id=REFUND, amount=TOTAL, lines=named, shipping=Minor(shipping), reason="return"
    )


@pytest.mark.parametrize(
    ("asked", "beyond"),
    [
        (back((1, 3)), ("line 1",)),
        (back((1, 1), (1, 2)), ("line 1",)),
        (back((3, 1), (4, 1)), ("line 4",)),
        (back(shipping=501), ("shipping",)),
        (back((9, 1), (1, 9), shipping=501), ("line 1", "line 9", "shipping")),
    ],
)
def test_a_refund_is_for_lines_pieces_and_shipping_that_were_ordered(asked, beyond):
    refunding.require_ordered(back((1, 2), (2, 1), (3, 1), shipping=500), ORDERED)
    with pytest.raises(RefundBeyondOrder) as refused:
        refunding.require_ordered(asked, ORDERED)
    assert beyond == refused.value.parts
