"""POST /v1/carts and what is below it."""

import asyncio
from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from domain.ids import CouponId, PriceId, PromotionId
from domain.money import Minor
from domain.promotion_terms import Rule
from tests import sizes
from tests.cart_examples import cart_opened, item_added
from tests.catalogue_examples import CONTENT, listing_created, variant_added
from tests.commands.conftest import opened
from tests.examples import price_changed, product_created
from tests.pricing_examples import (
    TRADE,
    coupon_created,
    coupon_redeemed,
    price_lists_chosen,
    price_set,
    promotion_defined,
    tax_rate_set,
)

pytestmark = pytest.mark.anyio

HEARTS = {"sku": "85123A", "quantity": 2}
OF_IT = "/v1/carts/c-17850"


def events(shop):
    """The types of all that is in the log, but for the catalogue's."""
    with shop.reader() as connection:
        rows = connection.execute("select type from log.event order by position").fetchall()
    return [name for (name,) in rows if not name.startswith("catalogue.")]


async def test_a_cart_is_opened_and_filled_at_list_prices(given):
    shop = await given(product_created())
    cart = {"cart_id": "c-17850", "customer_id": "17850", "currency": "GBP"}

    (await shop.post("/v1/carts", cart)).then_accepted(stream="cart-c-17850", version=1)
    (await shop.post(f"{OF_IT}/items", HEARTS)).then_accepted(stream="cart-c-17850", version=2)
    unpriced = await shop.post(f"{OF_IT}/items", {**HEARTS, "unit_price": "0.01"})
    unpriced.then_refused(422, "validation-failed")


async def test_every_change_of_a_cart_is_one_event(given):
    """The event budget of a cart: one for each change, none for what changes nothing."""
    shop = await given(product_created(), cart_opened())
    changes = (
        ("items", HEARTS),
        ("quantities", {"line_id": 1, "quantity": 3}),
        ("quantities", {"line_id": 1, "quantity": 3}),
        ("prices", {}),
        ("removals", {"line_id": 1}),
        ("removals", {"line_id": 1}),
    )
    for part, body in changes:
        assert 201 == (await shop.post(f"{OF_IT}/{part}", body)).status

    assert [
        "cart.cart_opened.v1",
        "cart.item_added.v1",
        "cart.item_quantity_changed.v1",
        "cart.item_removed.v1",
    ] == events(shop)


async def test_an_old_price_does_not_stay_in_the_cart_unnoticed(given):
    """spree 11801, solidus 6206: what rose is refused with both prices, and taken once the buyer agrees."""
    shop = await given(product_created(), cart_opened(), item_added(), price_changed())
    both = [{"line_id": 1, "sku": "85123A", "old": "2.55", "new": "2.95"}]

    for part, body in (("items", HEARTS), ("prices", {})):
        refused = await shop.post(f"{OF_IT}/{part}", body)
        refused.then_refused(409, "price-changed", cart_id="c-17850", prices=both)
    agreed = {"agreed": [{"sku": "85123A", "unit_price": "2.95"}]}
    (await shop.post(f"{OF_IT}/prices", agreed)).then_accepted(stream="cart-c-17850", version=3)
    (await shop.post(f"{OF_IT}/items", HEARTS)).then_accepted(stream="cart-c-17850", version=4)


async def test_a_price_that_changes_at_the_same_moment_is_not_missed(given, monkeypatch):
    """The product is read and its version named: an API that has an older price in memory decides again."""
    shop = await given(product_created(), cart_opened(), item_added())
    (await shop.post(f"{OF_IT}/items", HEARTS)).then_accepted(stream="cart-c-17850", version=3)
    async with opened(shop.url) as other:
        (
            await other.post("/v1/products/85123A/price", {"unit_price": "2.95", "currency": "GBP"})
        ).then_accepted(stream="product-85123A", version=2)
    (await shop.post(f"{OF_IT}/items", HEARTS)).then_refused(409, "price-changed")


async def test_two_devices_add_at_the_same_time_and_nothing_is_lost(given):
    shop = await given(product_created(), cart_opened())
    async with opened(shop.url) as other:
        for _ in range(sizes.CART_ADDS.chosen // 10):
            added = [
                device.post(f"{OF_IT}/items", {"sku": "85123A", "quantity": 1})
                for device in (shop, other)
                for _ in range(5)
            ]
            assert {201} == {each.status for each in await asyncio.gather(*added)}

    with shop.reader() as connection:
        (pieces,) = connection.execute(
            "select sum((payload->>'quantity')::int) from log.event where type = 'cart.item_added.v1'"
        ).fetchone()
    assert sizes.CART_ADDS.chosen == pieces


async def test_the_same_key_adds_once(given):
    shop = await given(product_created(), cart_opened())

    first = await shop.post(f"{OF_IT}/items", HEARTS, key="once")
    again = await shop.post(f"{OF_IT}/items", HEARTS, key="once")

    assert first.bytes == again.bytes
    assert 1 == events(shop).count("cart.item_added.v1")


CHECK_OUT = f"{OF_IT}/order"


@pytest.fixture
async def buying(given):
    """A cart with two hearts."""
    return await given(product_created(), cart_opened(), item_added())


async def checkout_of(shop):
    """Start a checkout, and its id."""
    assert 201 == (await shop.post(f"{OF_IT}/checkout", {"country": "Italy"})).status
    with shop.reader() as connection:
        (newest,) = connection.execute(
            "select payload->>'checkout_id' from log.event where type = 'cart.checkout_started.v1'"
            " order by position desc limit 1"
        ).fetchone()
    return {"checkout_id": newest}


async def test_a_checkout_that_is_completed_twice_places_one_order(buying):
    """Cart and order change in one append; sent again, under whatever key, it is the same order."""
    checkout = await checkout_of(buying)
    before = buying.position

    first = await buying.post(CHECK_OUT, checkout)
    again = await buying.post(CHECK_OUT, checkout)
    both = await asyncio.gather(*(buying.post(CHECK_OUT, checkout) for _ in range(8)))

    assert {201} == {each.status for each in (first, again, *both)}
    assert ["cart.cart_checked_out.v1", "ordering.order_placed.v3"] == events(buying)[-2:]
    assert 2 == buying.position - before
    with buying.reader() as connection:
        (order,) = connection.execute(
            "select payload::text from log.event where stream = %s", [f"order-{checkout['checkout_id']}"]
        ).fetchone()
    assert '"total":510' in order
    assert '"customer_id":"17850"' in order


async def test_an_order_that_has_the_id_of_a_checkout_is_not_placed_again(buying):
    """Nothing of the cart is recorded then: it stays frozen until its checkout is over."""
    checkout = await checkout_of(buying)
    other = {"order_id": checkout["checkout_id"], "country": "Italy", "currency": "GBP", "lines": [HEARTS]}
    assert 201 == (await buying.post("/v1/orders", other)).status

    (await buying.post(CHECK_OUT, checkout)).then_refused(
        409, "order-id-taken", order_id=checkout["checkout_id"]
    )

    assert "ordering.order_placed.v3" == events(buying)[-1]
    assert "cart.cart_checked_out.v1" not in events(buying)


async def test_a_checkout_takes_no_card_number(buying):
    """The token of a method is recorded with the order; a card number never is."""
    checkout = await checkout_of(buying)

    refused = await buying.post(CHECK_OUT, {**checkout, "method_ref": "4242 4242 4242 4242"})
    refused.then_refused(422, "card-number-given", member="method_ref")
    assert 201 == (await buying.post(CHECK_OUT, {**checkout, "method_ref": "pm_visa"})).status

    with buying.reader() as connection:
        (payment,) = connection.execute(
            "select payload->'payment' from log.event where type = 'ordering.order_placed.v3'"
        ).fetchone()
    assert {"method_ref": "pm_visa"} == payment


async def test_what_is_added_while_a_checkout_starts_is_in_the_order_or_refused(given):
    """spree 11286: checkout races add-to-cart. What is in the cart at the end is what was ordered."""
    shop = await given(product_created())
    async with opened(shop.url) as other:
        for number in range(sizes.CART_ADDS.chosen // 4):
            of_it = f"/v1/carts/race-{number}"
            cart = {"cart_id": f"race-{number}", "customer_id": "17850", "currency": "GBP"}
            assert 201 == (await shop.post("/v1/carts", cart)).status
            assert 201 == (await shop.post(f"{of_it}/items", HEARTS)).status
            started, added = await asyncio.gather(
                shop.post(f"{of_it}/checkout", {"country": "Italy"}),
                other.post(f"{of_it}/items", {"sku": "85123A", "quantity": 1}),
            )
            assert 201 == started.status
            with shop.reader() as connection:
                (grand,) = connection.execute(
                    "select (payload->'totals'->>'grand')::int from log.event"
                    " where stream = %s and type = 'cart.checkout_started.v1'",
                    [f"cart-race-{number}"],
                ).fetchone()
            if added.status == 201:
                assert 765 == grand
            else:
                added.then_refused(409, "cart-frozen", cart_id=f"race-{number}")
                assert 510 == grand


async def test_a_sale_that_begins_before_the_checkout_is_in_the_order(buying):
    """medusa 11222: a price that fell passes on; after the start of the checkout no price changes anything."""
    price = {"unit_price": "2", "currency": "GBP"}
    assert 201 == (await buying.post("/v1/products/85123A/price", price)).status
    checkout = await checkout_of(buying)
    assert 201 == (await buying.post("/v1/products/85123A/price", {**price, "unit_price": "9"})).status
    assert 201 == (await buying.post(CHECK_OUT, checkout)).status

    with buying.reader() as connection:
        (order,) = connection.execute(
            "select payload::text from log.event where type = 'ordering.order_placed.v3'"
        ).fetchone()
    assert '"total":400' in order


async def test_a_checkout_takes_no_more_events_than_its_budget(given):
    """The event budget of a checkout: at most 12, here 3; fulfilment adds one for each SKU, and one."""
    shop = await given(
        product_created(), product_created(sku="2"), product_created(sku="3"), cart_opened(), item_added()
    )
    for sku in ("2", "3"):
        assert 201 == (await shop.post(f"{OF_IT}/items", {"sku": sku, "quantity": 1})).status
    before = shop.position
    assert 201 == (await shop.post(CHECK_OUT, await checkout_of(shop))).status

    fulfilment = 3 + 1
    assert 3 == shop.position - before
    assert 12 >= 3 + fulfilment


async def test_a_cart_has_the_prices_of_the_lists_of_its_channel_as_a_quote_has(given):
    """1.95 each, and 1.75 from three on; back at two the price rises, and its buyer has to agree."""
    many = price_set(price_id=PriceId("many"), min_quantity=3, unit_price="1.75")
    shop = await given(product_created(), price_set(), many, cart_opened())
    quote = {"currency": "GBP", "jurisdiction": "GB", "channel": "web", "lines": [{**HEARTS, "quantity": 3}]}
    lists = {"lists": [{"list_id": "trade", "group": "resellers"}, {"list_id": "retail"}]}
    chosen = await shop.post("/v1/channels/web/price-lists", lists)
    chosen.then_accepted(stream="price_lists-web", version=1)
    assert [price_lists_chosen()] == shop.events("price_lists-web")
    await shop.given(tax_rate_set(), tax_rate_set(jurisdiction="Italy"))

    assert 201 == (await shop.post(f"{OF_IT}/items", HEARTS)).status
    assert 201 == (await shop.post(f"{OF_IT}/items", {**HEARTS, "quantity": 1})).status
    checkout = await checkout_of(shop)

    quoted = (await shop.post("/v1/quotes", quote, key=None)).body
    assert ("many", 525) == (quoted["lines"][0]["price_id"], quoted["totals"]["grand"])
    assert ["1.95", "1.75"] == [each.unit_price for each in shop.events("cart-c-17850")[1:3]]
    assert 201 == (await shop.post(f"{OF_IT}/checkout-abortion")).status
    assert 201 == (await shop.post(f"{OF_IT}/quantities", {"line_id": 1, "quantity": 2})).status
    rise = [{"line_id": 1, "sku": "85123A", "old": "1.75", "new": "1.95"}]
    refused = await shop.post(f"{OF_IT}/checkout", {"country": "Italy"})
    refused.then_refused(409, "price-changed", prices=rise)
    agreed = {"agreed": [{"sku": "85123A", "unit_price": "1.95"}]}
    assert 201 == (await shop.post(f"{OF_IT}/prices", agreed)).status
    again = await checkout_of(shop)
    assert again != checkout
    assert 201 == (await shop.post(CHECK_OUT, again)).status
    order = ordered(shop)
    assert (390, [{"line_id": 1, "list_id": "retail", "price_id": "p-1"}]) == (
        order["total"],
        order["prices"],
    )


async def test_a_list_of_a_group_holds_for_the_carts_and_quotes_of_its_customers(given):
    trade = price_set(price_id=PriceId("t-1"), list_id=TRADE, unit_price="1.20")
    anybody = cart_opened(cart_id="c-anybody", customer_id=None)
    shop = await given(
        product_created(), price_set(), trade, price_lists_chosen(), cart_opened(), anybody, tax_rate_set()
    )
    quote = {"currency": "GBP", "jurisdiction": "GB", "channel": "web", "lines": [HEARTS]}
    joined = await shop.post("/v1/customers/17850/group", {"group": "resellers"})
    joined.then_accepted(stream="customer_group-17850", version=1)

    for cart_id, customer_id, price in (("c-17850", "17850", "1.20"), ("c-anybody", None, "1.95")):
        assert 201 == (await shop.post(f"/v1/carts/{cart_id}/items", HEARTS)).status
        quoted = (await shop.post("/v1/quotes", {**quote, "customer_id": customer_id}, key=None)).body
        assert price == shop.events(f"cart-{cart_id}")[-1].unit_price == quoted["lines"][0]["unit_price"]


async def test_an_order_is_taxed_by_the_table_of_its_country_as_its_checkout_promised(given):
    """A tenth is taken off 10.00, and 2 % of the rest are added, also if the rate is another one by then.

    The price of the book holds its tax of 5 %: the listing that it is a variant of says how it is taxed.
    """
    book = listing_created(content=replace(CONTENT, tax_category="books"))
    shop = await given(
        *(product_created(unit_price="5"), product_created(sku="book", unit_price="2.33")),
        *(book, variant_added(sku="book"), promotion_defined(rule=Rule(skus=("85123A",)))),
        tax_rate_set(jurisdiction="Italy", rate_bp=200, included=False),
        tax_rate_set(jurisdiction="Italy", tax_category="books", rate_bp=500),
        *(cart_opened(), item_added(unit_price="5")),
        item_added(line_id=2, sku="book", quantity=1, unit_price="2.33"),
    )
    checkout = await checkout_of(shop)
    changed = {"tax_category": "standard", "rate_bp": 2_200, "included": False}
    assert 201 == (await shop.post("/v1/tax-tables/Italy/rates", changed)).status

    assert 201 == (await shop.post(CHECK_OUT, checkout)).status

    order = ordered(shop)
    assert (1_151, [918, 233]) == (order["total"], [line["total"] for line in order["lines"]])
    tax = order["tax"]
    assert ("Italy", 29, 11, 0) == tuple(
        tax[name] for name in ("jurisdiction", "amount", "included", "remainder")
    )
    assert [(1, "standard", 200, False, 18), (2, "books", 500, True, 11)] == [
        tuple(line[name] for name in ("line_id", "tax_category", "rate_bp", "included", "amount"))
        for line in tax["lines"]
    ]


async def test_a_checkout_that_has_no_rate_for_a_line_or_costs_too_much_is_refused(given):
    gold = {"unit_price": "999999999"}
    books = tax_rate_set(jurisdiction="Italy", tax_category="books")
    shop = await given(product_created(**gold), books, cart_opened(), item_added(quantity=10_000, **gold))

    untaxed = await shop.post(f"{OF_IT}/checkout", {"country": "Italy"})
    untaxed.then_refused(422, "missing-tax-rate", jurisdiction="Italy", tax_category="standard")
    refused = await shop.post(f"{OF_IT}/checkout", {"country": "Norway"})
    refused.then_refused(422, "amount-too-large")


async def test_a_country_without_a_tax_table_or_whose_rates_begin_later_is_not_taxed(given):
    later = tax_rate_set(jurisdiction="Italy", valid_from=datetime(2999, 1, 1, tzinfo=UTC), included=False)
    shop = await given(product_created(), later, tax_rate_set(), cart_opened(), item_added())

    assert 201 == (await shop.post(CHECK_OUT, await checkout_of(shop))).status

    assert (510, None) == (ordered(shop)["total"], ordered(shop)["tax"])


COUPON = {"code": "Spring 10"}
TENTH_OFF = promotion_defined(needs_coupon=True)


@pytest.fixture
async def saving(given):
    """A cart with two hearts and a coupon, which one order may use."""
    shop = await given(product_created(), TENTH_OFF, coupon_created(limit=1), cart_opened(), item_added())
    (await shop.post(f"{OF_IT}/coupons", COUPON)).then_accepted(stream="cart-c-17850", version=3)
    return shop


def ordered(shop):
    """The one order in the log."""
    with shop.reader() as connection:
        (payload,) = connection.execute(
            "select payload from log.event where type = 'ordering.order_placed.v3'"
        ).fetchone()
    return payload


async def test_a_coupon_is_redeemed_with_the_order_that_costs_less(saving):
    (await saving.post(f"{OF_IT}/coupons", COUPON)).then_accepted(stream="cart-c-17850", version=3)
    checkout = await checkout_of(saving)
    before = saving.position

    answers = [await saving.post(CHECK_OUT, checkout) for _ in range(2)]

    assert [201, 201] == [each.status for each in answers]
    redeemed = "pricing.coupon_redeemed.v1"
    assert ["cart.cart_checked_out.v1", redeemed, "ordering.order_placed.v3"] == events(saving)[-3:]
    assert 3 == saving.position - before
    order = ordered(saving)
    assert (459, [459]) == (order["total"], [line["total"] for line in order["lines"]])
    assert [{"line_id": 1, "amount": 51}] == order["discounts"]
    assert [{"promotion_id": "spring", "code": "SPRING10", "amount": 51}] == order["promotions"]
    used = {"redemption_id": checkout["checkout_id"], "order_id": checkout["checkout_id"]}
    (redemption,) = saving.events(f"redemption-{checkout['checkout_id']}")
    assert coupon_redeemed(**used, amount=Minor(51), redeemed_at=redemption.redeemed_at) == redemption


@pytest.mark.parametrize(
    ("meanwhile", "refused"),
    [
        (("/v1/coupons/spring10/redemptions", {}), (409, "coupon-exhausted")),
        (("/v1/promotions/spring/end", None), (422, "coupon-not-applicable")),
        (("/v1/coupons/spring10/redemptions", {"redemption_id": "it"}), (409, "redemption-id-taken")),
    ],
    ids=["used up", "ended", "under its id"],
)
async def test_a_coupon_that_is_used_up_or_ended_meanwhile_is_refused_and_the_buyer_goes_on_without(
    saving, meanwhile, refused
):
    checkout = await checkout_of(saving)
    path, body = meanwhile
    if body is not None:
        own = {"redemption_id": checkout["checkout_id"]} if body else {}
        body = {"order_id": "another", "amount": 1, **own}
    assert 201 == (await saving.post(path, body or {})).status

    (await saving.post(CHECK_OUT, checkout)).then_refused(*refused)

    assert not {"cart.cart_checked_out.v1", "ordering.order_placed.v3"} & set(events(saving))
    for part, said in (("checkout-abortion", {}), ("coupon-removals", COUPON)):
        if part == "coupon-removals" and refused[1] != "redemption-id-taken":
            again = await saving.post(f"{OF_IT}/checkout", {"country": "Italy"})
            again.then_refused(*refused)
        assert 201 == (await saving.post(f"{OF_IT}/{part}", said)).status
    assert 201 == (await saving.post(CHECK_OUT, await checkout_of(saving))).status
    assert (510, [], []) == tuple(ordered(saving)[name] for name in ("total", "discounts", "promotions"))


async def test_a_coupon_that_takes_nothing_off_a_cart_is_refused_with_the_reason(given):
    for_many = promotion_defined(
        promotion_id=PromotionId("many"), needs_coupon=True, rule=Rule(min_amount=Minor(511))
    )
    shop = await given(
        product_created(),
        TENTH_OFF,
        for_many,
        coupon_created(code=CouponId("MANY"), promotion_id=PromotionId("many")),
        coupon_created(limit=1),
        coupon_redeemed(),
        cart_opened(),
        item_added(),
    )

    def applied(code):
        return shop.post(f"{OF_IT}/coupons", {"code": code})

    (await applied("none")).then_refused(404, "coupon-unknown", coupon="NONE")
    (await applied("spring10")).then_refused(409, "coupon-exhausted", limit=1)
    (await applied("many")).then_refused(422, "coupon-not-applicable", reason="cart_mismatch")
    assert 201 == (await shop.post(f"{OF_IT}/items", {"sku": "85123A", "quantity": 1})).status
    assert 201 == (await applied("many")).status
    (await applied("spring10")).then_refused(409, "cart-has-coupon", coupon="MANY")
    assert 201 == (await shop.post(f"{OF_IT}/quantities", {"line_id": 1, "quantity": 2})).status
    refused = await shop.post(f"{OF_IT}/checkout", {"country": "Italy"})
    refused.then_refused(422, "coupon-not-applicable", reason="cart_mismatch")


async def test_promotions_that_need_no_coupon_are_taken_off_as_the_checkout_promised(given):
    """Also after they were ended: a checkout fixes what an order costs."""
    shop = await given(product_created(), promotion_defined(), cart_opened(), item_added())
    checkout = await checkout_of(shop)
    assert 201 == (await shop.post("/v1/promotions/spring/end")).status

    assert 201 == (await shop.post(CHECK_OUT, checkout)).status

    assert "pricing.coupon_redeemed.v1" not in events(shop)
    order = ordered(shop)
    assert (459, [{"promotion_id": "spring", "code": None, "amount": 51}]) == (
        order["total"],
        order["promotions"],
    )
