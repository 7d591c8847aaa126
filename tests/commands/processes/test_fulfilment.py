"""What order fulfilment decides, and on which streams."""

import pytest

from commands.decision import Decision
from commands.processes.fulfilment import (
    order_and_stock,
    release,
    reserve,
    reserved_stock,
    ship,
    shipped_stock,
)
from commands.processes.process import Rejected
from domain.inventory.stock_item import STOCK, NotReserved
from domain.ordering.events import Shortage
from domain.ordering.order import ORDER
from domain.ordering.purchase import PURCHASE
from domain.payments.payment import PAYMENT
from tests.commands.processes.viewing import ORDER_ID, after
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

PAID = [(PURCHASE, ORDER_ID), (PAYMENT, ORDER_ID)]


def test_a_placed_order_reads_itself_and_each_stocked_code_once():
    assert [(ORDER, ORDER_ID), (STOCK, SKU)] == list(order_and_stock(placed()))


def test_a_placed_order_reserves_the_sum_of_its_lines_and_is_confirmed():
    view = after(order=(placed(),), stock=(stock_received(quantity=3),))

    decision = reserve(placed(), view, NOW)

    assert Decision(((STOCK, SKU, stock_reserved()), (ORDER, ORDER_ID, confirmed()))) == decision


def test_two_lines_of_one_sku_that_fit_one_by_one_but_not_together_are_rejected():
    view = after(order=(placed(),), stock=(stock_received(quantity=2),))

    decision = reserve(placed(), view, NOW)

    missing = (Shortage(sku=SKU, requested=3, available=2),)
    assert Rejected(((ORDER, ORDER_ID, rejected(missing=missing)),)) == decision


def test_what_is_promised_to_others_is_missing():
    view = after(order=(placed(),), stock=(stock_received(quantity=4), stock_reserved(quantity=3)))

    decision = reserve(placed(), view, NOW)

    assert ((ORDER, ORDER_ID, rejected()),) == decision.events


def test_a_sku_that_never_arrived_is_missing():
    decision = reserve(placed(), after(order=(placed(),)), NOW)

    missing = (Shortage(sku=SKU, requested=3, available=0),)
    assert ((ORDER, ORDER_ID, rejected(missing=missing)),) == decision.events


def test_an_order_without_stocked_lines_is_just_confirmed():
    postage = placed(lines=(LINES[1],))

    decision = reserve(postage, after(order=(postage,)), NOW)

    assert [(ORDER, ORDER_ID)] == [(aggregate, identifier) for aggregate, identifier, _ in decision.events]
    assert [(ORDER, ORDER_ID)] == list(order_and_stock(postage))


@pytest.mark.parametrize("since", [(cancelled(was_confirmed=False),), (confirmed(),), (rejected(),)])
def test_an_order_that_is_no_longer_placed_is_left_as_it_is(since):
    view = after(order=(placed(), *since), stock=(stock_received(),))

    assert Rejected() == reserve(placed(), view, NOW)


def test_a_cancelled_order_releases_what_it_had_reserved():
    view = after(stock=(stock_received(), stock_reserved()))

    decision = release(cancelled(), view, NOW)

    assert Decision(((STOCK, SKU, stock_released()),)) == decision
    assert [*PAID, (STOCK, SKU)] == list(reserved_stock(cancelled()))


def test_an_order_cancelled_before_it_was_confirmed_releases_nothing():
    early = cancelled(was_confirmed=False)

    assert Decision() == release(early, after(), NOW)


def test_a_shipped_order_makes_its_reservations_shipped_stock():
    view = after(stock=(stock_received(), stock_reserved()))

    decision = ship(shipped(), view, NOW)

    assert Decision(((STOCK, SKU, stock_shipped()),)) == decision
    assert [(STOCK, SKU), *PAID] == list(shipped_stock(shipped()))


def test_stock_that_was_not_reserved_cannot_be_shipped():
    with pytest.raises(NotReserved):
        ship(shipped(), after(stock=(stock_received(),)), NOW)
