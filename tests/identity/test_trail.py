"""What an API counts of its callers: by the minute, within limits, and not lost with the database."""

import asyncio
import contextlib

import psycopg
import pytest
from psycopg import errors

from runtime import database
from runtime.identity import trail
from runtime.identity.trail import MINUTE_S, OTHERS, ROWS_OF_ACTOR_MAX, AuditTrail, TrailRow
from runtime.problems import ProblemError

pytestmark = pytest.mark.anyio

NOON = 1_800_000_000.0


class Clock:
    """Seconds since 1970, as a test sets them."""

    def __init__(self):
        self.now = NOON

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@contextlib.asynccontextmanager
async def opened(url, clock):
    kept = AuditTrail(url, process="query-api", clock=clock)
    async with kept.opened():
        yield kept


def pending(url):
    with database.connect(url, role="counterfoil_writer", name="test") as conn:
        return conn.execute(
            "select kind, actor, route, code, count from security.pending order by since, batch, number"
        ).fetchall()


async def test_requests_of_a_caller_are_one_row_for_each_route_code_and_minute(database_url, clock):
    async with opened(database_url, clock) as kept:
        for _ in range(3):
            kept.count("denied", actor="account:jo", route="GET /v1/sales", code="forbidden")
        kept.count("read", actor="account:jo", route="GET /v1/events")
        await kept.flush()
        before_the_minute_is_over = pending(database_url)
        clock.now += MINUTE_S
        await kept.flush()
        await kept.flush()

    assert [] == before_the_minute_is_over
    assert [
        ("denied", "account:jo", "GET /v1/sales", "forbidden", 3),
        ("read", "account:jo", "GET /v1/events", "", 1),
    ] == pending(database_url)


async def test_what_was_counted_is_written_when_the_process_ends_in_order(database_url, clock):
    async with opened(database_url, clock) as kept:
        kept.count("denied", actor="anonymous", route="GET /v1/sales", code="unauthenticated")

    assert 1 == len(pending(database_url))


async def test_a_count_waits_for_a_minute_at_most(database_url, clock, monkeypatch):
    """Whatever the instant, the process writes when the minute of it is over: that is all that a crash can take."""
    waits = []

    async def sleep(seconds):
        waits.append(seconds)
        clock.now += seconds
        if len(waits) == 3:
            raise asyncio.CancelledError

    kept = AuditTrail(database_url, process="query-api", clock=clock)
    flushed = []
    monkeypatch.setattr(AuditTrail, "flush", lambda _self: done(flushed, clock.now))
    with monkeypatch.context() as patch:
        patch.setattr(trail.asyncio, "sleep", sleep)
        clock.now += 17.5
        with pytest.raises(asyncio.CancelledError):
            await kept._run()

    assert [MINUTE_S - (NOON + 17.5) % MINUTE_S, MINUTE_S, MINUTE_S] == waits
    assert [0.0, 0.0] == [each % MINUTE_S for each in flushed]


async def done(into, moment):
    into.append(moment)


async def test_callers_who_are_not_known_make_a_hundred_rows_a_minute_at_most(database_url, clock):
    async with opened(database_url, clock) as kept:
        for number in range(1_000):
            kept.count("denied", actor="anonymous", route=f"GET /{number}", code="unauthenticated")
        clock.now += MINUTE_S
        await kept.flush()
        rows = pending(database_url)
        kept.count("denied", actor="anonymous", route="GET /1", code="unauthenticated")
        clock.now += MINUTE_S
        await kept.flush()

    assert ROWS_OF_ACTOR_MAX == len(rows)
    assert 1_000 == sum(row[-1] for row in rows)
    assert ("denied", "anonymous", OTHERS, OTHERS, 901) in rows
    assert ROWS_OF_ACTOR_MAX + 1 == len(pending(database_url))


async def test_very_many_callers_are_counted_with_those_who_are_not_known(database_url, clock, monkeypatch):
    monkeypatch.setattr(trail, "ROWS_MAX", ROWS_OF_ACTOR_MAX + 10)
    async with opened(database_url, clock) as kept:
        for number in range(500):
            kept.count("denied", actor=f"account:{number}", route=f"GET /{number}", code="forbidden")

    rows = pending(database_url)
    assert 500 == sum(row[-1] for row in rows)
    assert 10 + ROWS_OF_ACTOR_MAX == len(rows)


async def test_a_batch_whose_answer_was_lost_is_written_once(database_url, clock, monkeypatch):
    original = AuditTrail._write

    async def lost(self, batch):
        await original(self, batch)
        raise psycopg.OperationalError("the connection is gone")

    async with opened(database_url, clock) as kept:
        kept.count("denied", actor="account:jo", route="GET /v1/sales", code="forbidden")
        clock.now += MINUTE_S
        with monkeypatch.context() as patch:
            patch.setattr(AuditTrail, "_write", lost)
            await kept.flush()
        await kept.flush()

    assert [1] == [row[-1] for row in pending(database_url)]


async def test_a_row_that_cannot_be_written_is_not_taken_for_written(database_url, clock):
    row = TrailRow("exported", "account:jo", "GET /v1/orders", "", clock.now)
    async with opened(database_url, clock) as kept:
        await kept.record(row)
        with psycopg.connect(database_url, autocommit=True) as admin:
            admin.execute("revoke insert on security.pending from counterfoil_recorder")
        with pytest.raises(ProblemError, match="identity-unavailable"):
            await kept.record(row)

    assert 1 == len(pending(database_url))


def test_the_recorder_may_insert_rows_and_nothing_else(database_url):
    statements = (
        "select from security.pending",
        "update security.pending set count = 1",
        "delete from security.pending",
        "truncate security.pending",
        "select from log.event",
        "select from vault.session",
        "select from consumers.paused",
        "create table security.more (id int)",
    )
    with database.connect(database_url, role="counterfoil_recorder", name="test") as conn:
        conn.execute(
            "insert into security.pending (batch, number, kind, actor, process, route, code, detail, correlation_id,"
            " since, count) values (gen_random_uuid(), 1, 'denied', 'x', 'x', 'x', '', '', '', now(), 1)"
        )
        for statement in statements:
            with pytest.raises(errors.InsufficientPrivilege):
                conn.execute(statement)
