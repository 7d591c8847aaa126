"""Contact data of orders through both APIs: sealed under the customer's key, and shown apart from the order."""

import asyncio

import pytest
from pydantic import SecretStr

from commands import order_contacts
from commands.recipients import Recipient, Unwanted
from counterfoil import accounts
from counterfoil.contexts import CONTEXTS
from counterfoil.testing import queries
from domain.mail.templates import ORDER_RECEIVED
from runtime.settings import Settings
from tests.customers.conftest import opened
from tests.examples import mail_requested
from tests.identity.conftest import accounts_on, weakly
from tests.identity.conftest import opened as opened_to_accounts
from tests.identity.shop import EMAIL, PASSWORD

pytestmark = pytest.mark.anyio

PRODUCT = {"sku": "1", "title": "One", "stocked": True, "unit_price": "2.55", "currency": "GBP"}
CONTACT = {"name": "Ada Lovelace", "email": "ada@example.org", "address": "12 St James's Square"}
ORDER = {
    "order_id": "536365",
    "country": "Italy",
    "currency": "GBP",
    "lines": [{"sku": "1", "quantity": 1}],
}
RACES = 16
HEAD_START_S = 0.005
FOR_ADA = {**ORDER, "customer_id": "17850", "contact": CONTACT}


async def prepare(shop):
    await shop.commands.post("/v1/products", PRODUCT)
    await shop.commands.post("/v1/customers", {"customer_id": "17850", "country": "Italy"})


def plain(text):
    return {"shown": "plain", "text": text}


def recorded(shop):
    """The newest event of the order: its type, payload and tags."""
    with shop.commands.reader() as connection:
        return connection.execute(
            "select type, payload::text, coalesce(metadata::jsonb -> 'tags', '[]'), (select count(*) from log.tag)"
            " from log.event where stream = 'order-536365'"
        ).fetchone()


async def test_contact_data_is_sealed_in_the_log_and_shown_as_given(shop):
    await prepare(shop)
    (await shop.post("/v1/orders", FOR_ADA)).then_accepted(stream="order-536365", version=1)
    shown = await shop.queries.get("/v1/orders/536365/contact")
    order = await shop.queries.get("/v1/orders/536365")

    texts = {name: plain(text) for name, text in CONTACT.items()}
    assert {"order_id": "536365", "customer_id": "17850", **texts} == shown.body
    assert "no-store" in shown.headers["cache-control"]
    assert "contact" not in order.body
    assert "etag" in order.headers
    name, payload, tags, _ = recorded(shop)
    assert ("ordering.order_placed.v3", ["customer:17850"]) == (name, tags)
    for text in ("Ada", "Lovelace", "example.org", "James"):
        assert text not in payload


async def test_an_order_has_the_parts_of_contact_data_that_were_given(shop):
    await prepare(shop)
    await shop.commands.post("/v1/orders", {**FOR_ADA, "contact": {"email": "ada@example.org"}})
    await shop.post("/v1/orders", {**FOR_ADA, "order_id": "536366", "contact": {}})
    shown = (await shop.queries.get("/v1/orders/536365/contact")).body

    assert (None, plain("ada@example.org"), None) == (shown["name"], shown["email"], shown["address"])
    (await shop.queries.get("/v1/orders/536366/contact")).then_refused(404, "not-found")


async def test_an_order_without_contact_data_is_compared_with_no_customer(shop):
    await prepare(shop)
    await shop.commands.post("/v1/orders", {**ORDER, "customer_id": "imported"})
    (await shop.post("/v1/orders", {**ORDER, "order_id": "guest"})).then_accepted(
        stream="order-guest", version=1
    )
    _, payload, tags, tagged = recorded(shop)

    assert '"customer_id":"imported","contact":null,' in payload
    assert (["customer:imported"], 1) == (tags, tagged)
    (await shop.queries.get("/v1/orders/536365/contact")).then_refused(404, "not-found")


async def test_contact_data_belongs_to_a_registered_customer(shop):
    await prepare(shop)
    nobody_s = await shop.commands.post("/v1/orders", {**ORDER, "contact": CONTACT})
    unknown = await shop.commands.post("/v1/orders", {**FOR_ADA, "customer_id": "unknown"})

    nobody_s.then_refused(422, "validation-failed", at=["/customer_id"])
    unknown.then_refused(404, "customer-unknown")


async def test_the_same_key_with_other_contact_data_is_the_same_request(shop):
    await prepare(shop)
    first = await shop.commands.post("/v1/orders", FOR_ADA, key="basket")
    again = await shop.commands.post("/v1/orders", {**FOR_ADA, "contact": {"name": "Ada King"}}, key="basket")

    again.then_accepted(stream="order-536365", version=1, replayed=True)
    assert first.bytes == again.bytes


async def test_without_a_key_database_orders_are_taken_without_contact_data(database_url):
    async with opened(database_url) as shop:
        await prepare(shop)
        refused = await shop.commands.post("/v1/orders", FOR_ADA)
        taken = await shop.commands.post("/v1/orders", {**ORDER, "customer_id": "17850"})

        refused.then_refused(409, "no-key-database")
        taken.then_accepted(stream="order-536365", version=1)


@pytest.fixture
def settings_of(database_url, keys_database_url, tmp_path):
    """Those of the shop, as a sender of mails has them."""
    return Settings(
        database_url=SecretStr(database_url), keys_database_url=SecretStr(keys_database_url), home=tmp_path
    )


async def recipient(settings):
    """Whom a mail about the order goes to now."""
    about = {"order": "536365", "total": "2.55 GBP"}
    async with order_contacts.opened(settings) as orders:
        return await orders.find(mail_requested(template=ORDER_RECEIVED.name, parameters=about))


async def test_contact_data_of_an_order_is_erased_with_its_customer(shop, settings_of):
    await prepare(shop)
    await shop.commands.post("/v1/orders", FOR_ADA)
    assert Recipient(address="ada@example.org") == await recipient(settings_of)
    erase = "/v1/customers/17850/erasure"
    (await shop.commands.post(erase, {})).then_refused(409, "orders-open")
    await shop.commands.post("/v1/orders/536365/cancellation", {"reason": "customer"})
    (await shop.post(erase, {})).then_accepted(stream="customer-17850", version=2)
    await shop.queries.app.state.reads.keyring.follow_erasures()
    shown = (await shop.queries.get("/v1/orders/536365/contact")).body
    assert Unwanted("erased") == await recipient(settings_of)
    later = await shop.commands.post("/v1/orders", {**FOR_ADA, "order_id": "536366"})

    assert [{"shown": "erased", "text": None}] * 3 == [shown[name] for name in CONTACT]
    later.then_refused(409, "customer-erased")


async def test_an_order_and_an_erasure_at_once_are_never_both_accepted(shop):
    await prepare(shop)
    customers = [f"racing-{number}" for number in range(RACES)]
    for each in customers:
        await shop.commands.post("/v1/customers", {"customer_id": each, "country": "Italy"})

    async def place(each):
        await asyncio.sleep(HEAD_START_S * customers.index(each))  # an erasure takes longer to decide
        return await shop.commands.post("/v1/orders", {**FOR_ADA, "order_id": each, "customer_id": each})

    async def race(each):
        erasure = shop.commands.post(f"/v1/customers/{each}/erasure", {})
        placed, erased = await asyncio.gather(place(each), erasure)
        return placed.status, placed.body.get("code"), erased.status, erased.body.get("code")

    outcomes = set(await asyncio.gather(*map(race, customers)))

    assert outcomes <= {(201, None, 409, "orders-open"), (409, "customer-erased", 201, None)}


async def test_the_export_of_a_customer_has_their_orders_and_nobody_else_s(shop):
    await prepare(shop)
    await shop.commands.post("/v1/customers", {"customer_id": "other", "country": "Italy"})
    await shop.commands.post("/v1/orders", FOR_ADA)
    await shop.commands.post("/v1/orders", {**FOR_ADA, "order_id": "536366", "customer_id": "other"})
    await shop.post("/v1/orders/536365/cancellation", {"reason": "customer"})
    export = (await shop.queries.get("/v1/customers/17850/export")).body
    of_order = [each for each in export["events"] if each["stream"] == "order-536365"]

    assert {"customer-17850", "order-536365"} == {each["stream"] for each in export["events"]}
    assert {name: plain(text) for name, text in CONTACT.items()} == of_order[0]["payload"]["contact"]
    assert "Ada Lovelace" not in str([each for each in export["events"] if each not in of_order])


@pytest.fixture
async def shop_of_accounts(database_url, keys_database_url, tmp_path):
    settings = weakly(accounts_on(database_url, home=tmp_path))
    settings = settings.model_copy(update={"keys_database_url": SecretStr(keys_database_url)})
    await asyncio.to_thread(accounts.create_owner, settings, email=EMAIL, password=PASSWORD)
    async with opened_to_accounts(settings) as shop:
        yield shop


async def test_contact_data_is_shown_by_role_and_to_whom_the_order_belongs(shop_of_accounts):
    shop = shop_of_accounts
    ada, bob = [await shop.token_as("customer", name=name) for name in ("-ada", "-bob")]
    await shop.post("/v1/products", PRODUCT, await shop.token_as("merchandiser"))
    mine = {**ORDER, "contact": {"email": "ada@example.org"}}
    del mine["order_id"]
    early = await shop.post("/v1/orders", mine, ada)
    await shop.post("/v1/customers", {"country": "Italy"}, ada)
    order_id = (await shop.post("/v1/orders", mine, ada)).json()["id"]
    await asyncio.to_thread(queries.carry, shop.url, CONTEXTS.views)
    await shop.query_app.state.reads.poller.next_snapshot()

    async def email_for(token):
        return (await shop.get(f"/v1/orders/{order_id}/contact", token)).json()["email"]

    assert (404, "customer-unknown") == (early.status_code, early.json()["code"])
    assert plain("ada@example.org") == await email_for(ada)
    assert plain("ada@example.org") == await email_for(await shop.token_as("support"))
    for role in ("warehouse", "finance"):
        assert {"shown": "mask", "text": "a…@e….org"} == await email_for(await shop.token_as(role))
    assert {"shown": "sealed", "text": None} == await email_for(await shop.token_as("auditor"))
    for query in ("", "?as_of=3"):
        foreign = await shop.get(f"/v1/orders/{order_id}/contact{query}", bob)
        absent = await shop.get(f"/v1/orders/absent/contact{query}", bob)
        assert 404 == foreign.status_code == absent.status_code
        assert foreign.json()["detail"].replace(order_id, "absent") == absent.json()["detail"]
