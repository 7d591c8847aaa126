"""The cache is trusted only while it is as new as SQL was a second ago; otherwise SQL answers, and soon.

Rows in the cache and in SQL differ here in their total, which tells who answered.
"""

import asyncio
import socket
import time

import psycopg
import pytest
import redis
from msgspec.structs import replace

from counterfoil.contexts import CONTEXTS
from counterfoil.testing.spec import folded
from projections.cart.views import cart_details
from projections.mirroring import body_of
from projections.ordering.views import order_details
from read_api import connections, polling
from read_api.reading import documents
from runtime.breaker import FAILURES_MAX, OPEN_S
from runtime.documents import TTL_S, parse_document
from tests.cart_examples import CART, cart_opened, item_added
from tests.read_api.slow_proxy import slow_proxy
from tests.read_api.stage import order, partition_of_order, token

pytestmark = pytest.mark.anyio

OWN = partition_of_order("536365")
CACHED, STORED = 1, 1530
THIRTY_DAYS_S = 30 * 86_400
AT_MOST_SLOWER_S = 0.05
LATENCY_S = 60.0
LATE_S = 20.0
"""What other work on the machine may add to one read; who waits for the cache waits for longer."""
PATIENCE_S = 60.0


@pytest.fixture
def mirrored(stage):
    """One order in SQL and, with another total, in the cache; everybody stands at 9."""
    stage.write(order_details, [order(total=STORED)], position=7)
    stage.everybody_stands(9)
    stage.mirror(order_details, [order(total=CACHED)], position=7, upto=9)
    return stage


@pytest.fixture
def client_of_redis(stage):
    with redis.Redis.from_url(stage.redis_url) as client:
        yield client


async def _total(client, **headers):
    answer = await client.get("/v1/orders/536365", headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()["total"]


async def _until(client, total):
    """Wait until an answer has this total, which it then has."""
    async with asyncio.timeout(4 * PATIENCE_S):
        while (found := await _total(client)) != total:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    return found


async def _until_put_back(client_of_redis, key, read):
    """All that is read until a document is put back behind an answer, which a busy machine may leave out.

    A read that the client-side cache answers waits for nothing, so it alone would keep announcements out for ever.
    """
    async with asyncio.timeout(PATIENCE_S):
        found = {await read()}
        while not client_of_redis.exists(key):
            await asyncio.sleep(0.001)
            found.add(await read())
    return found


async def _announced(client):
    """Wait until the client-side cache learned that the server was emptied."""
    deadline = time.monotonic() + PATIENCE_S
    while client.app.state.reads.documents.cached_bytes:
        assert time.monotonic() < deadline, "nothing was announced"
        await asyncio.sleep(0.005)


async def _timed(client):
    began = time.monotonic()
    total = await _total(client)
    return total, time.monotonic() - began


async def _usual_s(client):
    """What SQL alone takes here and now, the slowest of some."""
    return max([(await _timed(client))[1] for _ in range(20)])


async def test_a_cache_that_is_up_to_date_is_trusted(mirrored, open_api):
    async with open_api() as client:
        assert await _total(client) == CACHED


async def test_a_cache_behind_sql_is_not_trusted(mirrored, open_api):
    mirrored.stand(order_details, 10)

    async with open_api() as client:
        assert await _total(client) == STORED


async def test_only_the_partition_of_the_key_counts(mirrored, open_api):
    mirrored.stand(order_details, 10, partitions=[(OWN + 1) % 12])

    async with open_api() as client:
        assert await _total(client) == CACHED


async def test_a_cache_may_lag_for_a_second_and_no_longer(mirrored, open_api, monkeypatch):
    async with open_api() as client:
        await asyncio.sleep(1.1)
        with monkeypatch.context() as endless:
            endless.setattr(
                polling, "SETTLED_AFTER_S", 600.0
            )  # a second that is longer than the machine takes
            mirrored.stand(order_details, 10)
            await client.app.state.reads.poller.next_snapshot()
            at_once = await _total(client)
        later = await _until(client, STORED)
        mirrored.mirror_points(order_details, 10)
        mirrored_again = await _total(client)

    assert polling.SETTLED_AFTER_S == 1.0
    assert (at_once, later, mirrored_again) == (CACHED, STORED, CACHED)


async def test_a_lagging_cache_never_answers_for_a_position_it_has_not_reached(
    mirrored, open_api, monkeypatch
):
    monkeypatch.setattr(polling, "SETTLED_AFTER_S", 600.0)  # however long the machine takes from here on
    async with open_api() as client:
        mirrored.head(10)
        mirrored.stand(order_details, 10)
        await client.app.state.reads.poller.next_snapshot()

        assert await _total(client) == CACHED
        assert await _total(client, **{"Min-Position": token({OWN: 10})}) == STORED


async def test_a_cache_ahead_of_the_latest_snapshot_leaves_a_token_to_sql(mirrored, open_api, monkeypatch):
    """The snapshot does not know yet what was parked up to there."""
    monkeypatch.setattr(polling, "POLL_INTERVAL_S", 60.0)
    mirrored.head(12)

    async with open_api() as client:
        mirrored.stand(order_details, 12)
        mirrored.mirror_points(order_details, 12)

        assert await _total(client, **{"Min-Position": token({OWN: 12})}) == STORED


async def test_what_the_cache_has_beyond_the_latest_snapshot_is_not_promised(mirrored, open_api):
    """A key parked since then is not known yet, so the answer only says what SQL was seen to have."""
    async with open_api() as client:
        mirrored.mirror_points(order_details, 15)
        answer = await client.get("/v1/orders/536365")

    assert answer.json()["total"] == CACHED
    assert answer.headers["applied-position"] == token({OWN: 9})


async def test_a_flushed_cache_is_no_answer(mirrored, open_api, client_of_redis):
    client_of_redis.flushdb()

    async with open_api() as client:
        assert await _total(client) == STORED


async def test_a_missing_document_is_no_answer_even_with_good_checkpoints(
    mirrored, open_api, client_of_redis
):
    client_of_redis.delete(mirrored.prefix(order_details) + "536365")

    async with open_api() as client:
        assert await _total(client) == STORED


async def test_a_cache_that_comes_back_with_old_content_is_not_trusted(mirrored, open_api, client_of_redis):
    old = {key: client_of_redis.get(key) for key in client_of_redis.keys("*")}
    mirrored.write(order_details, [order(total=STORED + 1)], position=10)
    mirrored.stand(order_details, 10)
    mirrored.mirror(order_details, [order(total=CACHED + 1)], position=10)

    async with open_api() as client:
        before = await _total(client)
        client_of_redis.flushdb()
        client_of_redis.mset(old)
        await _announced(client)
        after = await _total(client)

    assert (before, after) == (CACHED + 1, STORED + 1)


async def test_what_expired_is_answered_by_sql_and_put_back(mirrored, open_api, client_of_redis):
    key = mirrored.prefix(order_details) + "536365"
    async with open_api() as client:
        client_of_redis.delete(key)  # what the server does at the end of its time
        missed = await _until_put_back(client_of_redis, key, lambda: _total(client))
        again = await _total(client)

    assert (missed, again) == ({STORED}, STORED)
    assert parse_document(client_of_redis.get(key)) == (7, body_of(order(total=STORED)))
    assert pytest.approx(client_of_redis.ttl(key), abs=60) == TTL_S


async def test_a_cart_is_shown_as_it_is_whatever_happened_to_its_document(stage, open_api, client_of_redis):
    """Its document is flushed, brought back as it was, and expires; two pieces are in SQL, and one in the cache."""
    cart = folded(cart_details, cart_opened(), item_added(quantity=1))[CART,]
    stage.write(cart_details, [replace(cart, units=2)], position=9)
    stage.everybody_stands(9)
    stage.mirror(cart_details, [cart], position=7)
    key = stage.prefix(cart_details) + CART
    old = {each: client_of_redis.get(each) for each in client_of_redis.keys("*")}
    found = {}

    async def read(client):
        return (await client.get(f"/v1/carts/{CART}")).json()["units"]

    async with open_api() as client:
        found["old"] = await read(client)
        client_of_redis.flushdb()
        found["flushed"] = await read(client)
        client_of_redis.mset(old)
        found["brought back"] = await read(client)
        stage.mirror(cart_details, [replace(cart, units=2)], position=9)
        found["written"] = await read(client)
        assert pytest.approx(client_of_redis.ttl(key), abs=60) == THIRTY_DAYS_S
        client_of_redis.pexpire(key, 1)
        async with asyncio.timeout(PATIENCE_S):
            while client_of_redis.exists(key):  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        (found["expired"],) = await _until_put_back(client_of_redis, key, lambda: read(client))
        found["put back"] = await read(client)

    assert dict.fromkeys(("old", "flushed", "brought back", "written", "expired", "put back"), 2) == found
    assert pytest.approx(client_of_redis.ttl(key), abs=60) == THIRTY_DAYS_S


async def test_nothing_is_put_back_below_a_checkpoint_beyond_it(mirrored, open_api, client_of_redis):
    """SQL lost what the checkpoint has, or it is not ours."""
    key = mirrored.prefix(order_details) + "536365"
    mirrored.mirror_points(order_details, 12)
    client_of_redis.delete(key)

    async with open_api() as client:
        assert await _total(client) == STORED
        assert await _total(client) == STORED

    assert client_of_redis.get(key) is None


async def test_an_expired_checkpoint_makes_sql_answer(mirrored, open_api, client_of_redis):
    async with open_api() as client:
        before = await _total(client)
        client_of_redis.delete(f"{mirrored.prefix(order_details)}@{OWN}")
        after = await _until(client, STORED)

    assert (before, after) == (CACHED, STORED)


async def test_a_document_read_before_is_answered_without_asking_the_cache(mirrored, open_api, monkeypatch):
    monkeypatch.setattr(polling, "POLL_INTERVAL_S", 60.0)
    async with open_api() as client:
        first = await _total(client)
        asked = []
        monkeypatch.setattr(client.app.state.reads.documents._documents, "get_many", asked.append)
        second = await _total(client)
        metrics = (await client.get("/metrics")).text

    assert (first, second, asked) == (CACHED, CACHED, [])
    assert 'counterfoil_reads_total{source="client_cache",view="order_details"} 1.0' in metrics


async def test_what_the_client_cache_holds_is_not_trusted_behind_sql(mirrored, open_api, monkeypatch):
    """Its server may be cut off and announce nothing."""
    async with open_api() as client:
        before = await _total(client)
        monkeypatch.setattr(client.app.state.reads.documents, "get", _nothing)
        mirrored.stand(order_details, 10)
        after = await _until(client, STORED)

    assert (before, after) == (CACHED, STORED)


async def test_a_checkpoint_taken_back_is_not_used_with_a_newer_snapshot(mirrored, open_api):
    """As before a parked key is retried, whose document may be announced late."""
    async with open_api() as client:
        before = await _total(client)
        mirrored.mirror_points(order_details, 0)
        await client.app.state.reads.poller.next_snapshot()
        after = await _total(client)

    assert (before, after) == (CACHED, STORED)


async def _nothing(_keys):
    return None


async def test_documents_of_another_installation_are_not_read(mirrored, open_api):
    mirrored.conn.execute("update log.installation set id = gen_random_uuid()")

    async with open_api() as client:
        assert await _total(client) == STORED


async def test_documents_of_another_epoch_are_not_read(mirrored, open_api):
    mirrored.fence(epoch=2, first_position=10)

    async with open_api() as client:
        assert await _total(client) == STORED


@pytest.mark.parametrize("garbage", [b"", b"{}", b"x" * 40, b"0000000000000000007"])
async def test_what_no_worker_wrote_is_not_trusted(mirrored, open_api, client_of_redis, garbage):
    client_of_redis.set(mirrored.prefix(order_details) + "536365", garbage)

    async with open_api() as client:
        assert await _total(client) == STORED


async def test_a_tombstone_in_the_cache_is_an_answer(mirrored, open_api, client_of_redis):
    client_of_redis.set(mirrored.prefix(order_details) + "536365", b"%020d" % 8)

    async with open_api() as client:
        answer = await client.get("/v1/orders/536365")

    assert answer.status_code == 404
    assert answer.json()["facts"] == {"deleted_at": 8}


async def test_a_parked_key_is_answered_by_sql(mirrored, open_api):
    mirrored.park(order_details, "order-536365", position=8)

    async with open_api() as client:
        answer = await client.get("/v1/orders/536365")

    assert answer.json()["total"] == STORED
    assert answer.headers["parked-position"] == "8"


async def test_a_cache_that_is_down_costs_almost_nothing(mirrored, open_api):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]

        async with (
            open_api(redis_url=None, patient=False) as without,
            open_api(redis_url=f"redis://127.0.0.1:{port}/0", patient=False) as client,
        ):
            usual_s = await _usual_s(without)
            answers = [await _timed(client) for _ in range(20)]
            ready = await client.get("/readyz")
            metrics = (await client.get("/metrics")).text

    assert {total for total, _ in answers} == {STORED}
    assert max(seconds for _, seconds in answers) < usual_s + LATE_S
    assert ready.status_code == 200
    assert 'counterfoil_server_answers{server="redis"} 0.0' in metrics


async def test_a_slow_cache_costs_at_most_fifty_milliseconds(mirrored, open_api):
    async with (
        slow_proxy(mirrored.redis_url) as proxy,
        open_api(redis_url=None, patient=False) as without,
        open_api(redis_url=proxy.url, patient=False) as client,
    ):
        usual_s = await _usual_s(without)
        proxy.latency_s = LATENCY_S
        one_by_one = [await _timed(client) for _ in range(20)]
        together = await asyncio.gather(*(_timed(client) for _ in range(50)))
        ready = await client.get("/readyz")

    assert {total for total, _ in one_by_one} == {STORED}
    assert {total for total, _ in together} == {STORED}
    assert documents.ANSWER_TIMEOUT_S <= AT_MOST_SLOWER_S
    assert max(seconds for _, seconds in one_by_one) < usual_s + LATE_S
    assert max(seconds for _, seconds in together) < usual_s + LATE_S
    assert ready.status_code == 200


async def test_a_cache_that_does_not_answer_is_left_alone(mirrored, open_api, monkeypatch):
    async with (
        slow_proxy(mirrored.redis_url) as proxy,
        open_api(redis_url=proxy.url, patient=False) as client,
    ):
        proxy.latency_s = 2.0
        asked = []
        documents = client.app.state.reads.documents._documents
        ask = documents.get_many
        monkeypatch.setattr(documents, "get_many", lambda keys: asked.append(keys) or ask(keys))
        began = time.monotonic()
        for _ in range(50):
            assert await _total(client) == STORED
        probes = (time.monotonic() - began) / OPEN_S

    assert len(asked) <= FAILURES_MAX + 1 + probes


async def test_a_cache_that_comes_back_is_asked_again(mirrored, open_api):
    async with (
        slow_proxy(mirrored.redis_url) as proxy,
        open_api(redis_url=proxy.url, patient=False) as client,
    ):
        proxy.latency_s = 2.0
        for _ in range(5):
            assert await _total(client) == STORED
        proxy.latency_s = 0.0
        deadline = time.monotonic() + 120
        while await _total(client) != CACHED:
            assert time.monotonic() < deadline, "the cache was never asked again"
            await asyncio.sleep(0.05)


async def test_without_postgres_the_cache_still_answers_and_lists_fail_fast(mirrored, open_api, monkeypatch):
    monkeypatch.setattr(connections, "CONNECTION_WAIT_S", 1.0)
    name = psycopg.conninfo.conninfo_to_dict(mirrored.database_url)["dbname"]
    admin_url = psycopg.conninfo.make_conninfo(mirrored.database_url, dbname="postgres")

    async with open_api() as client:
        mirrored.conn.close()
        with psycopg.connect(admin_url, autocommit=True) as admin:
            admin.execute(f'alter database "{name}" allow_connections false')
            admin.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", [name])
            try:
                assert await _total(client) == CACHED
                first = await client.get("/v1/orders?status=placed")
                seconds = []
                for _ in range(10):
                    began = time.monotonic()
                    answer = await client.get("/v1/orders?status=placed")
                    seconds.append(time.monotonic() - began)
                    assert answer.status_code == 503
                    assert answer.json()["code"] == "view-unavailable"
                    assert answer.headers["retry-after"] == "1"
                assert first.status_code == 503
                assert min(seconds) < 10 * AT_MOST_SLOWER_S
                assert await _total(client) == CACHED
            finally:
                admin.execute(f'alter database "{name}" allow_connections true')


def test_the_stage_has_every_view(stage):
    assert {row[0] for row in stage.conn.execute("select view from views.live")} == {
        view.name for view in CONTEXTS.views
    }
