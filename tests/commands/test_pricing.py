"""Prices and tax rates over HTTP, and quotes, which are computed from them and record nothing."""

import asyncio
from collections import Counter
from datetime import timedelta

import pytest

from domain.ids import PriceId
from domain.money import Minor, UnitPrice
from domain.promotion_terms import Action, Rule
from tests.commands.conftest import opened
from tests.examples import NOW, product_created
from tests.pricing_examples import (
    coupon_created,
    coupon_redeemed,
    price_retired,
    price_set,
    promotion_defined,
    promotion_ended,
    redemption_released,
    tax_rate_set,
)

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
        "tax_remainder": -1,
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

    untaxed = (await quoted(shop, jurisdiction=None)).body["totals"]
    assert (1_530, 0) == (untaxed["grand"], untaxed["tax"])
    for changes in ({"jurisdiction": "FR"}, {"at": "2000-01-01T00:00:00Z"}, cart_line(tax_category="books")):
        (await quoted(shop, **changes)).then_refused(422, "missing-tax-rate")


async def test_a_total_that_no_document_may_carry_is_refused(given):
    shop = await given(product_created(unit_price=UnitPrice("999999999")), tax_rate_set())

    (await quoted(shop, **cart_line(quantity=10_000_000))).then_refused(422, "amount-too-large")


async def test_a_total_that_no_document_may_carry_is_refused_though_all_of_it_is_taken_off(given):
    # Redemptions of some such carts were more than the sum of a coupon holds.
    free = promotion_defined(action=Action(kind="percent_bp", percent_bp=10_000))
    shop = await given(product_created(unit_price=UnitPrice("999999999")), tax_rate_set(), free)

    whole = await quoted(shop, list_id="none", **cart_line(quantity=10))
    more = await quoted(shop, list_id="none", **cart_line(quantity=11))
    with_shipping = await quoted(shop, list_id="none", shipping={"amount": 1_001}, **cart_line(quantity=10))

    assert (999_999_999_000, 0) == (whole.body["totals"]["discount"], whole.body["totals"]["grand"])
    for refused in (more, with_shipping):
        refused.then_refused(422, "amount-too-large", limit=1_000_000_000_000)


TENTH = {"kind": "percent_bp", "percent_bp": 1_000}
COUPON = "/v1/coupons/spring%2010/redemptions"


async def test_promotions_are_defined_ended_and_taken_off_a_quote(given):
    shop = await given(product_created(), price_set(), tax_rate_set())
    spring = {"promotion_id": "spring", "currency": "GBP", "action": TENTH}

    (await shop.post("/v1/promotions", spring)).then_accepted(stream="promotion-spring", version=1)
    assert [promotion_defined(valid_from=NOW)] == shop.events("promotion-spring")
    cheaper = (await quoted(shop)).body
    assert ([{"promotion_id": "spring", "amount": 117}], 1_053) == (
        cheaper["promotions"],
        cheaper["totals"]["grand"],
    )

    (await shop.post("/v1/promotions/spring/end")).then_accepted(stream="promotion-spring", version=2)
    assert promotion_ended() == shop.events("promotion-spring")[-1]
    assert 1_170 == (await quoted(shop)).body["totals"]["grand"]


async def test_a_coupon_is_created_redeemed_and_released(given):
    shop = await given(promotion_defined())
    coupon = {"code": "Spring 10", "promotion_id": "spring", "limit": 10}
    redemption = {"redemption_id": "r-1", "order_id": "536365", "customer_id": "17850", "amount": 195}

    (await shop.post("/v1/coupons", coupon)).then_accepted(stream="coupon-SPRING10", version=1)
    (await shop.post(COUPON, redemption)).then_accepted(stream="redemption-r-1", version=1)
    released = await shop.post("/v1/redemptions/r-1/release", {"reason": "cancelled"})
    released.then_accepted(stream="redemption-r-1", version=2)
    assert [coupon_created()] == shop.events("coupon-SPRING10")
    assert [coupon_redeemed(), redemption_released()] == shop.events("redemption-r-1")


async def test_a_coupon_that_takes_nothing_off_a_quote_is_refused_with_the_reason(given):
    for_many = promotion_defined(needs_coupon=True, rule=Rule(min_amount=Minor(2_000)))
    shop = await given(
        product_created(), price_set(), tax_rate_set(), for_many, coupon_created(limit=None, per_customer=1)
    )

    async def reason(**changes):
        return (await quoted(shop, coupon="spring10", **changes)).body["facts"]["reason"]

    assert "no_customer" == await reason()
    assert "cart_mismatch" == await reason(customer_id="17850")
    assert "outside_validity" == await reason(customer_id="17850", at="2011-01-03T00:00:00Z")
    (await quoted(shop, coupon="none")).then_refused(404, "coupon-unknown", coupon="NONE")
    many = await quoted(shop, coupon="spring10", customer_id="17850", **cart_line(quantity=60))
    assert [{"promotion_id": "spring", "amount": 1_170}] == many.body["promotions"]
    await shop.given(coupon_redeemed())
    used = await quoted(shop, coupon="spring10", customer_id="17850", **cart_line(quantity=60))
    used.then_refused(409, "coupon-exhausted", limit=1, customer_id="17850")
    await shop.given(promotion_ended())
    assert "inactive" == await reason(customer_id="17850")


@pytest.mark.parametrize(
    ("coupon", "accepted"),
    [(coupon_created(limit=10), 10), (coupon_created(limit=None, per_customer=3), 3)],
    ids=["in all", "per customer"],
)
async def test_of_64_who_race_for_a_coupon_as_many_get_it_as_its_limit_says(
    given, database_url, coupon, accepted
):
    # saleor 544 and PR 15855: each of them looked how often it was redeemed, and then redeemed it.
    shop = await given(promotion_defined(), coupon)
    redemption = {"order_id": "536365", "customer_id": "17850", "amount": 195}
    async with opened(database_url) as other:
        answers = await asyncio.gather(
            *((shop, other)[number % 2].post(COUPON, redemption) for number in range(64))
        )
    codes = Counter(answer.body.get("code", answer.status) for answer in answers)

    assert codes[201] == accepted == len(shop_redemptions(shop))
    assert {201, "coupon-exhausted", "contended"} >= codes.keys()

    first = answers[next(n for n, answer in enumerate(answers) if answer.status == 201)].body["id"]
    (await shop.post(f"/v1/redemptions/{first}/release", {"reason": "rejected"})).then_accepted(
        stream=f"redemption-{first}", version=2
    )
    assert 201 == (await shop.post(COUPON, redemption)).status, "what is released can be had again"
    (await shop.post(COUPON, redemption)).then_refused(409, "coupon-exhausted")


def shop_redemptions(shop):
    """The redemptions in the log."""
    with shop.reader() as connection:
        return connection.execute(
            "select position from log.event where type = 'pricing.coupon_redeemed.v1'"
        ).fetchall()


async def test_racing_coupons_take_off_no_more_than_the_budget(given):
    shop = await given(promotion_defined(needs_coupon=True, budget=Minor(1_000)), coupon_created(limit=None))
    redemption = {"order_id": "536365", "amount": 300}

    answers = await asyncio.gather(*(shop.post(COUPON, redemption) for _ in range(12)))

    assert {201: 3, 422: 9} == Counter(answer.status for answer in answers)
