import pytest
from msgspec.structs import replace

from counterfoil.testing.spec import folded
from domain.ids import LocationId
from domain.inventory import stock_item
from domain.inventory.locations import MAIN
from domain.inventory.stock_item import StockItem
from projections.inventory.views import (
    LocatedStock,
    StockBackorder,
    StockLevel,
    StockReservation,
    located_stock,
    stock_backorders,
    stock_level,
    stock_locations,
    stock_reservations,
)
from tests.examples import (
    NOW,
    ORDER,
    SKU,
    stock_adjusted,
    stock_received,
    stock_released,
    stock_reserved,
    stock_returned,
    stock_shipped,
)
from tests.histories import history
from tests.purchase_examples import (
    backorder_allocated,
    backorder_policy_set,
    backorder_recorded,
    backorder_released,
    location_set,
    reservation_lost,
    stock_located,
)

NORTH = LocationId("north")

TEN = stock_received(quantity=10)


def test_a_delivery_is_on_hand_and_available():
    level = StockLevel(SKU, on_hand=10, available=10, received=10)

    assert folded(stock_level, TEN) == {(SKU,): level}


def test_a_reserved_piece_is_on_hand_but_not_available():
    level = StockLevel(SKU, on_hand=10, reserved=3, available=7, received=10)

    assert folded(stock_level, TEN, stock_reserved(quantity=3)) == {(SKU,): level}


def test_a_released_piece_is_as_if_it_had_never_been_reserved():
    assert folded(stock_level, TEN) == folded(stock_level, TEN, stock_reserved(), stock_released())


def test_a_shipped_piece_is_gone():
    level = StockLevel(SKU, on_hand=7, available=7, received=10, shipped=3)

    assert folded(stock_level, TEN, stock_reserved(), stock_shipped()) == {(SKU,): level}


def test_corrections_are_summed_and_counted():
    level = StockLevel(SKU, on_hand=11, available=11, received=10, adjusted=1, adjustments=2)

    assert folded(stock_level, TEN, stock_adjusted(delta=-4), stock_adjusted(delta=5)) == {(SKU,): level}


def test_a_code_may_begin_with_a_correction_or_a_return():
    counted = StockLevel(SKU, on_hand=5, available=5, adjusted=5, adjustments=1)
    returned = StockLevel(SKU, on_hand=1, available=1, returned=1)

    assert folded(stock_level, stock_adjusted(delta=5)) == {(SKU,): counted}
    assert folded(stock_level, stock_returned(quantity=1)) == {(SKU,): returned}


def test_a_level_that_is_back_at_nothing_is_still_a_level():
    empty = StockLevel(SKU, received=3, shipped=3)

    assert folded(stock_level, stock_received(quantity=3), stock_reserved(), stock_shipped()) == {
        (SKU,): empty
    }


WAITS = (backorder_policy_set(), stock_received(quantity=1), stock_reserved(quantity=1), backorder_recorded())


def test_what_an_order_waits_for_is_reserved_once_it_came():
    came = stock_received(quantity=2), backorder_allocated(quantity=2)
    level = StockLevel(SKU, on_hand=3, reserved=3, received=3)
    reserved = StockReservation(sku=SKU, order_id=ORDER, quantity=3, reserved_at=stock_reserved().reserved_at)

    assert folded(stock_level, *WAITS, *came) == {(SKU,): level}
    assert folded(stock_reservations, *WAITS, *came) == {(SKU, ORDER): reserved}
    assert folded(stock_reservations, *WAITS[2:], *came, stock_shipped()) == {}
    alone = folded(stock_reservations, *came)
    assert 2 == alone[SKU, ORDER].quantity


def test_an_order_waits_until_it_has_all_its_pieces_or_gives_up():
    waits = StockBackorder(sku=SKU, order_id=ORDER, quantity=3, recorded_at=NOW)

    assert folded(stock_backorders, *WAITS) == {(SKU, ORDER): waits}
    assert folded(stock_backorders, *WAITS, backorder_allocated(quantity=1)) == {
        (SKU, ORDER): replace(waits, quantity=2)
    }
    assert folded(stock_backorders, *WAITS, backorder_allocated()) == {}
    assert folded(stock_backorders, *WAITS, backorder_released(), reservation_lost()) == {}


def test_pieces_lie_at_locations_and_what_is_nowhere_else_lies_at_the_main_one():
    there = {"location_id": NORTH, "order_id": ORDER, "on_hand": 0}
    events = (TEN, stock_received(quantity=3), stock_located(), stock_reserved(quantity=4))
    reserved = (*events, stock_located(**there, reserved=2))
    left = stock_located(**{**there, "on_hand": -2}, reserved=-2)

    assert {
        (SKU, MAIN): LocatedStock(SKU, MAIN, on_hand=10, reserved=2, available=8),
        (SKU, NORTH): LocatedStock(SKU, NORTH, on_hand=3, reserved=2, available=1),
    } == folded(located_stock, *reserved)
    assert {
        (SKU, MAIN): LocatedStock(SKU, MAIN, on_hand=8, available=8),
        (SKU, NORTH): LocatedStock(SKU, NORTH, on_hand=1, available=1),
    } == folded(located_stock, *reserved, stock_shipped(quantity=4), left)
    assert {NORTH: 2} == folded(stock_reservations, *reserved)[SKU, ORDER].elsewhere
    assert {} == folded(stock_reservations, *reserved, stock_shipped(quantity=4), left)


@pytest.mark.parametrize(
    ("came", "lie"), [((), {NORTH: 2}), ((stock_located(order_id=ORDER, on_hand=0, reserved=1),), {NORTH: 3})]
)
def test_pieces_that_come_in_leave_those_that_were_reserved_before_where_they_lie(came, lie):
    there = stock_located(order_id=ORDER, on_hand=0, reserved=2)
    before = stock_reserved(quantity=2), there, backorder_recorded(quantity=1)

    (row,) = folded(stock_reservations, *before, backorder_allocated(quantity=1), *came).values()

    assert (3, lie) == (row.quantity, row.elsewhere)


def test_what_is_sent_again_before_the_first_parcel_has_left_leaves_what_is_reserved_for_that():
    again = stock_reserved(quantity=3), stock_located(order_id=ORDER, on_hand=0, reserved=3)
    left = stock_shipped(quantity=3), stock_located(order_id=ORDER, on_hand=-3, reserved=-3)
    first = folded(stock_reservations, stock_reserved(quantity=3))

    assert 6 == folded(stock_reservations, stock_reserved(quantity=3), *again)[SKU, ORDER].quantity
    assert first == folded(stock_reservations, stock_reserved(quantity=3), *again, *left)
    assert {} == folded(stock_reservations, stock_reserved(quantity=3), *again, *left, stock_shipped())


def test_a_location_is_listed_as_it_was_set_last():
    (row,) = folded(stock_locations, location_set(), location_set(is_open=False)).values()

    assert (NORTH, 10, False) == (row.location_id, row.priority, row.is_open)


@pytest.mark.parametrize("seed", range(10))
def test_the_level_says_what_decisions_see(seed):
    log = history(seed)
    items: dict[str, StockItem] = {}
    for recorded in log:
        if recorded.stream.startswith("stock-"):
            items[recorded.stream] = stock_item.evolve(items.get(recorded.stream), recorded.event)
    levels = folded(stock_level, *(recorded.event for recorded in log))

    assert items
    assert {(item.sku, item.on_hand, item.reserved, item.available) for item in items.values()} == {
        (level.sku, level.on_hand, level.reserved, level.available) for level in levels.values()
    }


@pytest.mark.parametrize("seed", range(10))
def test_what_is_on_hand_is_explained_by_its_movements(seed):
    for level in folded(stock_level, *(recorded.event for recorded in history(seed))).values():
        assert level.on_hand == level.received + level.adjusted + level.returned - level.shipped
        assert level.available == level.on_hand - level.reserved
