"""POST /v1/products and /v1/products/{sku}/price."""

import uuid

import pytest

from domain.catalogue.events import ProductCreated
from tests.examples import price_changed, product_created

pytestmark = pytest.mark.anyio

NEW = {
    "sku": "85123A",
    "title": "WHITE HANGING HEART T-LIGHT HOLDER",
    "stocked": True,
    "unit_price": "2.55",
    "currency": "GBP",
}


async def test_a_product_is_created_under_the_shops_own_code(shop):
    answer = await shop.post("/v1/products", NEW)

    answer.then_accepted(stream="product-85123A", version=1)
    assert {"stream": "product-85123A", "version": 1, "position": 1, "id": "85123A"} == answer.body
    assert "http://127.0.0.1:8081/v1/products/85123A" == answer.headers["location"]
    assert [product_created()] == shop.events("product-85123A")


async def test_a_product_without_a_code_gets_a_uuid_of_version_7(shop):
    answer = await shop.post("/v1/products", {"title": "Lantern", "stocked": False})

    sku = uuid.UUID(answer.body["id"])
    assert (7, uuid.RFC_4122) == (sku.version, sku.variant)
    [created] = shop.events(f"product-{sku}")
    assert isinstance(created, ProductCreated)
    assert (None, None) == (created.unit_price, created.currency)


async def test_a_code_is_taken_once(given):
    shop = await given(product_created())

    (await shop.post("/v1/products", NEW)).then_refused(409, "sku-taken", sku="85123A")
    assert 1 == shop.position


async def test_a_list_price_needs_its_currency(shop):
    answer = await shop.post("/v1/products", {"sku": "A", "title": "A", "stocked": True, "unit_price": "1"})

    answer.then_refused(422, "price-without-currency")


async def test_a_price_is_changed(given):
    shop = await given(product_created())

    answer = await shop.post("/v1/products/85123A/price", {"unit_price": "2.95", "currency": "GBP"})

    answer.then_accepted(stream="product-85123A", version=2)
    assert [product_created(), price_changed()] == shop.events("product-85123A")


@pytest.mark.parametrize("price", ["2.55", "2.550"])
async def test_the_price_it_has_already_is_accepted_and_records_nothing(given, price):
    shop = await given(product_created())

    answer = await shop.post("/v1/products/85123A/price", {"unit_price": price, "currency": "GBP"})

    answer.then_accepted(stream="product-85123A", version=1)
    assert 1 == answer.body["position"] == shop.position


async def test_an_unknown_product_has_no_price_to_change(shop):
    answer = await shop.post("/v1/products/85123A/price", {"unit_price": "2.95", "currency": "GBP"})

    answer.then_refused(404, "product-unknown", sku="85123A")
