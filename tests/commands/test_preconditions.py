"""ETag and If-Match: a caller acts on the version it saw, or learns what happened since."""

import asyncio

import pytest

from counterfoil.testing.http import new_key
from event_store.transport import position_token
from event_store.transport.partitioning import partition_of
from tests.examples import placed, price_changed, product_created, stock_received

pytestmark = pytest.mark.anyio

PRICE = {"unit_price": "9.99", "currency": "GBP"}


@pytest.mark.parametrize("tag", ['"1"', '"1-gzip"'])
async def test_the_version_that_was_seen_is_acted_on(given, tag):
    shop = await given(product_created())

    answer = await shop.post("/v1/products/85123A/price", PRICE, if_match=tag)

    answer.then_accepted(stream="product-85123A", version=2)


async def test_a_version_that_is_past_is_refused_with_what_happened_since(given):
    shop = await given(product_created(), price_changed(), price_changed(unit_price="3", previous="2.95"))

    answer = await shop.post("/v1/products/85123A/price", PRICE, if_match='"1"')

    answer.then_refused(
        412,
        "precondition-failed",
        expected=1,
        actual=3,
        events_since=["catalogue.price_changed.v1", "catalogue.price_changed.v1"],
    )
    assert 3 == shop.position


async def test_a_version_that_is_yet_to_come_is_refused(given):
    shop = await given(product_created())

    answer = await shop.post("/v1/products/85123A/price", PRICE, if_match='"7"')

    answer.then_refused(412, "precondition-failed", expected=7, actual=1, events_since=[])


@pytest.mark.parametrize(("seen_at", "coding"), [(2, ""), (7, ""), (2, "-gzip")])
async def test_the_tag_of_a_read_is_acted_on_while_nothing_happened_since(given, seen_at, coding):
    shop = await given(product_created(), price_changed())

    answer = await shop.post("/v1/products/85123A/price", PRICE, if_match=f'"1.s1_b1.{seen_at}{coding}"')

    answer.then_accepted(stream="product-85123A", version=3)


async def test_the_tag_of_a_read_that_is_past_is_refused_with_what_happened_since(given):
    shop = await given(product_created(), stock_received(), price_changed())

    answer = await shop.post("/v1/products/85123A/price", PRICE, if_match='"1.s1_b1.1"')

    answer.then_refused(
        412,
        "precondition-failed",
        expected="what it was at position 1",
        actual=2,
        events_since=["catalogue.price_changed.v1"],
    )
    assert 3 == shop.position


async def test_the_tag_of_a_read_is_not_acted_on_by_a_process_that_knows_no_newer_version(given):
    shop = await given(product_created())
    await shop.post("/v1/products/85123A/price", PRICE)
    await given(price_changed())

    answer = await shop.post("/v1/products/85123A/price", PRICE, if_match='"1.s2_b3.2"')

    answer.then_refused(412, "precondition-failed", actual=3)


@pytest.mark.parametrize(
    ("path", "tag"), [("/v1/products/85123A/price", '"2.s1_b1.1"'), ("/v1/products/B/price", '"1.s1_b1.9"')]
)
async def test_the_tag_of_a_read_of_another_history_or_of_nothing_is_refused(given, path, tag):
    shop = await given(product_created())

    answer = await shop.post(path, PRICE, if_match=tag)

    answer.then_refused(412, "precondition-failed")


async def test_a_process_that_knows_an_old_version_does_not_refuse_the_newest_one(given):
    shop = await given(product_created())
    await shop.post("/v1/products/85123A/price", PRICE)
    await given(price_changed())

    answer = await shop.post("/v1/products/85123A/price", {**PRICE, "unit_price": "1"}, if_match='"3"')

    answer.then_accepted(stream="product-85123A", version=4)


async def test_a_process_that_knows_an_old_version_does_not_act_on_it(given):
    shop = await given(product_created())
    await shop.post("/v1/products/85123A/price", PRICE)
    await given(price_changed())

    answer = await shop.post("/v1/products/85123A/price", {**PRICE, "unit_price": "1"}, if_match='"2"')

    answer.then_refused(412, "precondition-failed", actual=3)


async def test_a_retry_after_success_gets_the_first_answer_although_the_version_is_past(given):
    shop = await given(product_created())
    key = new_key()
    first = await shop.post("/v1/products/85123A/price", PRICE, key=key, if_match='"1"')

    second = await shop.post("/v1/products/85123A/price", PRICE, key=key, if_match='"1"')

    assert first.bytes == second.bytes
    second.then_accepted(stream="product-85123A", version=2, replayed=True)


@pytest.mark.parametrize("if_match", ['"1"', "*"])
async def test_what_does_not_exist_matches_no_version(shop, if_match):
    answer = await shop.post("/v1/products", {"sku": "A", "title": "A", "stocked": True}, if_match=if_match)

    answer.then_refused(412, "precondition-failed", actual=0)
    assert 0 == shop.position


async def test_any_version_matches_what_exists(given):
    shop = await given(product_created(), price_changed())

    answer = await shop.post("/v1/products/85123A/price", PRICE, if_match="*")

    answer.then_accepted(stream="product-85123A", version=3)


@pytest.mark.parametrize(
    "if_match", ["1", 'W/"1"', '"1", "2"', '"01"', '"-1"', '"1-br"', '""', '"one"', '"9999999999999999999"']
)
async def test_if_match_is_one_strong_entity_tag(given, if_match):
    shop = await given(product_created())

    answer = await shop.post("/v1/products/85123A/price", PRICE, if_match=if_match)

    answer.then_refused(400, "if-match-malformed", at=["If-Match"])


@pytest.mark.parametrize("fresh_process", [True, False])
async def test_of_64_racers_on_one_version_one_wins(given, fresh_process):
    shop = await given(product_created())
    if not fresh_process:
        await shop.post("/v1/products/85123A/price", {**PRICE, "unit_price": "2.55"})
    version = "1"

    answers = await asyncio.gather(
        *(
            shop.post(
                "/v1/products/85123A/price", {**PRICE, "unit_price": str(price)}, if_match=f'"{version}"'
            )
            for price in range(64)
        )
    )

    assert [201] + [412] * 63 == sorted(answer.status for answer in answers)
    assert 2 == shop.position


async def test_of_64_racers_for_one_code_one_wins(shop):
    answers = await asyncio.gather(
        *(
            shop.post("/v1/products", {"sku": "A", "title": f"racer {number}", "stocked": True})
            for number in range(64)
        )
    )

    assert [201] + [409] * 63 == sorted(answer.status for answer in answers)
    assert 1 == shop.position


async def test_racers_without_a_version_all_get_through(given):
    shop = await given(product_created())

    answers = await asyncio.gather(
        *(shop.post("/v1/stock/85123A/receipts", {"quantity": 1}) for _ in range(64))
    )

    assert {201} == {answer.status for answer in answers}
    assert list(range(1, 65)) == sorted(answer.body["version"] for answer in answers)


async def test_the_position_token_names_what_was_touched(given):
    shop = await given(placed())

    answer = await shop.post("/v1/orders/536365/cancellation", {"reason": "customer"})

    token = position_token.decode(answer.headers["position"])
    assert {partition_of("order-536365", 12): 2} == token.partitions
    assert (1, 1) == (token.epoch, token.generation)
