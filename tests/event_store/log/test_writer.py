"""Group commit on a real server, and what becomes of requests when the server or the answer is lost."""

import asyncio

import psycopg
import pytest
from msgspec import structs

from event_store.log import reading
from event_store.log.appending import limits, writer
from event_store.log.appending.errors import (
    EpochChanged,
    InvalidRequest,
    OutcomeUnknown,
    StoreUnavailable,
    WriterClosed,
)
from event_store.log.appending.writer import Writer
from event_store.log.envelope import NEW, Accepted, ChainBroken, Replayed, WrongVersion
from runtime import database
from tests.appends import append_request
from tests.proxy import lossy_proxy

pytestmark = pytest.mark.anyio


def owner(url: str) -> psycopg.Connection:
    return database.connect(url, role="counterfoil_owner", name="test")


def terminate_writers(url: str) -> int:
    with psycopg.connect(url, autocommit=True) as admin:
        rows = admin.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and application_name = 'counterfoil writer'"
        ).fetchall()
    return len(rows)


async def test_requests_of_many_callers_share_batches_and_each_gets_its_own_verdict(database_url: str):
    async with Writer.open(database_url) as log:
        verdicts = await asyncio.gather(
            *(log.append(append_request(f"order-{n}", version=NEW)) for n in range(500))
        )
        again = await log.append(append_request("order-7", version=NEW))

    assert list(range(1, 501)) == sorted(
        verdict.first for verdict in verdicts if isinstance(verdict, Accepted)
    )
    assert WrongVersion("order-7", NEW, 1) == again


async def test_64_racers_for_one_version_have_one_winner(database_url: str):
    async with Writer.open(database_url) as log:
        for version in range(20):
            racers = [append_request("order-1", version=version) for _ in range(64)]
            verdicts = await asyncio.gather(*(log.append(racer) for racer in racers))

            assert 1 == sum(isinstance(verdict, Accepted) for verdict in verdicts)
            assert 63 == verdicts.count(WrongVersion("order-1", version, version + 1))


async def test_an_answer_lost_after_the_commit_is_found_again_under_the_same_key(database_url: str):
    async with lossy_proxy(database_url) as proxy, Writer.open(proxy.address) as log:
        await log.append(append_request("order-1", version=NEW))
        proxy.cut_at_next_answer = True
        verdict = await log.append(append_request("order-2", version=NEW))

    assert Replayed(2, 2, (1,)) == verdict
    assert not proxy.cut_at_next_answer


async def test_batches_that_are_lost_together_are_sent_again_in_their_order(database_url: str):
    async with lossy_proxy(database_url) as proxy, Writer.open(proxy.address) as log:
        await log.append(append_request())
        proxy.cut_at_next_answer = True
        verdicts = await asyncio.gather(*(log.submit(append_request()) for _ in range(64)))

    assert all(isinstance(verdict, Accepted | Replayed) for verdict in verdicts)
    assert list(range(2, 66)) == [verdict.first for verdict in verdicts]  # type: ignore[union-attr]
    assert isinstance(verdicts[0], Replayed)


async def test_what_a_chain_asks_next_is_refused_once_a_link_failed_however_batches_fall(database_url: str):
    async with Writer.open(database_url) as log:
        links = [log.submit(append_request("order-1", version=at, chain=1)) for at in (0, 1, 1, 2)]
        others = [log.submit(append_request()) for _ in range(64)]
        links += [log.submit(append_request("order-1", version=at, chain=1)) for at in (2, 3)]
        verdicts = await asyncio.gather(*links)
        await asyncio.gather(*others)

    assert [Accepted, Accepted, WrongVersion, ChainBroken, ChainBroken, ChainBroken] == [
        type(verdict) for verdict in verdicts
    ]


async def test_a_chain_is_answered_request_by_request_also_where_there_is_no_verdict(database_url: str):
    async with Writer.open(database_url) as log:
        unfit = structs.replace(append_request("order-1", version=1, chain=1), key=b"short")
        links = [append_request("order-1", version=at, chain=1) for at in (0, 2)]
        answers = await log.append_chain(links[:1], epoch=log.epoch)
        answers += await log.append_chain([unfit, links[1]], epoch=log.epoch)
        elsewhere = await log.append_chain([append_request(chain=2)], epoch=log.epoch - 1)

    assert [Accepted, InvalidRequest, ChainBroken] == [type(answer) for answer in answers]
    assert [EpochChanged] == [type(answer) for answer in elsewhere]


async def test_a_batch_that_waited_too_long_is_not_stored_behind_a_later_one(
    database_url: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(writer._SESSION, "lock_timeout", "200ms")
    async with Writer.open(database_url) as log:
        with owner(database_url) as connection, connection.transaction():
            connection.execute("select from log.head for update")
            waiting = [log.submit(append_request()) for _ in range(64)]
            await asyncio.wait({waiting[0]})
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)

    later = outcomes[32:]
    assert [StoreUnavailable] * 32 == [type(outcome) for outcome in outcomes[:32]]
    if any(
        isinstance(outcome, Accepted) for outcome in later
    ):  # or the lock was held too long for both batches
        assert [Accepted(n, n, (1,)) for n in range(1, 33)] == later
    else:
        assert [StoreUnavailable] * 32 == [type(outcome) for outcome in later]


async def test_a_writer_survives_its_connections_being_killed_again_and_again(
    database_url: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(limits, "RESEND_WINDOW_S", 60.0)
    async with Writer.open(database_url) as log:

        async def kill() -> None:
            for _ in range(10):
                await asyncio.sleep(0.03)
                await asyncio.to_thread(terminate_writers, database_url)

        killing = asyncio.create_task(kill())
        answered = 0
        while not killing.done():
            verdicts = await asyncio.gather(*(log.append(append_request(version=NEW)) for _ in range(20)))
            assert all(isinstance(verdict, Accepted | Replayed) for verdict in verdicts)
            answered += len(verdicts)
        await killing
    with owner(database_url) as connection:
        positions = [event.position for event in reading.copy_log(connection)]

    assert list(range(1, answered + 1)) == positions


async def test_a_log_in_another_epoch_refuses_the_batch_and_the_next_one_is_sent_for_the_new_epoch(
    database_url: str,
):
    async with Writer.open(database_url) as log:
        with owner(database_url) as connection:
            connection.execute("update log.head set epoch = 2")

        with pytest.raises(EpochChanged):
            await log.append(append_request("order-1"))

        assert isinstance(await log.append(append_request("order-1", version=NEW)), Accepted)
        assert 2 == log.epoch


async def test_a_batch_that_the_server_refuses_is_sent_again_one_request_at_a_time(
    database_url: str,
):
    with owner(database_url) as connection:
        connection.execute("alter table log.event add constraint no_seven check (stream <> 'order-7')")
    async with Writer.open(database_url) as log:
        outcomes = await asyncio.gather(
            *(log.append(append_request(f"order-{n}", version=NEW)) for n in range(10)),
            return_exceptions=True,
        )

    assert [7] == [n for n, outcome in enumerate(outcomes) if not isinstance(outcome, Accepted)]


async def test_a_head_lock_held_by_somebody_else_ends_in_unavailable_and_stores_nothing(
    database_url: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(limits, "RESEND_WINDOW_S", 0.1)
    monkeypatch.setitem(writer._SESSION, "lock_timeout", "100ms")
    async with Writer.open(database_url) as log:
        with owner(database_url) as connection, connection.transaction():
            connection.execute("select from log.head for update")

            with pytest.raises(StoreUnavailable):
                await log.append(append_request("order-1"))

        assert Accepted(1, 1, (1,)) == await log.append(append_request("order-2", version=NEW))


async def test_a_frozen_server_makes_the_outcome_unknown_and_the_key_tells_later(
    database_url: str, monkeypatch: pytest.MonkeyPatch
):
    request = append_request("order-1", version=NEW)
    async with lossy_proxy(database_url) as proxy, Writer.open(proxy.address) as log:
        proxy.frozen = True
        monkeypatch.setattr(limits, "RESEND_WINDOW_S", 0.2)
        monkeypatch.setattr(writer, "ANSWER_TIMEOUT_S", 0.3)
        with pytest.raises(OutcomeUnknown):
            await log.append(request)
    monkeypatch.undo()
    async with Writer.open(database_url) as log:
        verdict = await log.append(request)

    assert verdict in {Accepted(1, 1, (1,)), Replayed(1, 1, (1,))}


async def test_a_server_that_cannot_be_reached_is_unavailable_not_unknown():
    with pytest.raises(StoreUnavailable):
        async with Writer.open("postgresql://nobody@127.0.0.1:1/nothing"):
            pass


async def test_a_closing_writer_sends_what_was_queued_and_takes_no_more(database_url: str):
    async with Writer.open(database_url) as log:
        waiting = [log.submit(append_request()) for _ in range(300)]

    assert 300 == sum(isinstance(done.result(), Accepted) for done in waiting)
    with pytest.raises(WriterClosed):
        log.submit(append_request())
