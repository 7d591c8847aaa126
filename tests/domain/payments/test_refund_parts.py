"""The parts of a refund are those of its order, and go back once."""

import pytest
from msgspec.structs import replace

from domain.money import Minor
from domain.payments import refunding
from domain.payments.events import RefundedLine
from domain.payments.payment import Movement, MovementStep
from domain.payments.refunding import Ordered, OrderedLine, RefundRequest
from domain.payments.refusals import RefundBeyondOrder
from tests.payment_examples import ORDER, REFUND, TOTAL

LINES = tuple(
    OrderedLine(pieces=pieces, total=Minor(total), is_shipping=is_shipping)
    for pieces, total, is_shipping in ((2, 510, False), (1, 255, False), (1, 500, True))
)
ORDERED = Ordered(order_id=ORDER, lines=LINES)


def parts(*lines, shipping=0):
    """So many pieces of lines, each for so much, and shipping."""
    named = tuple(
        RefundedLine(line_id=each, quantity=pieces, amount=Minor(*amount or (1,)))
        for each, pieces, *amount in lines
    )
    return {"lines": named, "shipping": Minor(shipping)}


def back(*lines, shipping=0):
    """A refund of that."""
    return RefundRequest(refund_id=REFUND, amount=TOTAL, reason="return", **parts(*lines, shipping=shipping))


def went(step, *lines, shipping=0):
    """An earlier refund of that, and what came of it."""
    return Movement(amount=TOTAL, step=step, **parts(*lines, shipping=shipping))


@pytest.mark.parametrize(
    ("asked", "beyond"),
    [
        (back((1, 3)), ("line 1",)),
        (back((1, 1), (1, 2)), ("line 1",)),
        (back((3, 1), (4, 1)), ("line 4",)),
        (back(shipping=501), ("shipping",)),
        (back((9, 1), (1, 9), shipping=501), ("line 1", "line 9", "shipping")),
        (back((1, 1, 300), (1, 1, 211)), ("line 1",)),
        (back((3, 1, 1), shipping=500), ("shipping",)),
    ],
)
def test_a_refund_is_for_lines_pieces_and_shipping_that_were_ordered(asked, beyond):
    refunding.require_ordered(back((1, 2, 510), (2, 1, 255), (3, 1, 200), shipping=300), ORDERED)
    with pytest.raises(RefundBeyondOrder) as refused:
        refunding.require_ordered(asked, ORDERED)
    assert beyond == refused.value.parts


@pytest.mark.parametrize("step", [MovementStep.PENDING, MovementStep.DONE])
@pytest.mark.parametrize(
    ("before", "asked", "beyond"),
    [
        (((2, 1),), back((2, 1)), ("line 2",)),
        (((1, 1),), back((1, 2)), ("line 1",)),
        (((1, 1, 500),), back((1, 1, 11)), ("line 1",)),
        (((3, 1, 500),), back(shipping=1), ("shipping",)),
        (((3, 1, 500),), back((3, 1)), ("line 3", "shipping")),
    ],
)
def test_parts_that_went_back_or_are_about_to_do_not_go_back_again(step, before, asked, beyond):
    with pytest.raises(RefundBeyondOrder) as refused:
        refunding.require_ordered(asked, replace(ORDERED, refunds=(went(step, *before),)))

    assert beyond == refused.value.parts


def test_shipping_goes_back_once_as_such_or_as_its_lines():
    before = replace(ORDERED, refunds=(went(MovementStep.DONE, shipping=400),))

    refunding.require_ordered(back(shipping=100), before)
    refunding.require_ordered(back((1, 2)), before)
    for asked in (back(shipping=101), back((3, 1, 101))):
        with pytest.raises(RefundBeyondOrder):
            refunding.require_ordered(asked, before)


def test_what_is_left_of_a_line_goes_back_and_all_of_it_where_a_refund_failed_or_came_back():
    refunds = (
        went(MovementStep.DONE, (1, 1, 255)),
        went(MovementStep.FAILED, (1, 1), (2, 1, 255), shipping=500),
        went(MovementStep.REVERSED, (2, 1, 255)),
        went(MovementStep.DONE),
    )

    refunding.require_ordered(back((1, 1, 255), (2, 1, 255), shipping=500), replace(ORDERED, refunds=refunds))


def test_a_line_of_which_too_much_went_back_before_that_was_counted_keeps_no_other_from_it():
    twice = went(MovementStep.DONE, (2, 2, 510), (3, 1, 501))

    refunding.require_ordered(back((1, 2, 510)), replace(ORDERED, refunds=(twice,)))
