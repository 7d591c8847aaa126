"""Read your own write: an answer has what was asked for, or says that it has not."""

import asyncio
import time

import pytest

from event_store.transport import position_token
from projections.ordering.views import SkuSales, order_details, sku_sales
from runtime.http import preferences
from tests.read_api.stage import order, partition_of_order, token

pytestmark = pytest.mark.anyio

OWN = partition_of_order("536365")
OTHER = (OWN + 1) % 12
LONG_S = 120
"""A wait that a busy machine does not reach; of those who may wait for ten seconds one might be answered too late."""


@pytest.fixture
def long_waits(monkeypatch):
    monkeypatch.setattr(preferences, "WAIT_MAX_S", LONG_S)


@pytest.fixture
def stood(stage):
    """One order; log, relay and views at position 9."""
    stage.write(order_details, [order()], position=7)
    stage.everybody_stands(9)
    return stage


def _min(partitions, **options):
    return {"Min-Position": token(partitions, **options)}


async def test_a_reached_position_is_answered_at_once(stood, open_api):
    async with open_api() as client:
        answer = await client.get("/v1/orders/536365", headers=_min({OWN: 9}))

    assert answer.status_code == 200


async def test_a_position_that_is_not_reached_is_a_stale_read_that_says_when_to_come_again(stood, open_api):
    stood.head(12)

    async with open_api() as client:
        answer = await client.get("/v1/orders/536365", headers=_min({OWN: 12}))

    assert answer.status_code == 503
    assert answer.json()["code"] == "stale-read"
    assert answer.headers["retry-after"] == "1"
    assert position_token.decode(answer.headers["applied-position"]).partitions[OWN] == 9


async def test_every_partition_that_a_token_names_must_be_reached(stood, open_api):
    stood.head(12)
    stood.stand(order_details, 12, partitions=[OWN])

    async with open_api() as client:
        own = await client.get("/v1/orders/536365", headers=_min({OWN: 12}))
        both = await client.get("/v1/orders/536365", headers=_min({OWN: 12, OTHER: 11}))

    assert own.status_code == 200
    assert both.status_code == 503


async def test_a_partition_at_the_end_of_what_was_published_counts_as_the_relays_position(stood, open_api):
    """Nothing more will ever come to it up to there, so waiting for it would never end."""
    stood.head(12)
    stood.publish(12, last={OWN: 9})

    async with open_api() as client:
        answer = await client.get("/v1/orders/536365", headers=_min({OWN: 12}))

    assert answer.status_code == 200


async def test_a_lenient_caller_gets_what_there_is(stood, open_api):
    stood.head(12)

    async with open_api() as client:
        headers = _min({OWN: 12}) | {"Prefer": "handling=lenient, wait=0"}
        answer = await client.get("/v1/orders/536365", headers=headers)

    assert answer.status_code == 200
    assert answer.headers["preference-applied"] == "wait=0, handling=lenient"
    assert position_token.decode(answer.headers["applied-position"]).partitions == dict.fromkeys(range(12), 9)


@pytest.mark.usefixtures("long_waits")
async def test_a_caller_who_waits_gets_the_answer_as_soon_as_it_is_there(stood, open_api):
    stood.head(12)

    async with open_api() as client:
        headers = _min({OWN: 12}) | {"Prefer": f"wait={LONG_S}"}
        began = time.monotonic()
        reading = asyncio.create_task(client.get("/v1/orders/536365", headers=headers))
        await asyncio.sleep(0.3)
        stood.write(order_details, [order(status="confirmed")], position=12)
        stood.stand(order_details, 12)
        answer = await reading
        seconds = time.monotonic() - began

    assert answer.status_code == 200
    assert answer.json()["status"] == "confirmed"
    assert answer.headers["preference-applied"] == f"wait={LONG_S}"
    assert seconds < LONG_S / 2


async def test_a_wait_ends(stood, open_api):
    stood.head(12)

    async with open_api() as client:
        began = time.monotonic()
        answer = await client.get("/v1/orders/536365", headers=_min({OWN: 12}) | {"Prefer": "wait=1"})
        seconds = time.monotonic() - began

    assert answer.status_code == 503
    assert 0.9 < seconds < 30


@pytest.mark.usefixtures("long_waits")
async def test_a_wait_ends_when_the_process_is_to_end(stood, open_api):
    stood.head(12)

    async with open_api() as client:
        reading = asyncio.create_task(
            client.get("/v1/orders/536365", headers=_min({OWN: 12}) | {"Prefer": f"wait={LONG_S}"})
        )
        await asyncio.sleep(0.2)
        began = time.monotonic()
        client.app.state.readiness.drain()
        answer = await reading
        seconds = time.monotonic() - began

    assert answer.status_code == 503
    assert seconds < LONG_S / 2


async def test_a_longer_wait_than_allowed_is_cut_and_says_so(stood, open_api):
    async with open_api() as client:
        answer = await client.get("/v1/orders/536365", headers=_min({OWN: 9}) | {"Prefer": "wait=3600"})

    assert answer.headers["preference-applied"] == "wait=10"


async def test_preferences_that_are_not_known_are_passed_over(stood, open_api):
    async with open_api() as client:
        headers = _min({OWN: 9}) | {"Prefer": "respond-async, wait=soon"}
        answer = await client.get("/v1/orders/536365", headers=headers)

    assert answer.status_code == 200
    assert "preference-applied" not in answer.headers


async def test_global_views_are_fresh_when_they_passed_the_highest_position(stood, open_api):
    stood.write(sku_sales, [SkuSales(sku="85123A", currency="GBP", units=1)], position=8)
    stood.head(12)
    stood.publish(7)  # what the relay does is not their concern

    async with open_api() as client:
        headers = _min({OWN: 12, OTHER: 3})
        stood.stand(sku_sales, 11)
        behind = await client.get("/v1/skus/85123A/sales", headers=headers)
        stood.stand(sku_sales, 12)
        reached = await client.get("/v1/skus/85123A/sales", headers=headers)

    assert behind.status_code == 503
    assert reached.status_code == 200
    assert position_token.decode(reached.headers["applied-position"]).partitions == dict.fromkeys(
        range(12), 12
    )


async def test_a_token_of_an_earlier_generation_asks_for_everything_up_to_its_highest_position(
    stood, open_api
):
    stood.conn.execute("select transport.begin_generation(12, 'local', 'again')")
    stood.conn.execute("update views.build_checkpoint set generation = 2")
    stood.head(12)
    stood.stand(order_details, 12, partitions=[OWN])

    async with open_api() as client:
        one = await client.get("/v1/orders/536365", headers=_min({OWN: 12}))
        stood.stand(order_details, 12)
        all_ = await client.get("/v1/orders/536365", headers=_min({OWN: 12}))

    assert one.status_code == 503
    assert all_.status_code == 200


async def test_a_position_beyond_the_head_is_refused(stood, open_api):
    async with open_api() as client:
        answer = await client.get("/v1/orders/536365", headers=_min({OWN: 10}))

    assert answer.status_code == 400
    assert answer.json()["code"] == "position-beyond-head"
    assert answer.json()["facts"]["head"] == 9
    assert ["Min-Position"] == [fault["header"] for fault in answer.json()["errors"]]


async def test_a_position_just_written_is_not_beyond_the_head(stood, open_api):
    async with open_api() as client:
        stood.head(12)
        stood.stand(order_details, 12)
        answer = await client.get("/v1/orders/536365", headers=_min({OWN: 12}))

    assert answer.status_code == 200


async def test_a_position_that_a_restore_cut_off_is_lost(stood, open_api):
    stood.fence(epoch=2, first_position=8)
    stood.head(20, epoch=2)

    async with open_api() as client:
        lost = await client.get("/v1/orders/536365", headers=_min({OWN: 8}))
        kept = await client.get("/v1/orders/536365", headers=_min({OWN: 7}))
        of_new_epoch = await client.get("/v1/orders/536365", headers=_min({OWN: 9}, epoch=2))

    assert lost.status_code == 410
    assert lost.json()["code"] == "position-lost"
    assert kept.status_code == 200
    assert of_new_epoch.status_code == 200


async def test_a_restore_that_was_not_seen_yet_is_searched_before_a_position_is_called_future(
    stood, open_api
):
    async with open_api() as client:
        stood.fence(epoch=2, first_position=8)
        answer = await client.get("/v1/orders/536365", headers=_min({OWN: 20}))

    assert answer.status_code == 410


@pytest.mark.parametrize(
    ("partitions", "options"),
    [({OWN: 9}, {"epoch": 2}), ({OWN: 9}, {"generation": 2}), ({12: 9}, {}), ({OWN: 2**63}, {})],
)
async def test_a_token_of_what_does_not_exist_is_refused(api, partitions, options):
    answer = await api.get("/v1/orders/536365", headers=_min(partitions, **options))

    assert answer.status_code == 400


@pytest.mark.parametrize("text", ["", "7", "AAAA", "é", "A" * 2000])
async def test_text_that_is_no_token_is_refused(api, text):
    answer = await api.get("/v1/orders/536365", headers={"Min-Position": text.encode()})

    assert answer.status_code == 400
    assert answer.json()["code"] == "malformed-token"


async def test_what_an_answer_says_it_has_can_be_asked_for_again(stood, open_api):
    """Sent back as Min-Position, Applied-Position keeps reads of anything else from going back in time."""
    stood.publish(9, last={OTHER: 2})
    stood.stand(order_details, 2, partitions=[OTHER])
    stood.write(sku_sales, [SkuSales(sku="85123A", currency="GBP", units=1)], position=4)

    async with open_api() as client:
        for address in (
            "/v1/orders/536365",
            "/v1/skus/85123A/sales",
            "/v1/totals",
            "/v1/orders?status=placed",
        ):
            applied = (await client.get(address)).headers["applied-position"]
            again = [
                await client.get(other, headers={"Min-Position": applied})
                for other in (
                    "/v1/orders/536365",
                    "/v1/skus/85123A/sales",
                    "/v1/totals",
                    "/v1/orders?status=placed",
                )
            ]
            assert [answer.status_code for answer in again] == [200, 200, 200, 200], address


async def test_a_parked_key_says_so_and_is_never_fresh_beyond_its_event(stood, open_api):
    stood.park(order_details, "order-536365", position=9)

    async with open_api() as client:
        plain = await client.get("/v1/orders/536365")
        before = await client.get("/v1/orders/536365", headers=_min({OWN: 8}))
        beyond = await client.get("/v1/orders/536365", headers=_min({OWN: 9}))
        lenient = await client.get(
            "/v1/orders/536365", headers=_min({OWN: 9}) | {"Prefer": "handling=lenient"}
        )
        listed = await client.get("/v1/orders?status=placed")

    assert plain.headers["parked-position"] == "9"
    assert position_token.decode(plain.headers["applied-position"]).partitions[OWN] == 8
    assert before.status_code == 200
    assert beyond.status_code == 503
    assert beyond.json()["facts"]["parked_at"] == 9
    assert lenient.status_code == 200
    assert "parked-keys" not in listed.headers, "order_summary is another view"
