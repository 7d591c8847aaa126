"""Orders are held and lifted, each reason for itself; one that lost its stock is held until that is replaced."""

from datetime import timedelta

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
from tests.purchase_examples import (
    backorder_filled,
    dispatch_overdue,
    hold_lifted,
    order_backordered,
    order_held,
    order_stock_lost,
    order_stock_replaced,
)

CONFIRMED = (placed(), confirmed())
WAITING = (*CONFIRMED, order_backordered(quantity=2), order_held(reason="stock"))
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


def lose_stock(*facts, sku=SKU, waits_for=0):
    return holding.lose_stock(after(*facts), order_id=ORDER, sku=sku, waits_for=waits_for, now=NOW)


def note_overdue(*facts):
    return holding.note_overdue(after(*facts), now=NOW)


def test_an_order_that_could_be_sent_is_overdue_as_often_as_it_waits_anew():
    lifted = hold_lifted(lifted_at=NOW + timedelta(days=1))
    again = dispatch_overdue(reminder=2, waiting_since=lifted.lifted_at)

    assert [dispatch_overdue()] == note_overdue(*CONFIRMED)
    assert [again] == note_overdue(*CONFIRMED, dispatch_overdue(), order_held(), lifted)


@pytest.mark.parametrize(
    "facts",
    [(placed(),), (*CONFIRMED, order_held()), (*CONFIRMED, shipped()), (*CONFIRMED, cancelled())],
    ids=["placed", "held", "shipped", "cancelled"],
)
def test_an_order_that_is_not_to_be_sent_is_not_overdue(facts):
    assert [] == note_overdue(*facts)


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


def test_an_order_that_is_shipped_is_refused_in_words_that_fit_a_loss():
    with pytest.raises(NotConfirmed, match=r"^Order '536365' is shipped; this needs a confirmed order\.$"):
        lose_stock(*CONFIRMED, shipped())


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
        ((*CONFIRMED, shipped()), SKU, NotConfirmed),
        (CONFIRMED, POSTAGE, NothingReserved),
        (CONFIRMED, "none", NothingReserved),
        (LOST, SKU, NothingReserved),
    ],
)
def test_only_what_is_reserved_for_a_confirmed_order_is_lost(facts, sku, refusal):
    with pytest.raises(refusal):
        lose_stock(*facts, sku=sku)


def fill(*facts, quantity=2, sku=SKU):
    return holding.fill_backorder(after(*facts), sku=sku, quantity=quantity, now=NOW)


@pytest.mark.parametrize("facts", [(placed(),), CONFIRMED])
def test_an_order_that_waits_for_pieces_is_held_until_it_has_all_of_them(facts):
    waits = holding.backorder(after(*facts), waits_for={SKU: 2}, now=NOW)

    assert [order_backordered(quantity=2), order_held(reason="stock")] == waits
    assert [backorder_filled(quantity=1)] == fill(*facts, *waits, quantity=1)
    assert [backorder_filled(quantity=2), hold_lifted(reason="stock")] == fill(*facts, *waits)
    assert [] == holding.backorder(after(*facts), waits_for={}, now=NOW)


def test_other_pieces_that_it_waits_for_or_has_lost_keep_it_held():
    assert [backorder_filled(quantity=2)] == fill(*WAITING, order_backordered(sku="other"))
    assert [backorder_filled(quantity=2)] == fill(*WAITING, order_stock_lost(sku="other"))


@pytest.mark.parametrize(
    "facts", [CONFIRMED, (*WAITING, cancelled()), (*WAITING, order_stock_lost(quantity=1)), LOST]
)
def test_an_order_that_does_not_wait_takes_nothing(facts):
    assert [] == fill(*facts)


def test_of_an_order_that_waits_only_what_is_reserved_is_lost_and_all_of_it_is_reserved_later():
    assert [order_stock_lost(quantity=1)] == lose_stock(*WAITING, waits_for=2)
    assert {} == after(*WAITING, order_stock_lost(quantity=1)).backordered
    with pytest.raises(NothingReserved):
        lose_stock(*WAITING, waits_for=3)
