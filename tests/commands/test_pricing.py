"""Prices and tax rates over HTTP, and quotes, which are computed from them and record nothing."""

from datetime import timedelta

import pytest

from domain.ids import PriceId
from domain.money import UnitPrice
from tests.examples import NOW, product_created
from tests.pricing_examples import price_retired, price_set, tax_rate_set

pytestmark = pytest.mark.anyio

PRICES = "/v1/products/85123A/prices"
RETAIL = {"price_id": "p-2", "list_id": "retail", "unit_price": "1.75", "currency": "GBP"}
CART = {
    "currency": "GBP",
    "jurisdiction": "GB",
    "list_id": "retail",
    "lines": [{"sku": "85123A", "quantity": 6}],
}
TOMORROW = NOW + timedelta(days=1)


async def quoted(shop, **changes):
    return await shop.post("/v1/quotes", {**CART, **changes}, key=None)


def cart_line(**changes):
    return {"lines": [{**CART["lines"][0], **changes}]}


async def test_a_price_is_set_in_a_list_of_a_product(given):
    shop = await given(product_created())

    (await shop.post(PRICES, RETAIL)).then_accepted(stream="price-85123A", version=1)
    assert [price_set(price_id=PriceId("p-2"), unit_price=UnitPrice("1.75"), valid_from=NOW)] == shop.events(
        "price-85123A"
    )


async def test_prices_of_one_tier_that_overlap_are_refused(given):
    shop = await given(product_created(), price_set())

    (await shop.post(PRICES, RETAIL)).then_refused(409, "overlapping-price", overlaps="p-1")
    (await shop.post(PRICES, {**RETAIL, "min_quantity": 12})).then_accepted(stream="price-85123A", version=2)


async def test_a_window_that_ends_before_it_begins_is_refused(given):
    shop = await given(product_created())

    for until in (NOW, NOW - timedelta(days=1)):
        (await shop.post(PRICES, {**RETAIL, "valid_until": until.isoformat()})).then_refused(
            422, "empty-window"
        )
    (await shop.post("/v1/products/none/prices", RETAIL)).then_refused(404, "product-unknown")


async def test_a_price_is_retired_and_another_one_set(given):
    shop = await given(product_created(), price_set())

    retired = await shop.post("/v1/products/85123A/price-retirements", {"price_id": "p-1"})
    retired.then_accepted(stream="price-85123A", version=2)
    assert price_retired() == shop.events("price-85123A")[-1]
    (await shop.post(PRICES, RETAIL)).then_accepted(stream="price-85123A", version=3)


async def test_a_rate_is_set_in_a_tax_table(shop):
    rate = {"tax_category": "standard", "rate_bp": 2_000, "included": True}

    (await shop.post("/v1/tax-tables/GB/rates", rate)).then_accepted(stream="tax_table-GB", version=1)
    assert [tax_rate_set(valid_from=NOW)] == shop.events("tax_table-GB")


async def test_a_quote_says_what_a_cart_costs_and_records_nothing(given):
    shop = await given(product_created(), price_set(), tax_rate_set())
    shipping = {"amount": 495}

    answer = await quoted(shop, shipping=shipping)

    assert 200 == answer.status
    [line] = answer.body["lines"]
    assert ("1.95", "p-1", 1_170, {"rate_bp": 2_000, "included": True, "amount": 195}) == (
        line["unit_price"],
        line["price_id"],
        line["subtotal"],
        line["tax"],
    )
    assert {
        "items": 1_170,
        "shipping": 495,
        "discount": 0,
        "tax": 277,
        "tax_included": 277,
        "grand": 1_665,
    } == answer.body["totals"]
    assert {"mode": "half_even", "level": "line"} == answer.body["rounding"]
    assert 3 == shop.position, "what was given, and no more"


async def test_a_quote_is_of_the_prices_that_are_valid_at_its_time(given):
    # medusa 11222 and spree 11801: a price that a list has had, or will have, is not that of now.
    sale = {"valid_from": TOMORROW, "valid_until": TOMORROW + timedelta(days=1)}
    shop = await given(
        product_created(),
        price_set(valid_until=TOMORROW),
        price_set(price_id=PriceId("sale"), unit_price=UnitPrice("1"), **sale),
        tax_rate_set(),
    )

    async def price_at(at):
        [line] = (await quoted(shop, at=at.isoformat())).body["lines"]
        return line["price_id"], line["unit_price"]

    assert ("p-1", "1.95") == await price_at(NOW)
    assert ("sale", "1") == await price_at(TOMORROW)
    assert (None, "2.55") == await price_at(TOMORROW + timedelta(days=1)), "the list price of the catalogue"


async def test_a_line_without_a_price_in_the_currency_is_refused(given):
    shop = await given(product_created(), tax_rate_set())

    (await quoted(shop, currency="EUR")).then_refused(
        422, "price-missing", at=["/lines/0/sku"], currency="EUR", list_id="retail"
    )
    (await quoted(shop, **cart_line(sku="none"))).then_refused(422, "unknown-sku", at=["/lines/0/sku"])


async def test_a_cart_is_not_quoted_where_nothing_says_how_it_is_taxed(given):
    shop = await given(product_created(), tax_rate_set())

    for changes in ({"jurisdiction": "FR"}, {"at": "2000-01-01T00:00:00Z"}, cart_line(tax_category="books")):
        (await quoted(shop, **changes)).then_refused(422, "missing-tax-rate")


async def test_a_total_that_no_document_may_carry_is_refused(given):
    shop = await given(product_created(unit_price=UnitPrice("999999999")), tax_rate_set())

    (await quoted(shop, **cart_line(quantity=10_000_000))).then_refused(422, "amount-too-large")
