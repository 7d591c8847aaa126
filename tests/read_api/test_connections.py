"""A database that does not answer, or is busy, and reads that end in time all the same."""

import asyncio
import contextlib
import time

import psycopg
import pytest

from read_api import connections
from read_api.connections import Connections
from read_api.errors import BuildGone, TooManyReads, TooSlow, ViewUnavailable
from runtime.breaker import Breaker
from tests.proxy import lossy_proxy

pytestmark = pytest.mark.anyio

END_READERS = """
select pg_terminate_backend(pid, 10000) from pg_stat_activity
where datname = current_database() and application_name = 'counterfoil query-api'
"""
"""Ends the sessions of the pool and waits until they are gone, as they are when a server restarts."""


async def _one(connection):
    return (await (await connection.execute("select 1")).fetchone())[0]


async def _sleep(connection):
    await connection.execute("select pg_sleep(20)")


async def test_a_frozen_database_is_given_up_in_time_and_asked_again_when_it_thaws(database_url, monkeypatch):
    breaker = Breaker(open_s=5.0)  # longer than a busy machine takes from one read to the next
    async with (
        lossy_proxy(database_url) as proxy,
        Connections(proxy.address, size=2, breaker=breaker) as reads,
        asyncio.timeout(120),
    ):
        assert await reads.run(_one) == 1
        proxy.frozen = True
        with monkeypatch.context() as impatient:
            impatient.setattr(connections, "READ_TIMEOUT_S", 0.5)
            for _ in range(3):
                with pytest.raises(ViewUnavailable):
                    await reads.run(_one)
        with pytest.raises(ViewUnavailable, match="a moment ago"):
            await reads.run(_one)
        while reads._reads:  # noqa: ASYNC110  nothing is left waiting
            await asyncio.sleep(0.01)
        proxy.frozen = False
        answer = None
        while answer is None:  # it is asked again
            await asyncio.sleep(0.1)
            with contextlib.suppress(ViewUnavailable, TooManyReads):
                answer = await reads.run(_one)

    assert answer == 1


async def test_closing_does_not_wait_for_a_frozen_database(database_url):
    async with lossy_proxy(database_url) as proxy:
        reads = Connections(proxy.address, size=1, breaker=Breaker())
        async with reads:
            assert await reads.run(_one) == 1
            proxy.frozen = True
            hanging = asyncio.create_task(reads.run(_one))
            await asyncio.sleep(0.1)
            began = time.monotonic()
        closed_s = time.monotonic() - began
        with pytest.raises(ViewUnavailable):
            await hanging

    assert closed_s < connections.CLOSE_TIMEOUT_S + 30


async def test_connections_that_the_server_ended_while_they_were_idle_refuse_no_read(database_url):
    together = asyncio.Barrier(4)

    async def held(connection):
        await connection.execute("select 1")
        await together.wait()

    breaker = Breaker(failures_max=1)
    async with Connections(database_url, size=4, idle=4, breaker=breaker) as reads:
        await asyncio.gather(*(reads.run(held) for _ in range(4)))  # so that there are four
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as admin:
            ended = await (await admin.execute(END_READERS)).fetchall()
        answers = await asyncio.gather(*(reads.run(_one) for _ in range(8)))
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as admin:
            await admin.execute(END_READERS)
        async with reads.held() as over_one:
            exported = await over_one.run(_one)

    assert [(True,)] * 4 == ended
    assert ([1] * 8, 1) == (answers, exported)


async def test_a_slow_statement_is_ended_and_says_nothing_against_the_server(database_url, monkeypatch):
    monkeypatch.setattr(connections, "STATEMENT_TIMEOUT", "1s")
    breaker = Breaker(failures_max=1)

    async with Connections(database_url, size=1, breaker=breaker) as reads:
        with pytest.raises(TooSlow):
            await reads.run(_sleep)

        assert await reads.run(_one) == 1


async def test_when_all_connections_are_in_use_readers_are_asked_to_come_again(database_url, monkeypatch):
    breaker = Breaker(failures_max=1)

    async with Connections(database_url, size=1, breaker=breaker) as reads:
        busy = asyncio.create_task(reads.run(_sleep))
        while not any(reads._reads.values()):  # noqa: ASYNC110  it connects first
            await asyncio.sleep(0.01)
        monkeypatch.setattr(connections, "CONNECTION_WAIT_S", 0.1)
        with pytest.raises(TooManyReads):
            await reads.run(_one)
        busy.cancel()

        assert breaker.allows(0.0), "a busy server is not a lost one"


async def test_a_dropped_table_is_an_error_of_its_own(database_url):
    async def read(connection):
        await connection.execute("select 1 from views.gone")

    async with Connections(database_url, size=1, breaker=Breaker()) as reads:
        with pytest.raises(BuildGone):
            await reads.run(read)


async def test_nothing_can_be_written(database_url):
    async def write(connection):
        await connection.execute("delete from views.live")

    async with Connections(database_url, size=1, breaker=Breaker()) as reads:
        with pytest.raises(Exception, match=r"read-only transaction|permission denied"):
            await reads.run(write)
