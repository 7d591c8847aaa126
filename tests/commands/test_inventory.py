"""POST /v1/stock/{sku}/receipts, /adjustments, /losses and /backorder-policy."""

import pytest

from domain.inventory.stock_item import STOCK
from tests.examples import (
    NOW,
    confirmed,
    placed,
    product_created,
    shipped,
    stock_adjusted,
    stock_received,
    stock_reserved,
)
from tests.purchase_examples import (
    backorder_allocated,
    backorder_policy_set,
    backorder_recorded,
    hold_lifted,
    location_set,
    order_backordered,
    order_held,
    order_stock_lost,
    order_stock_replaced,
    reservation_lost,
    stock_located,
)

pytestmark = pytest.mark.anyio

DELIVERY = {"quantity": 10, "reference": "delivery 7"}


async def test_a_delivery_is_taken_in(given):
    shop = await given(product_created())

    answer = await shop.post("/v1/stock/85123A/receipts", DELIVERY)

    answer.then_accepted(stream="stock-85123A", version=1)
    assert "http://127.0.0.1:8081/v1/stock/85123A" == answer.headers["location"]
    assert [stock_received()] == shop.events("stock-85123A")


async def test_deliveries_add_up_in_the_order_they_came(given):
    shop = await given(product_created(), stock_received())

    answer = await shop.post("/v1/stock/85123A/receipts", {"quantity": 5})

    answer.then_accepted(stream="stock-85123A", version=2)
    assert [stock_received(), stock_received(quantity=5, reference="")] == shop.events("stock-85123A")


async def test_the_books_are_corrected(given):
    shop = await given(product_created(), stock_received())

    answer = await shop.post(
        "/v1/stock/85123A/adjustments", {"delta": -1, "reason": "damage", "note": "dropped"}
    )

    answer.then_accepted(stream="stock-85123A", version=2)
    assert [stock_received(), stock_adjusted()] == shop.events("stock-85123A")


async def test_pieces_that_are_promised_cannot_be_written_off(given):
    shop = await given(product_created(), stock_received(quantity=10), stock_reserved(quantity=3))

    answer = await shop.post("/v1/stock/85123A/adjustments", {"delta": -8, "reason": "loss"})

    answer.then_refused(409, "insufficient-stock", sku="85123A", requested=8, available=7)


async def test_what_is_lost_of_reserved_pieces_holds_their_order_until_there_are_others(given):
    shop = await given(product_created(), stock_received(), placed(), stock_reserved(), confirmed())
    loss = {"quantity": 8, "reason": "damage", "note": "dropped", "order_ids": ["536365"]}
    lift, path = {"reason": "stock"}, "/v1/orders/536365/hold-liftings"

    (await shop.post("/v1/stock/85123A/losses", loss)).then_accepted(stream="stock-85123A", version=4)
    assert [reservation_lost(), stock_adjusted(delta=-8)] == shop.events("stock-85123A")[2:]
    held = [order_stock_lost(), order_held(reason="stock")]
    assert held == shop.events("order-536365")[2:]
    (await shop.post("/v1/stock/85123A/losses", loss)).then_refused(409, "nothing-reserved")
    (await shop.post("/v1/orders/536365/shipment")).then_refused(409, "order-is-held", reasons=["stock"])
    (await shop.post(path, lift)).then_refused(409, "insufficient-stock", requested=3, available=2)

    await shop.post("/v1/stock/85123A/receipts", {"quantity": 1})
    (await shop.post(path, lift)).then_accepted(stream="order-536365", version=6)
    (await shop.post("/v1/orders/536365/shipment")).then_accepted(stream="order-536365", version=7)
    assert stock_reserved(reserved_at=NOW) == shop.events("stock-85123A")[-1]
    assert [order_stock_replaced(), hold_lifted(reason="stock"), shipped()] == shop.events("order-536365")[4:]


async def test_orders_may_wait_for_pieces_up_to_a_limit_and_get_what_comes_in(given):
    waits = backorder_recorded(quantity=2)
    shop = await given(product_created(), placed(), waits, confirmed(), order_backordered(quantity=2))

    policy = await shop.post("/v1/stock/85123A/backorder-policy", {"limit": 20})
    policy.then_accepted(stream="stock-85123A", version=2)
    await shop.post("/v1/stock/85123A/receipts", DELIVERY)
    arrived = [backorder_policy_set(), stock_received(), backorder_allocated(quantity=2)]
    assert arrived == shop.events("stock-85123A")[1:]
    too_many = await shop.post("/v1/stock/85123A/backorder-policy", {"limit": 1_001})
    too_many.then_refused(422, "validation-failed")


async def test_an_order_that_waits_for_pieces_is_not_let_go_without_them(given):
    held = order_held(reason="stock")
    shop = await given(placed(), confirmed(), order_backordered(quantity=2), held)

    answer = await shop.post("/v1/orders/536365/hold-liftings", {"reason": "stock"})

    answer.then_refused(409, "insufficient-stock", sku="85123A", requested=2, available=0)


async def test_stock_comes_in_is_corrected_and_is_lost_at_a_location(given):
    north = {"location_id": "north"}
    there = stock_located(order_id="536365", on_hand=0, reserved=3)
    shop = await given(product_created(), placed(), confirmed())
    setting = await shop.post("/v1/locations/north", {"priority": 10, "is_open": True})
    setting.then_accepted(stream="locations-all", version=1)

    (await shop.post("/v1/stock/85123A/receipts", {**DELIVERY, **north})).then_accepted(
        stream="stock-85123A", version=2
    )
    await shop.record((STOCK, "85123A", stock_reserved()), (STOCK, "85123A", there))
    correction = {"delta": -8, "reason": "count", **north}
    too_much = await shop.post("/v1/stock/85123A/adjustments", correction)
    too_much.then_refused(409, "insufficient-stock", requested=8, available=7)
    loss = {"quantity": 8, "reason": "damage", "note": "dropped", "order_ids": ["536365"], **north}
    (await shop.post("/v1/stock/85123A/losses", loss)).then_accepted(stream="stock-85123A", version=8)

    assert [location_set()] == shop.events("locations-all")
    assert [
        stock_received(),
        stock_located(on_hand=10),
        stock_reserved(),
        there,
        reservation_lost(),
        stock_located(order_id="536365", on_hand=0, reserved=-3),
        stock_adjusted(delta=-8),
        stock_located(on_hand=-8),
    ] == shop.events("stock-85123A")


async def test_a_correction_by_nothing_is_accepted_and_records_nothing(given):
    shop = await given(product_created(), stock_received())

    answer = await shop.post("/v1/stock/85123A/adjustments", {"delta": 0, "reason": "count"})

    answer.then_accepted(stream="stock-85123A", version=1)
    assert 2 == shop.position == answer.body["position"]


async def test_a_correction_by_nothing_of_stock_that_never_moved_stays_at_version_0(given):
    shop = await given(product_created())

    answer = await shop.post("/v1/stock/85123A/adjustments", {"delta": 0, "reason": "count"})

    answer.then_accepted(stream="stock-85123A", version=0)
    assert 0 == answer.body["position"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/stock/85123A/receipts", DELIVERY),
        ("/v1/stock/85123A/adjustments", {"delta": 1, "reason": "count"}),
    ],
)
async def test_only_a_stocked_product_has_stock(given, path, body):
    shop = await given(product_created(stocked=False))

    (await shop.post(path, body)).then_refused(409, "not-stocked", sku="85123A")
    (await shop.post(path.replace("85123A", "else"), body)).then_refused(404, "product-unknown", sku="else")
