from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from counterfoil.testing.spec import Decide, given
from domain.inventory import stock_item
from domain.inventory.stock_item import StockItem
from domain.inventory.stock_refusals import InsufficientStock, NotReserved
from domain.quantity import QUANTITY_MAX, QuantityOutOfRange
from domain.rejection import Rejection
from tests.examples import (
    NOTE,
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
from tests.purchase_examples import reservation_lost

Move = tuple[Decide, dict[str, Any]]

TEN = stock_received(quantity=10)


def receive(quantity: int) -> Move:
    return (stock_item.receive, {"sku": SKU, "quantity": quantity, "reference": "", "now": NOW})


def adjust(delta: int) -> Move:
    return (stock_item.adjust, {"sku": SKU, "delta": delta, "reason": "count", "note": "", "now": NOW})


def reserve(quantity: int) -> Move:
    return (stock_item.reserve, {"sku": SKU, "order_id": ORDER, "quantity": quantity, "now": NOW})


def release(quantity: int) -> Move:
    inputs = {"sku": SKU, "order_id": ORDER, "quantity": quantity, "reason": "cancelled", "now": NOW}
    return (stock_item.release, inputs)


def lose(quantity: int) -> Move:
    return (stock_item.lose, {"sku": SKU, "order_id": ORDER, "quantity": quantity, "now": NOW})


def ship(quantity: int) -> Move:
    return (stock_item.ship, {"sku": SKU, "order_id": ORDER, "quantity": quantity, "now": NOW})


def return_(quantity: int) -> Move:
    inputs = {
        "sku": SKU,
        "credit_note_id": NOTE,
        "quantity": quantity,
        "disposition": "sellable",
        "now": NOW,
    }
    return (stock_item.return_, inputs)


def test_a_delivery_is_received():
    given().when(stock_item.receive, sku=SKU, quantity=10, reference="delivery 7", now=NOW).then(TEN)


@pytest.mark.parametrize("quantity", [0, -1, QUANTITY_MAX + 1])
def test_a_delivery_is_a_number_of_pieces(quantity):
    decision, inputs = receive(quantity)

    given().when(decision, **inputs).then_refused(QuantityOutOfRange, quantity=quantity, limit=QUANTITY_MAX)


def test_the_books_are_corrected_up_and_down():
    for delta in (-10, 3):
        decision, inputs = adjust(delta)

        given(TEN).when(decision, **inputs).then(stock_adjusted(delta=delta, reason="count", note=""))


def test_a_code_that_was_never_received_can_be_found_in_a_count():
    decision, inputs = adjust(3)

    given().when(decision, **inputs).then(stock_adjusted(delta=3, reason="count", note=""))


def test_a_correction_by_nothing_changes_nothing():
    decision, inputs = adjust(0)

    given(TEN).when(decision, **inputs).then()


@pytest.mark.parametrize("delta", [-QUANTITY_MAX - 1, QUANTITY_MAX + 1])
def test_a_correction_has_a_limit_both_ways(delta):
    decision, inputs = adjust(delta)

    given(TEN).when(decision, **inputs).then_refused(QuantityOutOfRange, quantity=delta)


def test_a_promised_piece_cannot_be_written_off():
    decision, inputs = adjust(-8)

    given(TEN, stock_reserved(quantity=3)).when(decision, **inputs).then_refused(
        InsufficientStock, sku=SKU, requested=8, available=7
    )


def test_available_pieces_are_reserved():
    decision, inputs = reserve(7)

    given(TEN, stock_reserved(quantity=3)).when(decision, **inputs).then(stock_reserved(quantity=7))


def test_a_piece_is_not_promised_twice():
    decision, inputs = reserve(8)

    given(TEN, stock_reserved(quantity=3)).when(decision, **inputs).then_refused(
        InsufficientStock, sku=SKU, requested=8, available=7
    )


def test_nothing_can_be_reserved_of_a_code_without_stock():
    decision, inputs = reserve(1)

    given().when(decision, **inputs).then_refused(InsufficientStock, requested=1, available=0)


def test_a_released_piece_is_available_again():
    released, inputs = release(3)
    again, wanted = reserve(10)

    given(TEN, stock_reserved()).when(released, **inputs).then(stock_released())
    given(TEN, stock_reserved(), stock_released()).when(again, **wanted).then(stock_reserved(quantity=10))


def test_a_promise_that_is_lost_leaves_its_pieces_to_the_correction():
    lost, inputs = lose(3)
    corrected, correction = adjust(-8)

    given(TEN, stock_reserved()).when(lost, **inputs).then(reservation_lost())
    given(TEN, stock_reserved(), reservation_lost()).when(corrected, **correction).then(
        stock_adjusted(delta=-8, reason="count", note="")
    )


def test_reserved_pieces_are_shipped():
    decision, inputs = ship(3)

    given(TEN, stock_reserved()).when(decision, **inputs).then(stock_shipped())


@pytest.mark.parametrize("move", [ship, release, lose])
def test_no_more_is_shipped_released_or_lost_than_is_reserved(move):
    decision, inputs = move(4)

    given(TEN, stock_reserved(quantity=3)).when(decision, **inputs).then_refused(
        NotReserved, sku=SKU, requested=4, reserved=3
    )
    given().when(decision, **inputs).then_refused(NotReserved, requested=4, reserved=0)


def test_a_returned_piece_can_be_sold_again():
    returned, inputs = return_(1)
    again, wanted = reserve(1)

    given().when(returned, **inputs).then(stock_returned())
    given(stock_returned()).when(again, **wanted).then(stock_reserved(quantity=1))


amounts = st.integers(1, 40)
moves = st.one_of(
    amounts.map(receive),
    st.integers(-40, 40).map(adjust),
    amounts.map(reserve),
    amounts.map(release),
    amounts.map(lose),
    amounts.map(ship),
    amounts.map(return_),
)


@hypothesis.given(st.lists(moves, max_size=60))
def test_whatever_is_decided_in_whatever_order_nothing_is_oversold(sequence):
    item = None
    for decision, inputs in sequence:
        try:
            facts = decision(item, **inputs)
        except Rejection:
            continue
        for event in facts:
            item = stock_item.evolve(item, event)
            assert 0 <= item.reserved <= item.on_hand


def would_oversell(item: StockItem, decision: Decide, inputs: dict[str, Any]) -> bool:
    if decision is stock_item.adjust:
        return bool(-inputs["delta"] > item.available)
    if decision is stock_item.reserve:
        return bool(inputs["quantity"] > item.available)
    if decision in (stock_item.ship, stock_item.release, stock_item.lose):
        return bool(inputs["quantity"] > item.reserved)
    return False


@hypothesis.given(st.lists(moves, max_size=60))
def test_a_decision_refuses_exactly_what_would_oversell(sequence):
    item = StockItem(SKU, 0, 0)
    for decision, inputs in sequence:
        expected = would_oversell(item, decision, inputs)
        try:
            facts, refused = decision(item, **inputs), False
        except (InsufficientStock, NotReserved):
            facts, refused = [], True
        assert expected == refused
        for event in facts:
            item = stock_item.evolve(item, event)
