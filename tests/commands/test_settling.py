"""Prefer: until=settled on a command, and GET /v1/commands/{position}/effects."""

import asyncio
import contextlib

import psycopg
import pytest

from event_store.consumers import settling
from event_store.transport import position_token
from tests.commands.conftest import opened
from tests.commands.processes.running import running
from tests.examples import ORDER, SKU, confirmed, placed, product_created, shipped, stock_received

pytestmark = pytest.mark.anyio

SETTLED = {"prefer": "wait=10, until=settled"}
PATIENT_S = 60.0
SALE = {
    "order_id": ORDER,
    "country": "France",
    "currency": "GBP",
    "lines": [{"sku": SKU, "quantity": 3}],
}


@contextlib.asynccontextmanager
async def deciding(shop):
    """The shop with its process managers at work."""
    work = running(shop.url)
    await asyncio.to_thread(work.__enter__)
    try:
        yield
    finally:
        await asyncio.to_thread(work.__exit__, None, None, None)


async def test_a_settled_order_is_answered_once_it_is_confirmed(given):
    shop = await given(product_created(), stock_received())

    async with deciding(shop):
        answer = again = await shop.post("/v1/orders", SALE, key="once", headers=SETTLED)
        async with asyncio.timeout(PATIENT_S):  # a busy machine may take longer than anybody may wait at once
            while again is answer or again.headers["settled"] != "yes":
                again = await shop.post("/v1/orders", SALE, key="once", headers=SETTLED)
    found = (await shop.client.get(f"/v1/commands/{answer.body['position']}/effects")).json()

    answer.then_accepted(stream=f"order-{ORDER}", version=1)
    assert ("yes", "wait=10, until=settled") == (
        again.headers["settled"],
        again.headers["preference-applied"],
    )
    assert answer.bytes == again.bytes
    assert found["settled"]
    assert [
        ("ordering.order_placed.v3", None),
        ("inventory.stock_reserved.v1", "fulfilment"),
        ("ordering.order_confirmed.v1", "fulfilment"),
    ] == [(event["type"], event["by"]) for event in found["events"]]
    assert [("fulfilment", "done")] == [(each["consumer"], each["state"]) for each in found["reactions"]]
    assert found["events"][-1]["position"] == position_token.decode(again.headers["position"]).highest


async def test_what_nobody_decides_in_time_is_pending(given):
    shop = await given(product_created(), stock_received())

    answer = await shop.post("/v1/orders", SALE, headers={"prefer": "until=settled"})

    answer.then_accepted(stream=f"order-{ORDER}", version=1)
    assert ("no; pending=fulfilment", "until=settled") == (
        answer.headers["settled"],
        answer.headers["preference-applied"],
    )
    assert answer.body["position"] == position_token.decode(answer.headers["position"]).highest


async def test_a_parked_trigger_is_waited_for_no_longer(given):
    shop = await given(product_created(), stock_received())
    placed = await shop.post("/v1/orders", SALE, key="once")
    park(shop, position=placed.body["position"])

    async with asyncio.timeout(PATIENT_S):
        answer = await shop.post(
            "/v1/orders", SALE, key="once", headers={"prefer": "wait=10;x, until=settled"}
        )

    assert "yes; parked=fulfilment" == answer.headers["settled"]


async def test_nobody_waits_for_the_outside_world(database_url):
    async with opened(database_url, carrier_url="http://127.0.0.1:1") as shop, asyncio.timeout(PATIENT_S):
        await shop.given(placed(), confirmed(), shipped())

        answer = await shop.post(f"/v1/orders/{ORDER}/shipment/label", headers=SETTLED)
        found = (await shop.client.get(f"/v1/commands/{answer.body['position']}/effects")).json()

    answer.then_accepted(stream=f"shipment-{ORDER}", version=1)
    assert "no; waiting=carrier" == answer.headers["settled"]
    assert [("carrier", "waiting")] == [(each["consumer"], each["state"]) for each in found["reactions"]]


async def test_a_command_that_concerns_nobody_is_settled_at_once(given):
    shop = await given(product_created())

    answer = await shop.post(f"/v1/stock/{SKU}/receipts", {"quantity": 5}, headers=SETTLED)

    answer.then_accepted(stream=f"stock-{SKU}", version=1)
    assert "yes" == answer.headers["settled"]


async def test_without_the_preference_nothing_is_said_of_it(given):
    shop = await given(product_created(), stock_received())

    answer = await shop.post("/v1/orders", SALE, headers={"prefer": "wait=10, respond-async"})

    assert not {"settled", "preference-applied"} & set(answer.headers)


async def test_what_follows_from_a_command_is_bounded(given, monkeypatch):
    monkeypatch.setattr(settling, "EFFECTS_MAX", 2)
    shop = await given(product_created(), stock_received())

    async with deciding(shop):
        answer = await shop.post("/v1/orders", SALE, headers=SETTLED)

    assert answer.headers["settled"].startswith("no")


@pytest.mark.parametrize(("position", "status"), [("99", 404), ("0", 422), ("x", 422)])
async def test_a_position_without_an_event_has_no_effects(shop, position, status):
    answer = await shop.client.get(f"/v1/commands/{position}/effects")

    assert status == answer.status_code
    assert "application/problem+json" == answer.headers["content-type"]


def park(shop, *, position):
    with psycopg.connect(shop.url, autocommit=True) as connection:
        connection.execute(
            "insert into consumers.parked (consumer, partition_key, position, stream, version, type, reason,"
            " last_position) values ('fulfilment', %s, %s, %s, 1, 'x', 'a defect', %s)",
            [f"order-{ORDER}", position, f"order-{ORDER}", position],
        )
