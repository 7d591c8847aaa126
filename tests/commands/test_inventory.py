"""POST /v1/stock/{sku}/receipts and /stock/{sku}/adjustments."""

import pytest

from tests.examples import product_created, stock_adjusted, stock_received, stock_reserved

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
