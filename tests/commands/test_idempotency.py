"""One effect per key: replays byte for byte, mismatches, missing keys, retries after a refusal."""

import asyncio
import hashlib
import hmac

import pytest
from psycopg import errors

from counterfoil.testing.http import new_key
from runtime import database
from tests.commands.conftest import opened
from tests.examples import cancelled, placed, product_created, stock_received

pytestmark = pytest.mark.anyio

NEW = {"sku": "85123A", "title": "Holder", "stocked": True}
SAME_HEADERS = ("content-type", "content-length", "etag", "position", "location")

REQUESTS = [
    ("/v1/products", {"title": "no code of its own", "stocked": True}),
    ("/v1/products", {**NEW, "sku": "other"}),
    ("/v1/products/85123A/price", {"unit_price": "9.99", "currency": "GBP"}),
    (
        "/v1/products/85123A/price",
        {"unit_price": "2.55", "currency": "GBP"},
    ),  # the price it has: an empty decision
    ("/v1/stock/85123A/receipts", {"quantity": 7}),
    ("/v1/stock/85123A/adjustments", {"delta": -3, "reason": "loss"}),
    ("/v1/orders", {"country": "x", "currency": "GBP", "lines": [{"sku": "85123A", "quantity": 1}]}),
    ("/v1/orders/536365/cancellation", {"reason": "customer"}),
    (
        "/v1/credit-notes",
        {"country": "x", "currency": "GBP", "lines": [{"sku": "85123A", "quantity": 1, "unit_price": "1"}]},
    ),
]


@pytest.mark.parametrize(("path", "body"), REQUESTS)
async def test_a_repeated_request_gets_the_first_answer_byte_for_byte_and_nothing_happens_twice(
    given, path, body
):
    shop = await given(product_created(), stock_received(), placed())
    key = new_key()
    first = await shop.post(path, body, key=key)
    assert 201 == first.status, first.bytes
    position = shop.position

    second = await shop.post(path, body, key=key)

    assert first.bytes == second.bytes
    assert {name: first.headers[name] for name in SAME_HEADERS} == {
        name: second.headers[name] for name in SAME_HEADERS
    }
    assert "true" == second.headers["idempotent-replayed"]
    assert "idempotent-replayed" not in first.headers
    assert position == shop.position


async def test_the_first_answer_is_given_also_when_the_stream_has_moved_on_since(given):
    shop = await given(product_created())
    key = new_key()
    first = await shop.post("/v1/products/85123A/price", {"unit_price": "3", "currency": "GBP"}, key=key)
    await shop.post("/v1/products/85123A/price", {"unit_price": "4", "currency": "GBP"})

    second = await shop.post("/v1/products/85123A/price", {"unit_price": "3", "currency": "GBP"}, key=key)

    assert first.bytes == second.bytes
    assert 3 == shop.position


async def test_a_success_is_replayed_where_the_same_request_would_now_be_refused(given):
    shop = await given(placed())
    key = new_key()
    first = await shop.post("/v1/orders/536365/cancellation", {"reason": "customer"}, key=key)
    created = await shop.post("/v1/products", NEW, key="creation")

    assert (
        first.bytes
        == (await shop.post("/v1/orders/536365/cancellation", {"reason": "customer"}, key=key)).bytes
    )
    assert created.bytes == (await shop.post("/v1/products", NEW, key="creation")).bytes


async def test_another_process_replays_the_answer_too(given, database_url):
    shop = await given(product_created())
    first = await shop.post("/v1/products", {"title": "no code", "stocked": True}, key="shared")
    async with opened(database_url) as other:
        second = await other.post("/v1/products", {"title": "no code", "stocked": True}, key="shared")

    assert first.bytes == second.bytes


async def test_the_spelling_of_the_body_does_not_matter(shop):
    first = await shop.post("/v1/products", b'{"sku":"A","title":"T\\u00e4t","stocked":true}', key="spelt")
    second = await shop.post(
        "/v1/products",
        b' {"stocked" : true, "unit_price": null, "title":"T\xc3\xa4t","sku":"A"}',
        key="spelt",
    )

    assert first.bytes == second.bytes


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/products", {**NEW, "title": "Other"}),
        ("/v1/products", {**NEW, "sku": "other"}),
        ("/v1/products/85123A/price", {"unit_price": "9", "currency": "GBP"}),
        ("/v1/orders/none/shipment", {}),
    ],
)
async def test_a_key_that_was_used_for_something_else_is_refused(shop, path, body):
    (await shop.post("/v1/products", NEW, key="used")).then_accepted(stream="product-85123A", version=1)

    (await shop.post(path, body, key="used")).then_refused(
        422, "idempotency-key-reused", at=["Idempotency-Key"]
    )
    assert 1 == shop.position


async def test_the_same_command_on_another_target_is_another_request(given):
    shop = await given(product_created(), product_created(sku="other"))
    await shop.post("/v1/stock/85123A/receipts", {"quantity": 1}, key="used")

    answer = await shop.post("/v1/stock/other/receipts", {"quantity": 1}, key="used")

    answer.then_refused(422, "idempotency-key-reused")


async def test_a_request_without_a_key_is_refused(shop):
    answer = await shop.post("/v1/products", NEW, key=None)

    answer.then_refused(400, "idempotency-key-missing", at=["Idempotency-Key"])
    assert 0 == shop.position


@pytest.mark.parametrize("key", [" ", "a b", "x" * 256, "\x7f", "caf\xe9"])
async def test_a_key_that_is_not_visible_ascii_is_refused(shop, key):
    answer = await shop.post(
        "/v1/products", NEW, key=None, headers={"Idempotency-Key": key.encode("latin-1")}
    )

    answer.then_refused(400, "idempotency-key-malformed", at=["Idempotency-Key"])
    assert 0 == shop.position


async def test_a_key_of_255_characters_is_a_key(shop):
    (await shop.post("/v1/products", NEW, key="~" * 255)).then_accepted(stream="product-85123A", version=1)


async def test_a_refusal_is_not_kept_so_the_key_can_be_tried_again(given):
    shop = await given(product_created())
    body = {"delta": -5, "reason": "loss"}
    refused = await shop.post("/v1/stock/85123A/adjustments", body, key="again")
    refused.then_refused(409, "insufficient-stock")
    await given(stock_received())

    (await shop.post("/v1/stock/85123A/adjustments", body, key="again")).then_accepted(
        stream="stock-85123A", version=2
    )


async def test_a_request_that_could_not_be_read_leaves_its_key_unused(shop):
    (await shop.post("/v1/products", {**NEW, "title": ""}, key="again")).then_refused(
        422, "validation-failed"
    )

    (await shop.post("/v1/products", NEW, key="again")).then_accepted(stream="product-85123A", version=1)


async def test_an_empty_decision_reached_on_an_old_state_is_decided_again(given):
    shop = await given(product_created())
    await shop.post(
        "/v1/products/85123A/price", {"unit_price": "3", "currency": "GBP"}
    )  # this process knows 3 now
    async with opened(shop.url) as other:
        await other.post("/v1/products/85123A/price", {"unit_price": "4", "currency": "GBP"})

    answer = await shop.post("/v1/products/85123A/price", {"unit_price": "3", "currency": "GBP"})

    answer.then_accepted(stream="product-85123A", version=4)


async def test_a_refusal_reached_on_an_old_state_is_decided_again(given):
    shop = await given(product_created())
    await shop.post("/v1/stock/85123A/receipts", {"quantity": 1})  # this process knows one piece now
    await given(stock_received(quantity=10))

    answer = await shop.post("/v1/stock/85123A/adjustments", {"delta": -11, "reason": "loss"})

    answer.then_accepted(stream="stock-85123A", version=3)


async def test_one_key_at_many_processes_at_once_has_one_effect_and_one_answer(database_url):
    async with opened(database_url) as one, opened(database_url) as two, opened(database_url) as three:
        body = {"title": "no code of its own", "stocked": True}
        answers = await asyncio.gather(
            *(shop.post("/v1/products", body, key="everywhere") for shop in (one, two, three) * 20)
        )

        assert {201} == {answer.status for answer in answers}
        assert 1 == len({answer.bytes for answer in answers})
        assert 1 == sum("idempotent-replayed" not in answer.headers for answer in answers)
        assert 1 == one.position


async def test_each_of_many_commands_sent_several_times_at_once_has_one_effect(given, database_url):
    shop = await given(product_created())
    async with opened(database_url) as other:
        sent = [(process, f"receipt-{number}") for number in range(100) for process in (shop, other, shop)]
        answers = await asyncio.gather(
            *(process.post("/v1/stock/85123A/receipts", {"quantity": 1}, key=key) for process, key in sent)
        )

    while again := [index for index, answer in enumerate(answers) if answer.status == 409]:
        for index in again:  # the two processes kept colliding: asked to send again with the same key
            answers[index].then_refused(409, "contended")
            answers[index] = await shop.post("/v1/stock/85123A/receipts", {"quantity": 1}, key=sent[index][1])
    assert 100 == len(shop.events("stock-85123A"))
    assert 100 == len({answer.bytes for answer in answers})


async def test_a_cancelled_order_cancelled_again_under_another_key_says_the_version_it_has(given):
    shop = await given(placed(), cancelled(was_confirmed=False))

    first = await shop.post("/v1/orders/536365/cancellation", {"reason": "fraud"}, key="empty")
    second = await shop.post("/v1/orders/536365/cancellation", {"reason": "fraud"}, key="empty")

    first.then_accepted(stream="order-536365", version=2)
    second.then_accepted(stream="order-536365", version=2, replayed=True)
    assert first.bytes == second.bytes


async def test_the_log_holds_a_keyed_hash_of_what_was_asked_and_who_only_reads_cannot_make_one(shop):
    await shop.post("/v1/products", NEW, key="k-1")
    asked = b'7:command3:k-114:create_product0:48:{"sku":"85123A","title":"Holder","stocked":true}'

    with database.connect(shop.url, role="counterfoil_writer", name="test") as conn:
        secret = conn.execute("select key from secret.fingerprint").fetchone()
        kept = conn.execute("select fingerprint from log.outcome").fetchone()
    assert secret is not None
    assert (hmac.new(secret[0], asked, hashlib.sha256).digest(),) == kept
    with shop.reader() as conn, pytest.raises(errors.InsufficientPrivilege):
        conn.execute("select key from secret.fingerprint")
