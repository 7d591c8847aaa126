"""POST /v1/carts and what is below it."""

import asyncio

import pytest

from tests import sizes
from tests.cart_examples import cart_opened, item_added
from tests.commands.conftest import opened
from tests.examples import price_changed, product_created

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
