"""Carts through both APIs: addresses sealed in the log and shown by role, the document of a cart, and its order."""

import asyncio

import pytest

from commands.processes.fulfilment import FULFILMENT
from commands.processes.order_mails import ORDER_MAILS
from tests.commands.processes.running import counted, eventually, register, running
from tests.customers.conftest import opened

pytestmark = pytest.mark.anyio

PRODUCT = {"sku": "1", "title": "One", "stocked": True, "unit_price": "2.55", "currency": "GBP"}
ADDRESS = {
    "customer_id": "17850",
    "recipient": "Ada Lovelace",
    "lines": "12 St James's Square",
    "email": "ada@example.org",
    "country": "Italy",
}
CONTACT = {"name": "Ada Lovelace", "email": "ada@example.org", "address": "12 St James's Square"}


def plain(text):
    return {"shown": "plain", "text": text}


async def prepare(shop):
    """A registered customer with a cart of one piece."""
    cart = {"cart_id": "c", "customer_id": "17850", "currency": "GBP"}
    for path, body in (
        ("/v1/products", PRODUCT),
        ("/v1/customers", {"customer_id": "17850", "country": "Italy"}),
        ("/v1/carts", cart),
        ("/v1/carts/c/items", {"sku": "1", "quantity": 1}),
    ):
        assert 201 == (await shop.commands.post(path, body)).status


async def test_an_address_of_a_cart_is_sealed_in_the_log_and_erased_with_its_customer(shop):
    await prepare(shop)
    (await shop.post("/v1/carts/c/addresses", ADDRESS)).then_accepted(stream="cart-c", version=3)
    shown = (await shop.queries.get("/v1/carts/c/addresses")).body

    assert (plain("Ada Lovelace"), plain("ada@example.org")) == (
        shown["addresses"]["delivery"]["recipient"],
        shown["addresses"]["delivery"]["email"],
    )
    with shop.commands.reader() as connection:
        recorded = str(connection.execute("select string_agg(payload::text, '') from log.event").fetchall())
        (tags,) = connection.execute("select array_agg(tag) from log.tag").fetchone()
    for text in ("Ada", "Lovelace", "xample", "James"):
        assert text not in recorded
    assert "customer:17850" in tags
    export = (await shop.queries.get("/v1/customers/17850/export")).body
    assert plain("12 St James's Square") == export["events"][-1]["payload"]["lines"]
    assert 201 == (await shop.post("/v1/customers/17850/erasure", {})).status
    (await shop.post("/v1/carts/c/addresses", ADDRESS)).then_refused(409, "customer-erased")


async def test_a_checkout_with_contact_data_needs_a_registered_buyer(shop):
    """Nobody else's key seals it."""
    await prepare(shop)
    assert 201 == (await shop.commands.post("/v1/carts/c/checkout", {"country": "Italy"})).status
    await shop.queries.carried()
    checkout = (await shop.queries.get("/v1/carts/c")).body["checkout"]
    order = {"checkout_id": checkout["checkout_id"], "contact": CONTACT}

    (await shop.commands.post("/v1/carts/c/order", order)).then_refused(422, "validation-failed")
    of_another = {**order, "customer_id": "17851"}
    (await shop.commands.post("/v1/carts/c/order", of_another)).then_refused(409, "not-the-buyer")
    placed = await shop.post("/v1/carts/c/order", {**order, "customer_id": "17850"})
    assert 201 == placed.status
    cart = (await shop.queries.get("/v1/carts/c")).body
    contact = (await shop.queries.get(f"/v1/orders/{checkout['order_id']}/contact")).body
    total = (await shop.queries.get(f"/v1/orders/{checkout['order_id']}")).body["total"]
    assert ("ordered", cart["total"]) == (cart["status"], total)
    assert {name: plain(text) for name, text in CONTACT.items()} == {name: contact[name] for name in CONTACT}


async def test_what_a_buyer_does_takes_no_more_events_than_its_budget(shop):
    """None for browsing, one for a change of the cart, at most 12 for a checkout with what follows from it."""
    await prepare(shop)
    assert 201 == (await shop.post("/v1/stock/1/receipts", {"quantity": 9})).status
    before = shop.commands.position
    for path in ("/v1/products", "/v1/products/1", "/v1/stock/1", "/v1/carts", "/v1/carts/c", "/v1/orders"):
        assert 200 == (await shop.queries.get(path)).status
    assert before == shop.commands.position
    for change, body in (
        ("items", {"sku": "1", "quantity": 1}),
        ("quantities", {"line_id": 1, "quantity": 3}),
        ("addresses", ADDRESS),
    ):
        assert 201 == (await shop.commands.post(f"/v1/carts/c/{change}", body)).status
        before += 1
        assert before == shop.commands.position, change

    await asyncio.to_thread(register, shop.queries.url, [ORDER_MAILS])
    assert 201 == (await shop.commands.post("/v1/carts/c/checkout", {})).status
    await shop.queries.carried()
    checkout = (await shop.queries.get("/v1/carts/c")).body["checkout"]
    order = {"checkout_id": checkout["checkout_id"], "contact": CONTACT, "customer_id": "17850"}
    assert 201 == (await shop.commands.post("/v1/carts/c/order", order)).status

    def decided():
        with running(shop.queries.url, processes=(FULFILMENT, ORDER_MAILS)):
            eventually(lambda: counted(shop.queries.url).get("mail.mail_requested.v1", 0) == MAILS)

    await asyncio.to_thread(decided)
    answers = MAILS
    assert CHECKOUT_EVENTS == shop.commands.position - before
    assert 12 >= CHECKOUT_EVENTS + answers


MAILS = 2
"""To a buyer about an order that is confirmed; each is answered by one event more."""

CHECKOUT_EVENTS = 3 + 2 + MAILS
"""The cart frozen and ended, the order placed; its stock reserved, itself confirmed."""


async def test_shipping_is_a_line_of_the_order(database_url):
    async with opened(database_url, shipping_options="POST,COURIER") as shop:
        await prepare(shop)
        postage = {**PRODUCT, "sku": "POST", "stocked": False, "unit_price": "4.95"}
        assert 201 == (await shop.commands.post("/v1/products", postage)).status
        refused = await shop.commands.post("/v1/carts/c/shipping", {"option_id": "1"})
        refused.then_refused(422, "shipping-not-offered", options=["POST", "COURIER"])
        for path, body in (("shipping", {"option_id": "POST"}), ("checkout", {"country": "Italy"})):
            assert 201 == (await shop.commands.post(f"/v1/carts/c/{path}", body)).status
        await shop.queries.carried()
        cart = (await shop.queries.get("/v1/carts/c")).body
        order_id = cart["checkout"]["order_id"]
        assert 201 == (await shop.post("/v1/carts/c/order", {"checkout_id": order_id})).status

        order = (await shop.queries.get(f"/v1/orders/{order_id}")).body
        untaxed = {"discount": 0, "tax": 0, "tax_included": 0}
        assert {"items": 255, "shipping": 495, **untaxed, "grand": 750} == cart["checkout"]["totals"]
        assert 750 == order["total"]
        assert ["1", "POST"] == [line["sku"] for line in order["lines"]]
