"""Kept states, shared loads and locks: the parts that make the write path fast, and what they must not do."""

import asyncio
from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from commands import limits
from commands.log_reading import LogReader
from commands.states import States, StreamLoader
from commands.stream_locks import StreamLocks
from domain.catalogue.product import PRODUCT
from domain.inventory.stock_item import STOCK, StockItem
from domain.ordering.order import ORDER
from event_store.log import reading
from event_store.log.reading import StreamEvent
from runtime import database
from tests.examples import placed, price_changed, product_created, stock_received

pytestmark = pytest.mark.anyio


@pytest.fixture
async def reader(database_url: str):
    async with database.pool(database_url, role="counterfoil_reader", name="test", size=4) as pool:
        yield LogReader(pool)


@pytest.fixture
def queries(monkeypatch: pytest.MonkeyPatch) -> list[list[tuple[str, int]]]:
    """What was asked of the log, query by query; the asking itself is real."""
    asked: list[list[tuple[str, int]]] = []
    load_streams = reading.load_streams_async

    async def noted(
        connection: reading.AsyncConnection, after: Sequence[tuple[str, int]], *, limit: int
    ) -> dict[tuple[str, int], list[StreamEvent]]:
        asked.append(list(after))
        return await load_streams(connection, after, limit=limit)

    monkeypatch.setattr(reading, "load_streams_async", noted)
    return asked


async def test_a_state_is_folded_from_its_stream(given, reader):
    await given(product_created(), price_changed())

    [folded] = (await States(reader).load({"product-85123A": PRODUCT})).values()

    assert ("2.95", 2, 2) == (getattr(folded.state, "unit_price", None), folded.version, folded.position)


async def test_a_stream_without_events_has_no_state_and_is_not_kept(reader):
    states = States(reader)

    [folded] = (await states.load({"product-none": PRODUCT})).values()

    assert (None, 0) == (folded.state, folded.version)
    assert states.kept("product-none") is None


async def test_a_kept_state_is_brought_up_to_date_by_what_is_new(given, reader, queries):
    await given(product_created())
    states = States(reader)
    await states.load({"product-85123A": PRODUCT})
    await given(price_changed())

    [folded] = (await states.load({"product-85123A": PRODUCT})).values()

    assert ("2.95", 2) == (getattr(folded.state, "unit_price", None), folded.version)
    assert [[("product-85123A", 0)], [("product-85123A", 1)]] == queries


async def test_orders_are_not_kept(given, reader):
    await given(placed())
    states = States(reader)

    await states.load({"order-536365": ORDER})

    assert 0 == len(states)


async def test_the_least_recently_used_states_are_dropped(given, reader, monkeypatch):
    monkeypatch.setattr(limits, "STATES_MAX", 3)
    await given(*(product_created(sku=sku) for sku in "ABCD"))
    states = States(reader)
    for sku in "ABC":
        await states.load({f"product-{sku}": PRODUCT})
    states.kept("product-A")

    await states.load({"product-D": PRODUCT})

    assert [None] == [sku for sku in map(states.kept, ["product-B"]) if sku is None]
    assert all(states.kept(f"product-{sku}") for sku in "ACD")


async def test_what_was_being_loaded_when_everything_was_dropped_is_loaded_again(given, reader, queries):
    await given(product_created())
    states = States(reader)
    loading = asyncio.create_task(states.load({"product-85123A": PRODUCT}))
    await asyncio.sleep(0)
    states.drop_all()

    await loading

    assert 2 == len(queries)


async def test_loads_that_meet_share_a_query(given, reader, queries):
    await given(*(product_created(sku=f"S{number}") for number in range(100)))
    loader = StreamLoader(reader)

    found = await asyncio.gather(*(loader.load([(f"product-S{number}", 0)]) for number in range(100)))

    streams = [[event.stream for event in page.events] for [page] in found]
    assert [[f"product-S{number}"] for number in range(100)] == streams
    assert len(queries) <= limits.LOADS_MAX + 1


async def test_a_load_never_gets_what_was_read_before_it_was_asked_for(given, reader):
    await given(product_created(), stock_received())
    states = States(reader)

    async def receive_and_read() -> int:
        await given(stock_received())
        [folded] = (await states.load({"stock-85123A": STOCK})).values()
        return int(folded.version)

    versions = [await receive_and_read() for _ in range(10)]
    together = await asyncio.gather(*(receive_and_read() for _ in range(10)))

    assert list(range(2, 12)) == versions
    assert max(together) == 21


async def test_callers_that_know_different_versions_each_get_what_they_lack(given, reader, monkeypatch):
    await given(product_created(), price_changed())
    monkeypatch.setattr(limits, "LOADS_MAX", 1)
    loader = StreamLoader(reader)

    ahead, behind, up_to_date = await asyncio.gather(
        *(loader.load([("product-85123A", version)]) for version in (1, 0, 2)),
    )

    versions = [[event.version for event in page.events] for [page] in (ahead, behind, up_to_date)]
    assert [[2], [1, 2], []] == versions


async def test_a_stream_longer_than_a_page_is_folded_page_by_page(given, reader, queries, monkeypatch):
    monkeypatch.setattr(reading, "EVENTS_PER_STREAM_MAX", 3)
    await given(*(stock_received() for _ in range(8)), product_created())

    states = await States(reader).load({"stock-85123A": STOCK, "product-85123A": PRODUCT})

    assert [8, 1] == [folded.version for folded in states.values()]
    assert [0, 3, 6] == [
        version for asked in queries for stream, version in asked if stream == "stock-85123A"
    ]


async def test_a_stream_that_cannot_be_folded_is_named_and_the_others_are_loaded(given, reader):
    await given(product_created(), stock_received())
    broken = replace(STOCK, evolve=_refuse)
    wanted = {"product-85123A": PRODUCT, "stock-85123A": broken}
    failures: dict[str, str] = {}

    loaded = await States(reader).load(wanted, failures=failures)

    assert ["product-85123A"] == list(loaded)
    assert {"stock-85123A": "stock-85123A cannot be folded: ZeroDivisionError: a defect"} == failures
    with pytest.raises(ZeroDivisionError):
        await States(reader).load(wanted)


def _refuse(*_: object) -> StockItem:
    raise ZeroDivisionError("a defect")


async def test_locks_come_in_the_order_they_were_asked_for():
    locks = StreamLocks()
    order: list[int] = []

    async def act(number: int) -> None:
        await locks.take("stock-A")
        order.append(number)
        await asyncio.sleep(0)
        locks.give("stock-A")

    await asyncio.gather(*(act(number) for number in range(50)))

    assert list(range(50)) == order


async def test_locks_on_different_streams_do_not_wait_for_each_other():
    locks = StreamLocks()
    await locks.take("stock-A")

    await asyncio.wait_for(locks.take("stock-B"), timeout=60)


@pytest.mark.parametrize("lock_came", [False, True])
async def test_a_lock_that_is_given_up_goes_to_the_next(lock_came):
    locks = StreamLocks()
    await locks.take("stock-A")
    second = asyncio.create_task(locks.take("stock-A"))
    third = asyncio.create_task(locks.take("stock-A"))
    await asyncio.sleep(0)
    if lock_came:
        locks.give("stock-A")
    second.cancel()
    await asyncio.wait({second})
    if not lock_came:
        locks.give("stock-A")

    await asyncio.wait_for(third, timeout=60)
