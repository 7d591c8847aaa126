"""Answers of searches that are kept in Redis: given again while they are right, and never otherwise.

A lamp is renamed here without an event of the catalogue, which tells a kept answer from one that was searched anew.
"""

import socket
from collections.abc import Iterator

import pytest
import redis
from msgspec.structs import replace

from projections.catalogue.views import ANY_SKU, ProductSearch, product_search
from read_api.reading import documents
from read_api.searching import kept
from tests.read_api.slow_proxy import slow_proxy
from tests.read_api.stage import PLACED_AT, Stage, token

pytestmark = pytest.mark.anyio

PATH = "/v1/product-search?q=lamps"
KEPT, NEW = "Lamp", "Lamp with a shade"
LATENCY_S = 60.0


def lamp(title: str) -> ProductSearch:
    return ProductSearch(
        sku="lamp", title=title, heading=title.lower(), created_at=PLACED_AT, facets="stock:in", in_stock=True
    )


@pytest.fixture(scope="module")
def stage(new_shop, redis_server) -> Iterator[Stage]:
    """One for all tests of this module, each of which begins it anew."""
    stage = Stage(new_shop(), redis_server.url)
    yield stage
    stage.close()


@pytest.fixture
def lamps(stage, client_of_redis):
    stage.conn.execute("delete from log.epoch where epoch > 1")
    stage.conn.execute(f"delete from views.{stage.live(product_search).table}")
    for key in _keys(client_of_redis):
        client_of_redis.delete(key)
    stage.write(product_search, [lamp(KEPT)], position=7)
    stage.write(product_search, [ProductSearch(sku=ANY_SKU, changes=1)], position=7)
    stage.everybody_stands(9)
    return stage


@pytest.fixture
def client_of_redis(stage):
    with redis.Redis.from_url(stage.redis_url) as client:
        yield client


async def _title(client, path=PATH, **headers):
    answer = await client.get(path, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()["items"][0]["title"]


def _keys(client_of_redis):
    return [key for key in client_of_redis.scan_iter() if kept.NAME.encode() in key]


async def _keep(stage, client, client_of_redis):
    """Have an answer kept, and the lamp renamed in SQL; the key of the answer."""
    assert await _title(client) == KEPT
    await client.app.state.reads.documents.get(("behind what was kept",))
    stage.write(product_search, [lamp(NEW)], position=8)
    (key,) = _keys(client_of_redis)
    return key


async def test_a_kept_answer_is_given_again_with_its_position(lamps, open_api, client_of_redis):
    async with open_api() as client:
        key = await _keep(lamps, client, client_of_redis)
        again = await client.get(PATH)
        other = await _title(client, f"{PATH}&limit=7")

    installation = lamps.conn.execute("select id from log.installation").fetchone()[0]
    assert f"{installation}:product:search:list:" in key.decode()
    assert key.endswith(b":cursor:first:size:20")
    assert 0 < client_of_redis.ttl(key) <= kept.TTL_S
    assert (KEPT, NEW) == (again.json()["items"][0]["title"], other)
    assert again.headers["applied-position"] == token(dict.fromkeys(range(12), 9))


async def test_an_event_of_the_catalogue_clears_what_was_kept_before_it(lamps, open_api, client_of_redis):
    async with open_api() as client:
        await _keep(lamps, client, client_of_redis)
        lamps.write(product_search, [ProductSearch(sku=ANY_SKU, changes=2)], position=10)

        assert await _title(client) == NEW


async def test_the_last_piece_that_goes_clears_the_answers_that_show_it(lamps, open_api, client_of_redis):
    async with open_api() as client:
        await _keep(lamps, client, client_of_redis)
        lamps.write(product_search, [replace(lamp(NEW), available=1)], position=10)
        moved = await _title(client)
        lamps.write(product_search, [replace(lamp(NEW), in_stock=False, facets="stock:out")], position=11)

        assert (KEPT, NEW) == (moved, await _title(client))


async def test_nobody_who_names_a_position_is_given_what_was_kept(lamps, open_api, client_of_redis):
    async with open_api() as client:
        await _keep(lamps, client, client_of_redis)

        assert await _title(client, **{"Min-Position": token({0: 1})}) == NEW


@pytest.mark.parametrize("poisoned", ["garbage", "cut", "another key"])
async def test_what_nobody_of_ours_kept_is_no_answer(lamps, open_api, client_of_redis, poisoned):
    async with open_api() as client:
        key = await _keep(lamps, client, client_of_redis)
        value = client_of_redis.get(key)
        elsewhere = key.replace(b"size:20", b"size:19")
        client_of_redis.set(elsewhere, value)
        values = {"garbage": b"x" * 99, "cut": value[:-1], "another key": value}
        client_of_redis.set(key, values[poisoned])
        path = f"{PATH}&limit=19" if poisoned == "another key" else PATH
        await client.app.state.reads.documents.get(("behind the announcement",))

        assert await _title(client, path) == NEW


async def test_what_is_older_than_its_time_is_no_answer(lamps, open_api, client_of_redis, monkeypatch):
    async with open_api() as client:
        await _keep(lamps, client, client_of_redis)
        monkeypatch.setattr(client.app.state.searches._kept, "_clock", lambda: 2e9 * 2)

        assert await _title(client) == NEW


async def test_an_answer_of_another_epoch_is_none(lamps, open_api, client_of_redis):
    async with open_api() as client:
        await _keep(lamps, client, client_of_redis)
        lamps.fence(epoch=2, first_position=10)
        await client.app.state.reads.poller.next_snapshot()

        assert await _title(client) == NEW


async def test_redis_that_is_away_or_slow_costs_a_fiftieth_of_a_second_and_no_answer(lamps, open_api):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        async with open_api(redis_url=f"redis://127.0.0.1:{port}/0", patient=False) as client:
            assert [await _title(client) for _ in range(5)] == [KEPT] * 5
    async with slow_proxy(lamps.redis_url) as proxy, open_api(redis_url=proxy.url, patient=False) as client:
        proxy.latency_s = LATENCY_S
        assert [await _title(client) for _ in range(5)] == [KEPT] * 5

    assert documents.ANSWER_TIMEOUT_S <= 0.05


async def test_a_lists_answer_may_be_kept_by_shared_caches_where_nobody_is_known(lamps, open_api):
    async with open_api(redis_url=None) as client:
        answer = await client.get(PATH)
        own = await client.get(PATH, headers={"Min-Position": token({0: 1})})

    assert answer.headers["cache-control"] == "public, max-age=0, s-maxage=60"
    assert answer.headers["vary"] == "Authorization, Min-Position"
    assert own.headers["cache-control"] == "no-store"


async def test_the_next_page_is_linked(lamps, open_api):
    lamps.write(product_search, [replace(lamp(KEPT), sku="other")], position=8)

    async with open_api(redis_url=None) as client:
        first = await client.get(f"{PATH}&limit=1")
        second = await client.get(first.links["next"]["url"])

    assert ["lamp", "other"] == [each.json()["items"][0]["sku"] for each in (first, second)]
    assert (2, None, None) == (
        first.json()["matches"],
        second.json()["matches"],
        second.json()["next_cursor"],
    )


async def test_an_unknown_parameter_is_refused(lamps, open_api):
    async with open_api(redis_url=None) as client:
        answer = await client.get("/v1/product-search?colour=red")

    assert answer.status_code == 400
