"""Orders are held and lifted, each reason for itself; one that lost its stock is held until that is replaced."""

import pytest

from domain.ordering import holding
from domain.ordering.holding import NothingReserved
from domain.ordering.order import (
    AlreadyCancelled,
    AlreadyRejected,
    AlreadyShipped,
    NotConfirmed,
    OrderUnknown,
    evolve,
)
from tests.examples import NOW, ORDER, POSTAGE, SKU, cancelled, confirmed, placed, rejected, shipped
from tests.purchase_examples import hold_lifted, order_held, order_stock_lost, order_stock_replaced

CONFIRMED = (placed(), confirmed())
LOST = (*CONFIRMED, order_stock_lost(), order_held(reason="stock"))


def after(*events):
    state = None
    for event in events:
        state = evolve(state, event)
    return state


def hold(*facts, reason="payment"):
    return holding.hold(after(*facts), order_id=ORDER, reason=reason, now=NOW)


def lift(*facts, reason="payment"):
    return holding.lift(after(*facts), order_id=ORDER, reason=reason, now=NOW)


def lose_stock(*facts, sku=SKU):
    return holding.lose_stock(after(*facts), order_id=ORDER, sku=sku, now=NOW)


@pytest.mark.parametrize("facts", [(placed(),), CONFIRMED, (*CONFIRMED, order_held(reason="fraud"))])
def test_an_order_is_held_before_it_is_shipped_for_each_reason_once(facts):
    assert [order_held()] == hold(*facts)
    assert [] == hold(*facts, order_held())
    assert [order_held()] == hold(*facts, order_held(), hold_lifted())


def test_the_hold_of_a_reason_is_lifted_once():
    held = (*CONFIRMED, order_held(), order_held(reason="fraud"))

    assert [hold_lifted()] == lift(*held)
    assert [] == lift(*held, hold_lifted())
    assert [] == lift(*CONFIRMED)
    assert [] == lift(*held, cancelled()), "there is nothing to ship"


@pytest.mark.parametrize(
    ("facts", "refusal"),
    [
        ((), OrderUnknown),
        ((*CONFIRMED, shipped()), AlreadyShipped),
        ((placed(), rejected()), AlreadyRejected),
        ((*CONFIRMED, cancelled()), AlreadyCancelled),
    ],
)
def test_what_is_not_to_be_shipped_is_not_held(facts, refusal):
    with pytest.raises(refusal):
        hold(*facts)


def test_no_hold_of_an_order_that_there_is_not_is_lifted():
    with pytest.raises(OrderUnknown):
        lift()


def test_an_order_that_loses_its_stock_is_held_until_it_is_replaced():
    assert [order_stock_lost(), order_held(reason="stock")] == lose_stock(*CONFIRMED)
    assert [order_stock_lost()] == lose_stock(*CONFIRMED, order_held(reason="stock")), "it is held already"
    assert [] == holding.reserved_for(after(*LOST))
    assert [order_stock_replaced()] == holding.replace_stock(after(*LOST), now=NOW)
    assert [SKU] == [each.sku for each in holding.reserved_for(after(*LOST, order_stock_replaced()))]


@pytest.mark.parametrize(
    ("facts", "sku", "refusal"),
    [
        ((), SKU, OrderUnknown),
        ((placed(),), SKU, NotConfirmed),
        ((*CONFIRMED, cancelled()), SKU, NotConfirmed),
        (CONFIRMED, POSTAGE, NothingReserved),
        (CONFIRMED, "none", NothingReserved),
        (LOST, SKU, NothingReserved),
    ],
)
def test_only_what_is_reserved_for_a_confirmed_order_is_lost(facts, sku, refusal):
    with pytest.raises(refusal):
        lose_stock(*facts, sku=sku)
