"""Pieces became available where a location was opened: the order that waits gets them first."""

import pytest

from commands import lost_parcels, stock_losses
from counterfoil.testing.spec import given_streams, state_of
from domain.ids import OrderId
from domain.inventory.locations import ALL, LOCATIONS
from domain.inventory.stock_item import STOCK
from domain.inventory.stock_refusals import InsufficientStock
from domain.ordering.order import ORDER as ORDERS
from domain.shipping.shipment import SHIPMENT
from tests.examples import (
    NOW,
    ORDER,
    SKU,
    confirmed,
    label_bought,
    label_requested,
    placed,
    stock_received,
    stock_reserved,
)
from tests.purchase_examples import (
    backorder_allocated,
    backorder_policy_set,
    backorder_recorded,
    location_set,
    order_held,
    order_stock_lost,
    parcel_lost,
    stock_located,
)

OLDER = OrderId("older")
LOST = state_of(ORDERS, placed(), confirmed(), order_stock_lost(), order_held(reason="stock"))
PARCEL = state_of(SHIPMENT, label_requested(), label_bought(), parcel_lost())


def reserve_again(view):
    return stock_losses.reserve_again(LOST, view, order_id=ORDER, now=NOW)


def send_again(view):
    return lost_parcels.settle(PARCEL, view, order_id=ORDER, remedy="replacement", now=NOW)


def opened(pieces):
    """So many pieces at a location that was opened, behind an order that waits for 3."""
    stock = (
        backorder_policy_set(),
        backorder_recorded(order_id=OLDER, quantity=3),
        stock_received(quantity=pieces),
        stock_located(on_hand=pieces),
    )
    return given_streams((LOCATIONS, ALL, location_set()), *((STOCK, SKU, each) for each in stock)).view


@pytest.mark.parametrize("ask", [reserve_again, send_again])
def test_an_order_gets_pieces_again_once_those_that_wait_have_theirs(ask):
    decided = ask(opened(6))

    of_stock = [event for aggregate, _, event in decided.events if aggregate is STOCK]
    assert [
        backorder_allocated(order_id=OLDER),
        stock_located(order_id=OLDER, on_hand=0, reserved=3),
        stock_reserved(),
        stock_located(order_id=ORDER, on_hand=0, reserved=3),
    ] == of_stock[:4]


@pytest.mark.parametrize("ask", [reserve_again, send_again])
def test_an_order_gets_no_pieces_again_that_an_older_order_waits_for(ask):
    with pytest.raises(InsufficientStock) as refused:
        ask(opened(5))

    assert (3, 2) == (refused.value.requested, refused.value.available)
