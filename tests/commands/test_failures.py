"""Full queues, lost answers, a log that is gone or was restored: what callers are answered, and what is true then."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import psycopg
import pytest

from commands import limits
from commands.log_reading import LogReader
from counterfoil.testing.http import Answered
from event_store.log.appending import limits as append_limits
from event_store.log.appending import writer
from event_store.log.appending.errors import EpochChanged, OutcomeUnknown
from event_store.log.appending.writer import Writer
from event_store.log.envelope import NEW, Accepted
from event_store.transport import generations, position_token
from runtime import database
from tests.appends import append_request
from tests.commands.conftest import opened
from tests.commands.http_spec import Shop
from tests.commands.serving import serving
from tests.examples import price_changed, product_created
from tests.proxy import LossyProxy, lossy_proxy

pytestmark = pytest.mark.anyio

PRICE = {"unit_price": "9.99", "currency": "GBP"}
RECEIPT = {"quantity": 1}
SKUS = [f"S{number}" for number in range(10)]


@pytest.fixture
async def proxy(database_url: str) -> AsyncIterator[LossyProxy]:
    """A network that can be cut."""
    async with lossy_proxy(database_url) as proxy:
        yield proxy


@contextlib.contextmanager
def frozen(proxy: LossyProxy) -> Iterator[None]:
    """No answer comes through while the block runs, in which nobody waits long for one."""
    with pytest.MonkeyPatch.context() as impatient:
        impatient.setattr(writer, "ANSWER_TIMEOUT_S", 0.3)
        impatient.setattr(append_limits, "RESEND_WINDOW_S", 0.3)
        impatient.setattr(database, "CONNECT_TIMEOUT_S", 2)
        impatient.setattr(limits, "READ_TIMEOUT_S", 0.3)
        proxy.frozen = True
        yield
        proxy.frozen = False


@pytest.fixture
async def shop_behind_proxy(proxy: LossyProxy) -> AsyncIterator[Shop]:
    async with opened(proxy.address) as shop:
        shop.url = proxy.url  # the test itself looks at the log directly
        yield shop


async def test_a_full_queue_refuses_before_any_work(given):
    shop = await given(product_created())
    execution = shop.app.state.dispatcher.execution
    held = execution.reserve(append_limits.QUEUE_REQUESTS_MAX)

    answer = await shop.post("/v1/products/85123A/price", PRICE, key="later")

    answer.then_refused(503, "too-busy")
    assert "1" == answer.headers["retry-after"]
    assert 1 == shop.position
    for slot in held:
        slot.free()
    (await shop.post("/v1/products/85123A/price", PRICE, key="later")).then_accepted(
        stream="product-85123A", version=2
    )


async def test_no_place_in_the_queue_is_lost_whatever_becomes_of_a_request(given):
    shop = await given(product_created())
    for body in (PRICE, PRICE, {**PRICE, "currency": "GBX"}, b"{"):
        await shop.post("/v1/products/85123A/price", body)
    await shop.post("/v1/products/else/price", PRICE)
    await shop.post("/v1/products/85123A/price", PRICE, if_match='"1"')
    await shop.batch({"key": "a", "command": "none"}, {"key": "b b", "command": "ship_order", "target": "x"})

    held = shop.app.state.dispatcher.execution.reserve(append_limits.QUEUE_REQUESTS_MAX)

    assert append_limits.QUEUE_REQUESTS_MAX == len(held)


async def test_a_lost_answer_is_unknown_and_the_same_key_tells(proxy, shop_behind_proxy):
    shop = await shop_behind_proxy.given(product_created())
    await shop.post("/v1/products/85123A/price", {**PRICE, "unit_price": "1"})

    with frozen(proxy):
        answer = await shop.post("/v1/products/85123A/price", PRICE, key="lost")
        async with asyncio.timeout(60):
            while shop.position < 3:  # noqa: ASYNC110 - the log takes it, only the answer is lost
                await asyncio.sleep(0.05)

    answer.then_refused(503, "outcome-unknown")
    assert "1" == answer.headers["retry-after"]
    again = await repeated_until_answered(shop, "/v1/products/85123A/price", PRICE, key="lost")
    again.then_accepted(stream="product-85123A", version=3, replayed=True)
    assert 3 == shop.position


async def repeated_until_answered(shop: Shop, path: str, body: object, *, key: str) -> Answered:
    async with asyncio.timeout(120):
        while True:
            answer = await shop.post(path, body, key=key)
            if answer.status != 503:
                return answer
            await asyncio.sleep(0.25)


async def test_a_log_that_freezes_is_given_up_in_time_also_where_it_is_only_read(proxy, shop_behind_proxy):
    shop = await shop_behind_proxy.given(product_created())

    with frozen(proxy):
        answers = await asyncio.gather(*(shop.post("/v1/orders/none/shipment") for _ in range(10)))

    for answer in answers:
        answer.then_refused(503, "store-unavailable")
    (await repeated_until_answered(shop, "/v1/orders/none/shipment", {}, key="later")).then_refused(
        404, "order-unknown"
    )


async def test_a_connection_cut_before_the_answer_is_noticed_by_nobody(proxy, shop_behind_proxy):
    shop = await shop_behind_proxy.given(product_created())
    await shop.post("/v1/products/85123A/price", {**PRICE, "unit_price": "1"})
    proxy.cut_at_next_answer = True

    answer = await shop.post("/v1/products/85123A/price", PRICE)

    assert (201, 3) == (answer.status, answer.body["version"])
    assert 3 == shop.position


@pytest.fixture
def only_asked_here(monkeypatch):
    """Only the test asks the log whether it is there: a question of the process may be under way at any moment."""
    monkeypatch.setattr(limits, "POLL_PERIOD_S", 3_600.0)


@pytest.mark.usefixtures("only_asked_here")
async def test_a_log_that_has_been_silent_for_a_while_is_refused_at_once_and_not_ready(given, monkeypatch):
    shop = await given(product_created())
    assert 200 == (await shop.client.get("/readyz")).status_code
    poller = shop.app.state.dispatcher.execution._poller

    async def silence(_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(limits, "POLL_SILENCE_MAX_S", 0.0)
    assert poller.answers, "a process that was paused has not asked since"
    monkeypatch.setattr(LogReader, "log_state", silence)
    asked = asyncio.create_task(poller.poll())
    await asyncio.sleep(0)
    answer = await shop.post("/v1/products/85123A/price", PRICE)

    answer.then_refused(503, "store-unavailable")
    assert 503 == (await shop.client.get("/readyz")).status_code
    assert 200 == (await shop.client.get("/livez")).status_code
    asked.cancel()


async def test_killed_connections_are_replaced_and_every_command_has_one_effect(given, database_url):
    shop = await given(product_created())

    async def kill_now_and_then() -> None:
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as admin:
            for _ in range(10):
                await asyncio.sleep(0.05)
                await admin.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity"
                    " where datname = current_database() and application_name like 'counterfoil command-api%'"
                )

    killing = asyncio.create_task(kill_now_and_then())
    answers: list[Answered] = []
    while not killing.done():
        numbers = range(len(answers), len(answers) + 8)
        answers += await asyncio.gather(
            *(
                repeated_until_answered(shop, "/v1/stock/85123A/receipts", {"quantity": 1}, key=f"r{n}")
                for n in numbers
            )
        )
    await killing

    assert {201} == {answer.status for answer in answers}
    assert len(answers) == len(shop.events("stock-85123A"))


def lose_last_event(url: str) -> None:
    """What a restore may do: the second event, which was acknowledged, is gone."""
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute("delete from log.outcome where last_position = 2")
        owner.execute("delete from log.event where position = 2")
        owner.execute("update log.head set position = 1")


def kill_connections(url: str, name: str) -> None:
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and application_name = %s",
            [name],
        )


def fence(url: str) -> None:
    with database.connect(url, role=None, name="test fence") as connection:
        generations.fence(connection, reason="restored in a test", empty_documents=lambda: None)


async def test_a_new_epoch_drops_what_this_process_kept(given, database_url):
    shop = await given(product_created())
    await shop.post("/v1/products/85123A/price", PRICE)
    lose_last_event(database_url)
    fence(database_url)

    answer = await shop.post("/v1/products/85123A/price", {**PRICE, "unit_price": "2.55"}, if_match='"1"')

    answer.then_accepted(stream="product-85123A", version=1)  # the price it has again: nothing to do
    (await shop.post("/v1/products/85123A/price", PRICE)).then_accepted(stream="product-85123A", version=2)


async def test_tokens_name_the_new_epoch_and_generation_after_a_fence(given, database_url):
    shop = await given(product_created())
    fence(database_url)

    answer = await shop.post("/v1/products/85123A/price", PRICE)

    token = position_token.decode(answer.headers["position"])
    assert (2, 2) == (token.epoch, token.generation)


async def test_nothing_decided_on_lost_history_is_appended_through_a_new_connection(
    new_database, monkeypatch
):
    monkeypatch.setattr(limits, "POLL_PERIOD_S", 3_600)  # nobody else tells this process of the new epoch
    url = new_database()
    async with opened(url) as shop:
        await shop.given(product_created())
        await shop.post("/v1/products/85123A/price", PRICE)
        lose_last_event(url)
        fence(url)
        await shop.given(price_changed(unit_price="5"))
        kill_connections(url, "counterfoil command-api writer")

        answer = await repeated_until_answered(
            shop, "/v1/products/85123A/price", {**PRICE, "unit_price": "6"}, key="after"
        )

        answer.then_accepted(stream="product-85123A", version=3)
        assert price_changed(unit_price="6", previous="5") == shop.events("product-85123A")[-1]


async def test_a_refusal_is_not_trusted_across_a_fence(given, database_url):
    shop = await given(product_created())
    await shop.post("/v1/stock/85123A/receipts", {"quantity": 1})
    lose_last_event(database_url)
    fence(database_url)

    answer = await shop.post("/v1/stock/85123A/adjustments", {"delta": -2, "reason": "loss"})

    answer.then_refused(409, "insufficient-stock", available=0)


async def test_processes_share_nothing_but_the_log_and_a_stopped_one_loses_nothing(database_url):
    """Requests sent several times, to two processes of which one is made to end in the middle: one effect each."""
    async with (
        serving(database_url) as one,
        serving(database_url) as two,
        httpx.AsyncClient(trust_env=False, limits=httpx.Limits(max_connections=32), timeout=120) as client,
    ):
        for sku in SKUS:
            created = {"sku": sku, "title": "Holder", "stocked": True}
            assert 201 == await _sent(client, two.url, "/v1/products", created, key=f"create-{sku}")
        sent = [
            (f"/v1/stock/{sku}/receipts", f"receipt-{sku}-{number}") for sku in SKUS for number in range(10)
        ]
        sending = [
            asyncio.create_task(_sent(client, process.url, path, RECEIPT, key=key))
            for path, key in sent
            for process in (one, two, one)
        ]
        await asyncio.wait(sending[:60])

        assert 0 == await one.terminate()
        first = await asyncio.gather(*sending)
        again = await asyncio.gather(*(_sent(client, two.url, path, RECEIPT, key=key) for path, key in sent))

    assert {201} == set(again)
    assert {201, 409, 503, None} >= set(first), "accepted, contended, shutting down, or no connection"
    assert first.count(201) >= 40
    with psycopg.connect(database_url) as connection:
        row = connection.execute("select count(*) from log.event where stream like 'stock-%'").fetchone()
    assert (len(sent),) == row


async def _sent(
    client: httpx.AsyncClient, url: str, path: str, body: dict[str, Any], *, key: str
) -> int | None:
    try:
        answer = await client.post(f"{url}{path}", json=body, headers={"idempotency-key": key})
    except httpx.TransportError:
        return None
    return answer.status_code


async def test_a_writer_that_reconnects_into_a_new_epoch_takes_nothing_decided_in_the_old_one(database_url):
    async with Writer.open(database_url) as log:
        old = log.epoch
        await log.append(append_request("order-1", version=NEW), epoch=old)
        fence(database_url)
        kill_connections(database_url, "counterfoil writer")
        while log.epoch == old:
            with contextlib.suppress(EpochChanged, OutcomeUnknown):
                await log.append(append_request("order-2", version=NEW))

        with pytest.raises(EpochChanged):
            await log.append(append_request("order-3", version=NEW), epoch=old)
        assert isinstance(await log.append(append_request("order-3", version=NEW), epoch=log.epoch), Accepted)
