"""Readers who wait for a view hear that it moved, and go on where nothing is heard."""

import asyncio
import contextlib

import psycopg
import pytest
from psycopg import sql

from event_store.transport.position_token import PositionToken
from projections.checkpoints import MOVED
from projections.ordering.views import order_details
from read_api import freshness, moves, polling
from read_api.connections import Connections
from read_api.moves import Moves
from read_api.polling import CheckpointPoller
from runtime.breaker import Breaker
from runtime.problems import ProblemError

pytestmark = pytest.mark.anyio

FOR_EVER_S = 3_600.0
PATIENCE_S = 60.0
LISTENING = "select pid from pg_stat_activity where application_name = 'counterfoil query-api hints'"


@contextlib.asynccontextmanager
async def polled(stage):
    """A poller that hears, and the snapshots that it read."""
    async with (
        Connections(stage.database_url, size=1, breaker=Breaker()) as connections,
        Moves(stage.database_url) as heard,
        CheckpointPoller(connections, moves=heard) as poller,
    ):
        await until(lambda: heard.heard)
        await poller.next_snapshot()
        yield poller, heard


async def until(holds):
    async with asyncio.timeout(PATIENCE_S):
        while not holds():  # noqa: ASYNC110  several conditions, none of them an event
            await asyncio.sleep(0.01)


def announce(stage):
    stage.conn.execute(sql.SQL("notify {}").format(sql.Identifier(MOVED)))


def stands_at(position):
    return lambda seen: seen.builds["order_details"].checkpoints.positions[0] >= position


async def test_who_waits_reads_a_snapshot_when_views_moved(stage, monkeypatch):
    monkeypatch.setattr(polling, "UNHEARD_S", FOR_EVER_S)
    async with polled(stage) as (poller, _):
        waiting = asyncio.create_task(poller.wait_for(stands_at(7), timeout_s=PATIENCE_S))
        await asyncio.sleep(0)
        stage.stand(order_details, 7)
        announce(stage)

        assert await waiting


async def test_a_move_between_a_snapshot_and_its_answer_is_not_missed(stage, monkeypatch):
    monkeypatch.setattr(polling, "UNHEARD_S", FOR_EVER_S)
    monkeypatch.setattr(polling, "POLL_INTERVAL_S", FOR_EVER_S)
    ask = polling._ask

    async with polled(stage) as (poller, heard):

        async def moved_meanwhile(connection):
            answer = await ask(connection)
            if not stands_at(7)(polling.checkpoints.read_snapshot(answer, seen_at=0.0)):
                moved = heard.next_move
                stage.stand(order_details, 7)
                announce(stage)
                await moved
            return answer

        monkeypatch.setattr(polling, "_ask", moved_meanwhile)
        await poller.next_snapshot()

        assert await poller.wait_for(stands_at(7), timeout_s=PATIENCE_S)


async def test_who_waits_reads_another_snapshot_although_nothing_is_heard(stage):
    async with polled(stage) as (poller, _):
        stage.stand(order_details, 7)

        assert await poller.wait_for(stands_at(7), timeout_s=PATIENCE_S)


async def test_what_came_while_the_connection_was_lost_is_announced(stage, monkeypatch):
    monkeypatch.setattr(moves, "LISTEN_AGAIN_S", 0.05)
    async with polled(stage) as (_, heard):
        moved = heard.next_move
        with psycopg.connect(stage.database_url, autocommit=True) as conn:
            for (pid,) in conn.execute(LISTENING).fetchall():
                conn.execute("select pg_terminate_backend(%s)", [pid])
        await asyncio.wait_for(moved, PATIENCE_S)

        assert heard.heard


async def test_no_snapshot_is_read_for_who_can_wait_before_views_moved(stage, monkeypatch):
    monkeypatch.setattr(polling, "UNHEARD_S", FOR_EVER_S)
    monkeypatch.setattr(polling, "POLL_INTERVAL_S", FOR_EVER_S)
    stage.everybody_stands(6)
    async with polled(stage) as (poller, heard):
        await poller.next_snapshot()
        moved, left, ask = heard.next_move, [], polling._ask

        async def noted(connection):
            left.append(moved.done())
            return await ask(connection)

        monkeypatch.setattr(polling, "_ask", noted)
        stage.head(7)  # the caller's write, which is in no snapshot yet
        token = PositionToken(epoch=1, generation=1, partitions={0: 7})
        judged = asyncio.create_task(freshness.refuse_impossible(token, poller, waits=True))
        await asyncio.sleep(0)
        announce(stage)
        await asyncio.wait_for(judged, PATIENCE_S)

        assert left == [True]
        assert poller.latest.position == 7


@pytest.mark.parametrize("waits", [True, False])
async def test_a_position_that_is_not_in_the_log_is_refused_whether_or_not_one_waits(stage, waits):
    stage.everybody_stands(6)
    async with polled(stage) as (poller, _):
        token = PositionToken(epoch=1, generation=1, partitions={0: 9_999})
        with pytest.raises(ProblemError, match="position-beyond-head"):
            await freshness.refuse_impossible(token, poller, waits=waits)


async def test_whom_a_pooler_gives_no_notices_waits_no_longer_than_a_poll(stage):
    async with (
        Connections(stage.database_url, size=1, breaker=Breaker()) as connections,
        CheckpointPoller(connections, moves=Moves(stage.database_url)) as poller,  # never listens
    ):
        await poller.next_snapshot()
        await poller.next_snapshot(patient=True)
        stage.stand(order_details, 7)

        assert await poller.wait_for(stands_at(7), timeout_s=PATIENCE_S)
