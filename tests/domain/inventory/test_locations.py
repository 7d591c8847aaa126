"""Stock lies at locations: orders are planned over the open ones, and give back where they took."""

from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from counterfoil.testing.spec import Decide, given
from domain.ids import LocationId, OrderId
from domain.inventory import locations as locating
from domain.inventory import stock_item
from domain.inventory.locations import LOCATIONS_MAX, MAIN, LocationClosed, LocationUnknown, TooManyLocations
from domain.inventory.stock_item import Pieces, StockItem
from domain.inventory.stock_refusals import InsufficientStock, NotReserved
from tests.examples import (
    NOW,
    ORDER,
    SKU,
    stock_adjusted,
    stock_received,
    stock_released,
    stock_reserved,
    stock_shipped,
)
from tests.purchase_examples import (
    backorder_allocated,
    backorder_policy_set,
    backorder_recorded,
    location_set,
    reservation_lost,
    stock_located,
)

NORTH, SOUTH = LocationId("north"), LocationId("south")
EVERYWHERE = (MAIN, NORTH, SOUTH)
STOCKED = (
    stock_received(quantity=2),
    stock_received(quantity=3),
    stock_located(),
    stock_received(quantity=1),
    stock_located(location_id=SOUTH, on_hand=1),
)
"""Two pieces at the main location, three in the north, one in the south."""


def after(*events):
    locations = None
    for event in events:
        locations = locating.evolve(locations, event)
    return locations


def set_north(*facts, priority=10, is_open=True):
    inputs = {"location_id": NORTH, "priority": priority, "is_open": is_open, "now": NOW}
    return given(*facts).when(locating.set_location, **inputs)


def test_a_location_is_set_and_set_again_only_to_something_else():
    set_north().then(location_set())
    set_north(location_set()).then()
    set_north(location_set(), is_open=False).then(location_set(is_open=False))


def test_there_are_only_so_many_locations():
    many = [location_set(location_id=LocationId(f"l{number}")) for number in range(LOCATIONS_MAX - 1)]

    set_north(*many).then_refused(TooManyLocations, limit=LOCATIONS_MAX)
    set_north(*many[1:], location_set(), priority=3).then(location_set(priority=3))


def test_orders_are_planned_over_the_open_locations_by_priority():
    south, main = {"location_id": SOUTH}, {"location_id": MAIN}

    assert [MAIN] == locating.open_locations(None)
    assert [MAIN, NORTH, SOUTH] == locating.open_locations(after(location_set(**south), location_set()))
    assert [SOUTH, MAIN] == locating.open_locations(
        after(
            location_set(**south, priority=0), location_set(**main, priority=1), location_set(is_open=False)
        )
    )


def test_only_an_open_location_takes_deliveries():
    locating.require_open(None, MAIN)
    with pytest.raises(LocationUnknown):
        locating.require_open(None, NORTH)
    with pytest.raises(LocationClosed):
        locating.require_open(after(location_set(is_open=False)), NORTH)
    locating.require_known(after(location_set(is_open=False)), NORTH)


def inputs(quantity: int, **more: Any) -> dict[str, Any]:
    return {"sku": SKU, "order_id": ORDER, "quantity": quantity, "now": NOW, **more}


def taken(quantity: int, at: LocationId = NORTH, **more: Any) -> Any:
    return stock_located(location_id=at, order_id=ORDER, on_hand=0, reserved=quantity, **more)


@pytest.mark.parametrize(
    ("quantity", "elsewhere"),
    [
        (2, []),
        (3, [taken(3)]),
        (4, [taken(2)]),
        (6, [taken(3), taken(1, SOUTH)]),
    ],
)
def test_pieces_are_taken_from_one_location_if_one_has_all_and_else_from_one_after_the_other(
    quantity, elsewhere
):
    reserved = stock_reserved(quantity=quantity)

    result = given(*STOCKED).when(stock_item.promise, **inputs(quantity), locations=EVERYWHERE)

    result.then(reserved, *elsewhere)


def test_what_lies_at_a_closed_location_is_promised_to_nobody():
    result = given(*STOCKED).when(stock_item.promise, **inputs(4), locations=(MAIN, SOUTH))

    result.then_refused(InsufficientStock, requested=4, available=3)


SPLIT = (*STOCKED, stock_reserved(quantity=4), taken(2))


def test_what_an_order_had_is_given_back_or_leaves_where_it_lies():
    back, gone = (
        taken(-2),
        stock_located(order_id=ORDER, on_hand=-2, reserved=-2),
    )

    given(*SPLIT).when(stock_item.release, **inputs(4, reason="cancelled")).then(
        stock_released(quantity=4), back
    )
    given(*SPLIT).when(stock_item.ship, **inputs(4)).then(stock_shipped(quantity=4), gone)
    given(*SPLIT).when(stock_item.lose, **inputs(4)).then(reservation_lost(quantity=4), back)


def test_the_books_are_corrected_at_a_location_and_no_reserved_piece_of_it_is_removed():
    correction = {"sku": SKU, "reason": "count", "note": "", "at": NORTH, "now": NOW}

    given(*SPLIT).when(stock_item.adjust, **correction, delta=-1).then(
        stock_adjusted(delta=-1, reason="count", note=""), stock_located(on_hand=-1)
    )
    given(*SPLIT).when(stock_item.adjust, **correction, delta=-2).then_refused(
        InsufficientStock, requested=2, available=1
    )


WAITS = (backorder_policy_set(), backorder_recorded(quantity=2))


def test_what_comes_in_anywhere_goes_to_those_that_wait():
    delivery = {"sku": SKU, "quantity": 3, "reference": "delivery 7", "at": NORTH, "now": NOW}

    given(*WAITS).when(stock_item.receive, **delivery, locations=EVERYWHERE).then(
        stock_received(quantity=3), stock_located(), backorder_allocated(quantity=2), taken(2)
    )


def test_those_that_wait_come_first_where_a_location_was_opened():
    other = {**inputs(3), "order_id": OrderId("other")}
    closed = (*WAITS, stock_received(quantity=3), stock_located())

    given(*closed).when(stock_item.promise, **other, locations=EVERYWHERE).then(
        backorder_allocated(quantity=2),
        taken(2),
        stock_reserved(quantity=1, order_id=OrderId("other")),
        stock_located(order_id=OrderId("other"), on_hand=0, reserved=1),
        backorder_recorded(order_id=OrderId("other"), quantity=2),
    )


places = st.sampled_from(EVERYWHERE)
opened = st.permutations(EVERYWHERE).flatmap(lambda each: st.integers(1, 3).map(lambda count: each[:count]))
orders = st.sampled_from([OrderId(f"o{number}") for number in range(5)])
kinds = st.sampled_from(["receive", "adjust", "promise", "release", "ship", "lose"])


@hypothesis.given(
    st.integers(0, 4), st.lists(st.tuples(kinds, orders, st.integers(1, 6), places, opened), max_size=50)
)
def test_what_holds_for_all_pieces_holds_at_each_location(limit, sequence):
    item, demands = StockItem(SKU, 0, 0, backorder_limit=limit), {}
    for kind, order_id, quantity, place, locations in sequence:
        if kind not in {"receive", "adjust"} and (kind == "promise") is (order_id in demands):
            continue
        if kind in {"ship", "lose"} and item.waiting(order_id):
            continue
        decision, asked = _asked(kind, order_id, demands.get(order_id, quantity), place, locations)
        try:
            events = decision(item, **asked)
        except (InsufficientStock, NotReserved):
            continue
        if kind == "promise":
            demands[order_id] = quantity
        elif kind not in {"receive", "adjust"}:
            demands.pop(order_id)
        for event in events:
            item = stock_item.evolve(item, event)

        pieces = [item.at(each) for each in EVERYWHERE]
        assert all(0 <= each.reserved <= each.on_hand for each in pieces)
        assert Pieces(item.on_hand, item.reserved) == Pieces(
            sum(each.on_hand for each in pieces), sum(each.reserved for each in pieces)
        )
        assert set(item.reserved_elsewhere) <= set(demands)


def _asked(
    kind: str, order_id: OrderId, quantity: int, place: LocationId, locations: Any
) -> tuple[Decide, dict[str, Any]]:
    common = {"sku": SKU, "now": NOW}
    planned = {**common, "order_id": order_id, "quantity": quantity}
    match kind:
        case "receive":
            asked = {"quantity": quantity, "reference": "", "at": place, "locations": locations}
            return stock_item.receive, common | asked
        case "adjust":
            delta = {"delta": -quantity, "reason": "count", "note": "", "at": place, "locations": locations}
            return stock_item.adjust, common | delta
        case "promise":
            return stock_item.promise, {**planned, "locations": locations}
        case "release":
            return stock_item.release, {**planned, "reason": "cancelled", "locations": locations}
        case "ship":
            return stock_item.ship, planned
    return stock_item.lose, planned
