"""The one task that looks where the views stand: it goes on whatever happens, and nobody waits for it in vain."""

import asyncio
import time

import pytest

from projections.ordering.views import order_details
from read_api import polling
from read_api.checkpoints import SNAPSHOT
from read_api.connections import Connections
from read_api.errors import ViewUnavailable
from read_api.polling import CheckpointPoller
from runtime.breaker import Breaker
from tests.proxy import lossy_proxy

pytestmark = pytest.mark.anyio


async def test_a_snapshot_sees_what_was_committed_before_it_was_asked_for(stage):
    async with (
        Connections(stage.database_url, size=1, breaker=Breaker()) as connections,
        CheckpointPoller(connections) as poller,
    ):
        for position in range(1, 20):
            stage.stand(order_details, position)
            snapshot = await poller.next_snapshot()

            assert snapshot.builds["order_details"].checkpoints.positions == dict.fromkeys(
                range(12), position
            )


async def test_many_who_wait_share_snapshots(stage):
    async with (
        Connections(stage.database_url, size=1, breaker=Breaker()) as connections,
        CheckpointPoller(connections) as poller,
    ):
        await poller.next_snapshot()
        snapshots = await asyncio.gather(*(poller.next_snapshot() for _ in range(100)))

    assert len({snapshot.seen_at for snapshot in snapshots}) <= 2


async def test_the_settled_snapshot_is_a_second_old_or_the_oldest(stage):
    async with (
        Connections(stage.database_url, size=1, breaker=Breaker()) as connections,
        CheckpointPoller(connections) as poller,
    ):
        first = await poller.next_snapshot()
        assert poller.settled is first
        async with asyncio.timeout(120):
            while poller.settled is first:  # noqa: ASYNC110  it is so by the clock
                await asyncio.sleep(0.05)

        assert poller.settled.seen_at > first.seen_at
        assert time.monotonic() - poller.settled.seen_at >= polling.SETTLED_AFTER_S


async def test_looking_goes_on_after_the_database_was_away(stage, monkeypatch):
    monkeypatch.setattr(polling, "POLL_INTERVAL_S", 60.0)  # what is cut is the one that is waited for
    async with (
        lossy_proxy(stage.database_url) as proxy,
        Connections(proxy.address, size=1, breaker=Breaker()) as connections,
        CheckpointPoller(connections) as poller,
    ):
        await poller.next_snapshot()
        proxy.cut_at_next_answer = True
        with pytest.raises(ViewUnavailable):
            await poller.next_snapshot()

        monkeypatch.setattr(polling, "POLL_INTERVAL_S", 0.05)
        assert await poller.wait_for(lambda snapshot: snapshot.position == 0, timeout_s=60)


async def test_the_fault_of_one_who_waits_is_no_one_elses(stage):
    def faulty(_snapshot):
        raise LookupError("no such view")

    async with (
        Connections(stage.database_url, size=1, breaker=Breaker()) as connections,
        CheckpointPoller(connections) as poller,
    ):
        waiting = [
            asyncio.create_task(poller.wait_for(holds, timeout_s=60))
            for holds in (faulty, lambda snapshot: snapshot.position == 0)
        ]
        failed, held = await asyncio.gather(*waiting, return_exceptions=True)

    assert isinstance(failed, LookupError)
    assert held is True


async def test_those_who_wait_are_answered_by_one_snapshot(stage, monkeypatch):
    asked, ask = [], polling._ask

    async def noted(connection):
        asked.append(connection)
        return await ask(connection)

    def stands(snapshot):
        return snapshot.builds["order_details"].checkpoints.positions[0] >= 7

    async with (
        Connections(stage.database_url, size=1, breaker=Breaker()) as connections,
        CheckpointPoller(connections) as poller,
    ):
        await poller.next_snapshot()
        stage.stand(order_details, 7)
        monkeypatch.setattr(polling, "_ask", noted)
        held = await asyncio.gather(*(poller.wait_for(stands, timeout_s=60) for _ in range(1_000)))

    assert [True] * 1_000 == held
    assert len(asked) == 1


async def test_looking_goes_on_after_a_fault_of_ours(stage, monkeypatch):
    async with (
        Connections(stage.database_url, size=1, breaker=Breaker()) as connections,
        CheckpointPoller(connections) as poller,
    ):
        await poller.next_snapshot()
        monkeypatch.setattr(polling.checkpoints, "SNAPSHOT", "select nonsense")
        with pytest.raises(ViewUnavailable):
            await poller.next_snapshot()
        monkeypatch.setattr(polling.checkpoints, "SNAPSHOT", SNAPSHOT)

        assert (await poller.next_snapshot()).position == 0


async def test_before_the_first_snapshot_nothing_is_known(stage):
    async with Connections(stage.database_url, size=1, breaker=Breaker()) as connections:
        poller = CheckpointPoller(connections)

        assert not poller.sees
        with pytest.raises(ViewUnavailable):
            _ = poller.latest


async def test_leaving_ends_every_wait(stage):
    async with Connections(stage.database_url, size=1, breaker=Breaker()) as connections:
        async with CheckpointPoller(connections) as poller:
            waiting = [asyncio.create_task(poller.wait_for(lambda _: False, timeout_s=60)) for _ in range(10)]
            looking = asyncio.create_task(poller.next_snapshot())
            await asyncio.sleep(0)
        done, _ = await asyncio.wait({*waiting, looking}, timeout=60)
        with pytest.raises(ViewUnavailable):
            await poller.next_snapshot()

    assert done == {*waiting, looking}
    assert [task.result() for task in waiting] == [False] * 10
    assert isinstance(looking.exception(), ViewUnavailable)
