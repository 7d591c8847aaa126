"""Batches one behind the other on one connection."""

import asyncio

import psycopg
import pytest

from event_store.log import reading
from event_store.log.appending import wire
from event_store.log.appending.pipelined import AnswerLost, PipelinedConnection
from event_store.log.envelope import AppendRequest
from runtime import database
from tests.appends import append_request, new_event

pytestmark = pytest.mark.anyio


async def opened(url: str) -> PipelinedConnection:
    connection: reading.AsyncConnection = await database.connect_async(
        url, role="counterfoil_writer", name="pipelined"
    )
    return await PipelinedConnection.prepared(connection)


def arguments(*requests: AppendRequest, epoch: int = 1) -> list[bytes]:
    return wire.arguments(requests, epoch=epoch)


async def test_a_batch_is_at_the_server_before_the_one_ahead_of_it_is_answered(database_url: str):
    line = await opened(database_url)
    with database.connect(database_url, role="counterfoil_owner", name="test") as owner, owner.transaction():
        owner.execute("select from log.head for update")
        answers = [line.send(arguments(append_request())) for _ in range(3)]
        await asyncio.sleep(0.05)
        assert not any(answer.done() for answer in answers)

    assert [[(0, n, n, [1], None, None)] for n in (1, 2, 3)] == [await answer for answer in answers]
    await line.close()


async def test_a_batch_that_is_refused_leaves_the_next_one_alone(database_url: str):
    line = await opened(database_url)
    refused = line.send(arguments(append_request(), epoch=7))
    accepted = line.send(arguments(append_request()))

    with pytest.raises(psycopg.Error) as error:
        await refused
    assert wire.WRONG_EPOCH == error.value.sqlstate
    assert [(0, 1, 1, [1], None, None)] == await accepted
    assert line.usable
    await line.close()


async def test_batches_larger_than_what_the_kernel_takes_at_once_are_sent_whole(database_url: str):
    line = await opened(database_url)
    large = b'"' + b"x" * 3_000_000 + b'"'
    answers = [
        line.send(arguments(append_request("order-1", events=(new_event("order-1", payload=large),))))
        for _ in range(3)
    ]

    assert [[(0, n, n, [n], None, None)] for n in (1, 2, 3)] == [await answer for answer in answers]
    await line.close()


async def test_when_the_connection_ends_all_that_was_asked_is_lost(database_url: str):
    line = await opened(database_url)
    with database.connect(database_url, role="counterfoil_owner", name="test") as owner, owner.transaction():
        owner.execute("select from log.head for update")
        answers = [line.send(arguments(append_request())) for _ in range(2)]
        with psycopg.connect(database_url, autocommit=True) as admin:
            admin.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where datname = current_database() and application_name = 'counterfoil pipelined'"
            )
        outcomes = await asyncio.gather(*answers, return_exceptions=True)

    assert [AnswerLost, AnswerLost] == [type(outcome) for outcome in outcomes]
    assert not line.usable
    with pytest.raises(AnswerLost):
        await line.send(arguments(append_request()))
    await line.close()


async def test_a_connection_that_ends_while_nothing_is_asked_is_seen_to_be_of_no_more_use(database_url: str):
    line = await opened(database_url)
    with psycopg.connect(database_url, autocommit=True) as admin:
        admin.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and application_name = 'counterfoil pipelined'"
        )
    async with asyncio.timeout(60):
        while line.usable:  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    assert not line.usable
    await line.close()


async def test_who_gives_a_frozen_connection_up_learns_it_at_once(database_url: str):
    line = await opened(database_url)
    with database.connect(database_url, role="counterfoil_owner", name="test") as owner, owner.transaction():
        owner.execute("select from log.head for update")
        answer = line.send(arguments(append_request()))
        line.abandon()

        with pytest.raises(AnswerLost):
            await answer
    await line.close()
