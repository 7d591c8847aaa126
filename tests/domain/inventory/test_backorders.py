"""Orders wait for pieces that are not there, up to a limit, and get them in the order in which they began to wait."""

from typing import Any

import hypothesis
from hypothesis import strategies as st

from counterfoil.testing.spec import Decide, given
from domain.ids import OrderId
from domain.inventory import stock_item
from domain.inventory.events import BackorderAllocated, BackorderRecorded
from domain.inventory.stock_item import StockItem
from domain.inventory.stock_refusals import InsufficientStock
from tests.examples import (
    NOTE,
    NOW,
    ORDER,
    SKU,
    stock_received,
    stock_released,
    stock_reserved,
    stock_returned,
)
from tests.purchase_examples import (
    backorder_allocated,
    backorder_policy_set,
    backorder_recorded,
    backorder_released,
    reservation_lost,
)

FIRST, SECOND = OrderId("first"), OrderId("second")
POLICY = backorder_policy_set(limit=5)
THREE = stock_received(quantity=3)
WAITING = (
    POLICY,
    backorder_recorded(order_id=FIRST, quantity=2),
    backorder_recorded(order_id=SECOND, quantity=3),
)


def promise(quantity: int, order_id: OrderId = ORDER) -> tuple[Decide, dict[str, Any]]:
    return stock_item.promise, {"sku": SKU, "order_id": order_id, "quantity": quantity, "now": NOW}


def release(quantity: int, order_id: OrderId = ORDER) -> tuple[Decide, dict[str, Any]]:
    inputs = {"sku": SKU, "order_id": order_id, "quantity": quantity, "reason": "cancelled", "now": NOW}
    return stock_item.release, inputs


def receive(quantity: int) -> tuple[Decide, dict[str, Any]]:
    return stock_item.receive, {"sku": SKU, "quantity": quantity, "reference": "delivery 7", "now": NOW}


def adjust(delta: int) -> tuple[Decide, dict[str, Any]]:
    inputs = {"sku": SKU, "delta": delta, "reason": "count", "note": "", "now": NOW}
    return stock_item.adjust, inputs


def limit(pieces: int) -> tuple[Decide, dict[str, Any]]:
    return stock_item.set_backorder_limit, {"sku": SKU, "limit": pieces, "now": NOW}


def when(facts: Any, move: tuple[Decide, dict[str, Any]]) -> Any:
    decision, inputs = move
    return given(*facts).when(decision, **inputs)


def test_the_limit_is_set_and_set_again_only_to_another():
    when((), limit(5)).then(POLICY)
    when((POLICY,), limit(5)).then()
    when((POLICY,), limit(0)).then(backorder_policy_set(limit=0))
    when((), limit(0)).then()


def test_an_order_gets_what_is_there_and_waits_for_the_rest():
    when((THREE, POLICY), promise(3)).then(stock_reserved(quantity=3))
    when((THREE, POLICY), promise(5)).then(
        stock_reserved(quantity=3), backorder_recorded(order_id=ORDER, quantity=2)
    )
    when((POLICY,), promise(5)).then(backorder_recorded(order_id=ORDER, quantity=5))


def test_no_more_is_promised_than_there_is_and_may_be_waited_for():
    when((THREE, POLICY), promise(9)).then_refused(InsufficientStock, requested=9, available=8)
    when((THREE,), promise(4)).then_refused(InsufficientStock, requested=4, available=3)
    when((), promise(1)).then_refused(InsufficientStock, requested=1, available=0)
    when(WAITING, promise(1)).then_refused(InsufficientStock, requested=1, available=0)
    lower = (*WAITING, backorder_policy_set(limit=1))
    when(lower, promise(1)).then_refused(InsufficientStock, requested=1, available=0)


def test_what_comes_in_goes_to_the_order_that_waits_longest():
    first = backorder_allocated(order_id=FIRST, quantity=2)

    when(WAITING, receive(3)).then(THREE, first, backorder_allocated(order_id=SECOND, quantity=1))
    when(WAITING, receive(9)).then(
        stock_received(quantity=9), first, backorder_allocated(order_id=SECOND, quantity=3)
    )


def test_whatever_makes_pieces_available_serves_those_that_wait():
    served = backorder_allocated(order_id=FIRST, quantity=1)
    returned = {"credit_note_id": NOTE, "quantity": 1, "disposition": "sellable", "now": NOW}
    of_another = stock_reserved(order_id=ORDER, quantity=1)

    assert served == when(WAITING, adjust(1)).decided[-1]
    given(*WAITING).when(stock_item.return_, sku=SKU, **returned).then(stock_returned(quantity=1), served)
    when((stock_received(quantity=1), of_another, *WAITING), release(1)).then(
        stock_released(quantity=1), served
    )


def test_an_order_that_is_off_waits_no_more_and_what_it_had_goes_to_the_next():
    off = backorder_released(order_id=FIRST, quantity=2)
    partly = (
        stock_received(quantity=1),
        POLICY,
        stock_reserved(order_id=FIRST, quantity=1),
        *WAITING[1:],
    )

    when(WAITING, release(2, FIRST)).then(off)
    when(partly, release(3, FIRST)).then(
        off, stock_released(order_id=FIRST, quantity=1), backorder_allocated(order_id=SECOND, quantity=1)
    )


def test_an_order_that_loses_its_pieces_leaves_the_queue():
    partly = (stock_received(quantity=1), stock_reserved(order_id=FIRST, quantity=1), *WAITING)
    inputs = {"sku": SKU, "order_id": FIRST, "quantity": 1, "now": NOW}

    given(*partly).when(stock_item.lose, **inputs).then(
        reservation_lost(order_id=FIRST, quantity=1),
        backorder_released(order_id=FIRST, quantity=2, reason="lost"),
    )


orders = st.sampled_from([OrderId(f"o{number}") for number in range(6)])
steps = st.one_of(
    st.integers(1, 12).map(receive),
    st.integers(-6, 6).map(adjust),
    st.integers(0, 9).map(limit),
    st.tuples(st.integers(1, 6), orders).map(lambda each: promise(*each)),
    orders.map(lambda order_id: release(0, order_id)),
)


@hypothesis.given(st.lists(steps, max_size=60))
def test_nobody_waits_while_there_is_a_piece_and_the_oldest_order_is_served_first(sequence):
    item, demands = StockItem(SKU, 0, 0), {}
    for decision, inputs in sequence:
        order_id = inputs.get("order_id")
        if order_id is not None and (decision is stock_item.promise) is (order_id in demands):
            continue  # an order has one demand, and is off once
        wanted = inputs if order_id not in demands else {**inputs, "quantity": demands.pop(order_id)}
        try:
            events = decision(item, **wanted)
        except InsufficientStock:
            continue
        if decision is stock_item.promise:
            demands[order_id] = wanted["quantity"]
        for event in events:
            if isinstance(event, BackorderAllocated):
                assert event.order_id == item.backorders[0].order_id
            item = stock_item.evolve(item, event)
            if isinstance(event, BackorderRecorded):
                assert waiting_in(item) <= item.backorder_limit

        assert 0 <= item.reserved <= item.on_hand
        assert not (item.available and item.backorders)
        assert sum(demands.values()) == item.reserved + waiting_in(item)


def waiting_in(item: StockItem) -> int:
    return sum(each.quantity for each in item.backorders)
