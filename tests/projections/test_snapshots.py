"""Snapshots of long streams: taken by a consumer, trusted while the log has their leaf, and refolded by an audit."""

import asyncio
import functools
import secrets
import time

import psycopg
import pytest

from commands.log_reading import LogReader
from commands.states import States
from counterfoil import auditing, fencing
from counterfoil.contexts import CONTEXTS
from counterfoil.testing.consumers import work_off
from domain.aggregate import Aggregate
from domain.inventory import stock_item
from domain.inventory.stock_item import STOCK
from event_store.consumers.lease import Lease
from event_store.log import codec, reading
from event_store.log.appending.writer import Writer
from event_store.log.envelope import ANY, AppendRequest, Expectation, NewEvent
from event_store.transport.transport import Fork
from projections import snapshots
from runtime import database
from runtime.settings import Settings
from tests.consuming import hosting
from tests.examples import stock_adjusted, stock_received

SOME = Aggregate("stock", stock_item.evolve, snapshot_every=10)
STREAM = "stock-85123A"


def appended(url, *decoded_events, stream=STREAM):
    encoded = [codec.encode(decoded) for decoded in decoded_events]
    request = AppendRequest(
        key=secrets.token_bytes(16),
        fingerprint=bytes(32),
        events=tuple(NewEvent(stream, name, payload, b"{}") for name, payload in encoded),
        expectations=(Expectation(stream, ANY),),
    )

    async def append():
        async with Writer.open(url, name="test") as writer:
            await writer.append(request)

    asyncio.run(append())


def received(url, count):
    appended(url, *(stock_received(quantity=1) for _ in range(count)))


@pytest.fixture
def projector(database_url):
    with database.connect(database_url, role="counterfoil_projector", name="test") as connection:
        yield connection


@pytest.fixture
def taken(database_url):
    """Have all snapshots taken that are due."""

    def take(aggregate=SOME):
        work_off(database_url, snapshots.consumer([aggregate]))

    return take


def stored(connection):
    return connection.execute("select stream, version from views.snapshot order by stream").fetchall()


def valid(connection, aggregate=SOME):
    return {
        stream: (each.version, each.state.on_hand)
        for stream, each in snapshots.load(connection, {STREAM: aggregate}).items()
    }


def test_a_stream_gets_a_snapshot_each_time_it_has_grown_by_so_many_events(database_url, projector, taken):
    received(database_url, 9)
    taken()
    assert [] == stored(projector)

    received(database_url, 3)
    taken()
    assert {STREAM: (10, 10)} == valid(projector)

    received(database_url, 25)
    taken()
    assert {STREAM: (30, 30)} == valid(projector)


def test_streams_of_other_kinds_get_none(database_url, projector, taken):
    appended(database_url, *(stock_received() for _ in range(30)), stream="other-85123A")

    taken()

    assert [] == stored(projector)


def test_a_snapshot_is_void_where_the_log_has_another_event_at_its_version(database_url, projector, taken):
    received(database_url, 12)
    taken()
    with psycopg.connect(database_url, autocommit=True) as owner:
        owner.execute(
            "update log.event set leaf = sha256('other') where stream = %s and version = 10", [STREAM]
        )

    assert {} == valid(projector)


def test_a_log_that_was_cut_and_has_grown_again_is_read_from_its_beginning_once_it_is_fenced(
    database_url, projector, taken, tmp_path
):
    received(database_url, 12)
    taken()
    with psycopg.connect(database_url, autocommit=True) as owner:
        owner.execute("delete from log.outcome")
        owner.execute("delete from log.event where position > 5")
        owner.execute("update log.head set position = 5")
    appended(database_url, *(stock_received(quantity=2) for _ in range(9)))
    assert {} == valid(projector)
    with pytest.raises(Fork, match="counterfoil log fence"):
        taken()

    fencing.fence(Settings(home=tmp_path, database_url=database_url, redis_url=None), reason="cut")
    taken()

    assert {STREAM: (10, 15)} == valid(projector)


def test_a_snapshot_is_void_where_the_state_is_declared_otherwise(database_url, projector, taken):
    received(database_url, 12)
    taken()

    def evolve(item, event) -> tuple[int, int]:
        raise AssertionError("nothing is folded")

    other = Aggregate("stock", evolve, snapshot_every=10)
    assert {} == snapshots.load(projector, {STREAM: other})
    assert snapshots.declaration(SOME) == snapshots.declaration(STOCK) != snapshots.declaration(other)


def test_a_fold_that_does_not_say_what_it_returns_has_no_snapshots():
    with pytest.raises(ValueError, match="does not say what it returns"):
        Aggregate("thing", lambda _, event: event, snapshot_every=10)


def test_a_stream_that_cannot_be_folded_has_none_and_keeps_no_other_from_one(database_url, projector, taken):
    appended(database_url, *(stock_received() for _ in range(10)), stream="stock-broken")
    received(database_url, 10)
    with psycopg.connect(database_url, autocommit=True) as owner:
        owner.execute("update log.event set payload = '{}' where stream = 'stock-broken' and version = 3")

    taken()

    assert [(STREAM, 10)] == stored(projector)


def test_one_owner_takes_them(database_url, projector, taken):
    received(database_url, 10)
    with database.connect(database_url, role="counterfoil_projector", name="other") as connection:
        assert Lease(connection, name=snapshots.LEASE_NAME, owner="other").hold()

        with pytest.raises(AssertionError, match="another process has the lease"):
            taken()

    assert [] == stored(projector)


def test_a_consumer_takes_them_while_events_come(database_url, projector):
    with hosting(database_url, [snapshots.consumer([SOME])]):
        received(database_url, 10)
        deadline = time.monotonic() + 120
        while not stored(projector):
            assert time.monotonic() < deadline, "no snapshot was taken"
            time.sleep(0.05)

    assert [(STREAM, 10)] == stored(projector)


def test_an_audit_folds_snapshots_again_and_finds_a_changed_one(database_url, projector, taken):
    received(database_url, 12)
    taken()
    refold = functools.partial(snapshots.refold, projector, [SOME], seed="", limit=10)
    assert [True] == [each.matches for each in refold()]

    projector.execute(
        "update views.snapshot set state = json_build_object('sku', 'A', 'on_hand', 9, 'reserved', 0)"
    )

    assert [(STREAM, 10, False)] == [(each.stream, each.position, each.matches) for each in refold()]


def test_an_audit_goes_on_where_a_stream_cannot_be_folded_any_more(database_url, projector, taken):
    received(database_url, 12)
    taken()
    with psycopg.connect(database_url, autocommit=True) as owner:
        owner.execute("update log.event set payload = '{}' where version = 3")

    assert [False] == [each.matches for each in snapshots.refold(projector, [SOME], seed="", limit=10)]


@pytest.mark.anyio
async def test_loading_begins_at_the_snapshot_of_a_stream_longer_than_a_page(
    database_url, taken, monkeypatch
):
    monkeypatch.setattr(reading, "EVENTS_PER_STREAM_MAX", 10)
    decoded_events = [*(stock_received(quantity=1) for _ in range(49)), stock_adjusted(delta=-1)]
    await asyncio.to_thread(appended, database_url, *decoded_events)
    taken()
    asked = []
    load = reading.load_streams_async

    async def noted(connection, after, *, limit):
        asked.extend(version for _, version in after)
        return await load(connection, after, limit=limit)

    monkeypatch.setattr(reading, "load_streams_async", noted)
    async with database.pool(database_url, role="counterfoil_reader", name="test", size=1) as pool:
        [folded] = (await States(LogReader(pool)).load({STREAM: SOME})).values()

    assert (50, 50, 48) == (folded.version, folded.position, folded.state.on_hand)
    assert [0, 50] == asked


@pytest.mark.parametrize("full", [False, True])
def test_an_audit_of_everything_names_a_snapshot_that_differs(
    full, database_url, projector, taken, monkeypatch
):
    monkeypatch.setattr(auditing, "SNAPSHOTS_SAMPLED", 1)
    for stream in ("stock-A", "stock-B"):
        appended(database_url, *(stock_received(quantity=1) for _ in range(10)), stream=stream)
    taken()
    assert (2 if full else 1) == auditing.verify(database_url, contexts=CONTEXTS, full=full).snapshots

    projector.execute(
        "update views.snapshot set state = json_build_object('sku', 'A', 'on_hand', 9, 'reserved', 0)"
    )

    report = auditing.verify(database_url, contexts=CONTEXTS, full=full)
    assert (2 if full else 1) == len([each for each in report.findings if each.kind == "snapshot-differs"])
    assert not report.ok
