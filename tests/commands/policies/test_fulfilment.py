"""What order fulfilment decides, and on which streams."""

import pytest

from commands.policies.fulfilment import (
    cancelled_reads,
    placed_reads,
    shipped_reads,
    when_order_cancelled,
    when_order_placed,
    when_order_shipped,
)
from commands.policies.policy import NOTHING, Decision, State, States, evolve
from domain.event import Event
from domain.inventory.stock_item import NotReserved
from domain.ordering.events import Shortage
from tests.examples import (
    LINES,
    NOW,
    SKU,
    cancelled,
    confirmed,
    placed,
    rejected,
    shipped,
    stock_received,
    stock_released,
    stock_reserved,
    stock_shipped,
)

ORDER_STREAM = "order-536365"
STOCK_STREAM = f"stock-{SKU}"


def after(*, order: tuple[Event, ...] = (), stock: tuple[Event, ...] = ()) -> States:
    """The states of the order and of its one stocked code after these facts."""
    states: dict[str, State | None] = {ORDER_STREAM: None, STOCK_STREAM: None}
    for stream, facts in ((ORDER_STREAM, order), (STOCK_STREAM, stock)):
        for fact in facts:
            states[stream] = evolve(stream, states[stream], fact)
    return states


def test_a_placed_order_reads_itself_and_each_stocked_code_once():
    assert placed_reads(placed()) == (ORDER_STREAM, STOCK_STREAM)


def test_a_placed_order_reserves_the_sum_of_its_lines_and_is_confirmed():
    states = after(order=(placed(),), stock=(stock_received(quantity=3),))

    decision = when_order_placed(placed(), states, NOW)

    assert Decision(events=((STOCK_STREAM, stock_reserved()), (ORDER_STREAM, confirmed()))) == decision


def test_two_lines_of_one_code_that_fit_one_by_one_but_not_together_are_rejected():
    states = after(order=(placed(),), stock=(stock_received(quantity=2),))

    decision = when_order_placed(placed(), states, NOW)

    missing = (Shortage(sku=SKU, requested=3, available=2),)
    assert (
        Decision(events=((ORDER_STREAM, rejected(missing=missing)),), refused_by=(STOCK_STREAM,)) == decision
    )


def test_what_is_promised_to_others_is_missing():
    states = after(order=(placed(),), stock=(stock_received(quantity=4), stock_reserved(quantity=3)))

    decision = when_order_placed(placed(), states, NOW)

    assert ((ORDER_STREAM, rejected()),) == decision.events


def test_a_code_that_never_arrived_is_missing():
    decision = when_order_placed(placed(), after(order=(placed(),)), NOW)

    missing = (Shortage(sku=SKU, requested=3, available=0),)
    assert ((ORDER_STREAM, rejected(missing=missing)),) == decision.events


def test_an_order_without_stocked_lines_is_just_confirmed():
    postage = placed(lines=(LINES[1],))
    states = {ORDER_STREAM: evolve(ORDER_STREAM, None, postage)}

    decision = when_order_placed(postage, states, NOW)

    assert [ORDER_STREAM] == [stream for stream, _ in decision.events]
    assert placed_reads(postage) == (ORDER_STREAM,)


@pytest.mark.parametrize("since", [(cancelled(was_confirmed=False),), (confirmed(),), (rejected(),)])
def test_an_order_that_is_no_longer_placed_is_left_as_it_is(since):
    states = after(order=(placed(), *since), stock=(stock_received(),))

    assert Decision(refused_by=(ORDER_STREAM,)) == when_order_placed(placed(), states, NOW)


def test_a_cancelled_order_releases_what_it_had_reserved():
    states = after(stock=(stock_received(), stock_reserved()))

    decision = when_order_cancelled(cancelled(), states, NOW)

    assert Decision(events=((STOCK_STREAM, stock_released()),)) == decision
    assert (STOCK_STREAM,) == cancelled_reads(cancelled())


def test_an_order_cancelled_before_it_was_confirmed_releases_nothing():
    early = cancelled(was_confirmed=False)

    assert NOTHING == when_order_cancelled(early, {}, NOW)
    assert () == cancelled_reads(early)


def test_a_shipped_order_turns_its_reservations_into_shipped_stock():
    states = after(stock=(stock_received(), stock_reserved()))

    decision = when_order_shipped(shipped(), states, NOW)

    assert Decision(events=((STOCK_STREAM, stock_shipped()),)) == decision
    assert (STOCK_STREAM,) == shipped_reads(shipped())


def test_stock_that_was_not_reserved_cannot_be_shipped():
    with pytest.raises(NotReserved):
        when_order_shipped(shipped(), after(stock=(stock_received(),)), NOW)
