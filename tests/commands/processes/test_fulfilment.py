"""What order fulfilment decides, and on which streams."""

import pytest

from commands.decision import Decision
from commands.processes.fulfilment import (
    FULFILMENT,
    fill,
    give_up,
    order_and_stock,
    release,
    reserve,
    reserved_stock,
    ship,
    shipped_stock,
    waiting_order,
)
from commands.processes.process import Rejected
from commands.processes.reserving import release_all, released_for
from counterfoil.testing.spec import given_streams
from domain.inventory.locations import ALL, LOCATIONS
from domain.inventory.stock_item import STOCK
from domain.inventory.stock_refusals import NotReserved
from domain.ordering.events import ReleasedSku, Shortage
from domain.ordering.order import ORDER
from domain.ordering.purchase import PURCHASE
from domain.payments.payment import PAYMENT
from domain.pricing.redemption import REDEMPTION
from tests.cart_examples import line_off, promotion_off
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
from tests.pricing_examples import coupon_redeemed, redemption_released
from tests.purchase_examples import (
    backorder_allocated,
    backorder_filled,
    backorder_policy_set,
    backorder_recorded,
    backorder_released,
    hold_lifted,
    order_backordered,
    order_held,
    order_stock_lost,
    reservation_lost,
)

PLACES = (LOCATIONS, ALL)
PAID = [(PURCHASE, ORDER_ID), (PAYMENT, ORDER_ID)]
COUPON = (REDEMPTION, ORDER_ID)
CHEAPER = placed(discounts=(line_off(195),), promotions=(promotion_off(195),))
USED = coupon_redeemed(redemption_id=ORDER_ID)


def test_a_placed_order_reads_itself_and_each_stocked_code_once():
    assert [(ORDER, ORDER_ID), (STOCK, SKU), PLACES] == list(order_and_stock(placed()))


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


def test_what_is_not_there_is_waited_for_as_far_as_it_may_be_backordered():
    one, two = stock_received(quantity=1), {"quantity": 2}
    view = after(order=(placed(),), stock=(one, backorder_policy_set(limit=2)))

    decision = reserve(placed(), view, NOW)

    of_stock = (stock_reserved(quantity=1), backorder_recorded(**two))
    of_order = (confirmed(), order_backordered(**two), order_held(reason="stock"))
    stock, order = [(STOCK, SKU, each) for each in of_stock], [(ORDER, ORDER_ID, each) for each in of_order]
    assert Decision((*stock, *order)) == decision
    less = after(order=(placed(),), stock=(one, backorder_policy_set(limit=1)))
    missing = (Shortage(sku=SKU, requested=3, available=2),)
    assert Rejected(((ORDER, ORDER_ID, rejected(missing=missing)),)) == reserve(placed(), less, NOW)


def test_an_order_hears_of_pieces_that_it_waited_for():
    waits = (placed(), confirmed(), order_backordered(), order_held(reason="stock"))

    decision = fill(backorder_allocated(), after(order=waits), NOW)

    heard = (backorder_filled(), hold_lifted(reason="stock"))
    assert Decision(tuple((ORDER, ORDER_ID, each) for each in heard)) == decision
    assert Rejected() == fill(backorder_allocated(), after(order=(*waits, cancelled())), NOW)
    assert [(ORDER, ORDER_ID)] == list(waiting_order(backorder_allocated()))


def test_a_purchase_that_waited_says_what_was_released_of_what_it_had():
    stock = (stock_received(quantity=1), stock_reserved(quantity=1), backorder_recorded(quantity=2))

    decided = release_all(ORDER_ID, cancelled().skus, after(stock=stock), reason="cancelled", now=NOW)

    events = [backorder_released(quantity=2), stock_released(quantity=1)]
    assert events == [event for _, _, event in decided]
    assert [ReleasedSku(sku=SKU, quantity=1)] == released_for(ORDER_ID, decided)


def test_an_order_without_stocked_lines_is_just_confirmed():
    postage = placed(lines=(LINES[1],))

    decision = reserve(postage, after(order=(postage,)), NOW)

    assert [(ORDER, ORDER_ID)] == [(aggregate, identifier) for aggregate, identifier, _ in decision.events]
    given_streams((ORDER, ORDER_ID, postage)).when(FULFILMENT, postage, now=NOW).then(*decision.events)
    assert [(ORDER, ORDER_ID)] == list(order_and_stock(postage))


@pytest.mark.parametrize("since", [(cancelled(was_confirmed=False),), (confirmed(),), (rejected(),)])
def test_an_order_that_is_no_longer_placed_is_left_as_it_is(since):
    view = after(order=(placed(), *since), stock=(stock_received(),))

    assert Rejected() == reserve(placed(), view, NOW)


def test_a_cancelled_order_releases_what_it_had_reserved():
    off = (placed(), confirmed(), cancelled())
    view = after(order=off, stock=(stock_received(), stock_reserved()))

    decision = release(cancelled(), view, NOW)

    assert Decision(((STOCK, SKU, stock_released()),)) == decision
    assert [(ORDER, ORDER_ID), *PAID, COUPON, PLACES, (STOCK, SKU)] == list(reserved_stock(cancelled()))


def test_a_cancelled_order_releases_nothing_of_what_it_has_lost():
    off = (placed(), confirmed(), order_stock_lost(), order_held(reason="stock"), cancelled())
    others = (stock_received(), stock_reserved(), reservation_lost(), stock_reserved(order_id="another"))

    assert Decision() == release(cancelled(), after(order=off, stock=others), NOW)


def test_an_order_cancelled_before_it_was_confirmed_releases_nothing():
    early = cancelled(was_confirmed=False)

    assert Decision() == release(early, after(), NOW)


def released(reason):
    return redemption_released(redemption_id=ORDER_ID, reason=reason)


@pytest.mark.parametrize(("why", "reason"), [("customer", "cancelled"), ("expired", "expired")])
def test_a_cancelled_order_releases_its_coupon_once(why, reason):
    early = cancelled(was_confirmed=False, reason=why)

    assert Decision(((*COUPON, released(reason)),)) == release(early, after(redemption=(USED,)), NOW)
    assert Decision() == release(early, after(redemption=(USED, released(reason))), NOW)


def test_a_coupon_that_another_order_used_under_that_id_is_not_released():
    of_another = coupon_redeemed(redemption_id=ORDER_ID, order_id="another")

    assert Decision() == release(cancelled(was_confirmed=False), after(redemption=(of_another,)), NOW)


def test_an_order_that_is_rejected_releases_its_coupon_in_the_same_append():
    view = after(order=(CHEAPER,), redemption=(USED,))

    for_want_of_stock, undecided = (
        reserve(CHEAPER, view, NOW),
        give_up(view.current(ORDER, ORDER_ID), view, NOW),
    )

    for decision in (for_want_of_stock, undecided):
        assert [ORDER, REDEMPTION] == [aggregate for aggregate, _, _ in decision.events]
        assert (*COUPON, released("rejected")) == decision.events[1]
    assert [(ORDER, ORDER_ID), (STOCK, SKU), PLACES, COUPON] == list(order_and_stock(CHEAPER))


def test_a_shipped_order_makes_its_reservations_shipped_stock():
    view = after(stock=(stock_received(), stock_reserved()))

    decision = ship(shipped(), view, NOW)

    assert Decision(((STOCK, SKU, stock_shipped()),)) == decision
    assert [(STOCK, SKU), *PAID] == list(shipped_stock(shipped()))


def test_stock_that_was_not_reserved_cannot_be_shipped():
    with pytest.raises(NotReserved):
        ship(shipped(), after(stock=(stock_received(),)), NOW)
