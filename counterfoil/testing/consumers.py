"""Tests of consumers, on a real log: record events, then let a consumer handle them.

`record(database_url, (BOOK, "dune", BookLent("dune", "ada")))`, `consume(database_url, COUNTS)`, and what it wrote:
`rows(database_url, "event_counts")`.
"""

import asyncio
import contextlib
import os
import threading
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from prometheus_client import CollectorRegistry
from psycopg import sql

from commands.calls import Call
from commands.decision import Appended, DecisionView
from commands.execution import Caller
from commands.log_access import opened
from domain.event import Event
from event_store.consumers import tailing
from event_store.consumers.consumer import LogConsumer
from event_store.consumers.driver import Consumer, ConsumerSession, Hosted
from event_store.consumers.health import ConsumerHealth
from event_store.consumers.lease import Lease, new_owner
from event_store.consumers.metrics import ConsumerMetrics
from event_store.consumers.news import News
from runtime import database


def record(database_url: str, *appended: Appended) -> None:
    """Append events as commands do, each by itself: (aggregate, id, event), in order."""
    asyncio.run(_record(database_url, appended))


def consume(database_url: str, consumer: LogConsumer, *, registry: CollectorRegistry | None = None) -> None:
    """Let a consumer handle all there is, as its process would; what fails for another reason than its event is raised.

    `registry` gets its metrics.
    """
    work_off(database_url, tailing.consumer(consumer), registry=registry)


def work_off(database_url: str, hosted: Consumer, *, registry: CollectorRegistry | None = None) -> None:
    """Let what the driver runs work until it is idle."""
    with hosting(database_url, hosted, registry=registry) as working:
        while (turned := working.round()) != "idle":
            assert turned != "standby", f"another process has the lease {hosted.lease!r}"


@contextlib.contextmanager
def hosting(
    database_url: str, hosted: Consumer, *, registry: CollectorRegistry | None = None
) -> Iterator[Hosted]:
    """What the driver runs, on a connection of its own, for a test that gives it its turns."""
    with database.connect(
        database_url, role=hosted.role, name=hosted.name, settings=dict(hosted.settings)
    ) as conn:
        session = ConsumerSession(
            conn=conn,
            lease=None if hosted.lease is None else Lease(conn, name=hosted.lease, owner=new_owner()),
            stop=threading.Event(),
            news=News(),
            metrics=ConsumerMetrics(registry or CollectorRegistry()),
            database_url=database_url,
        )
        working = Hosted(hosted, session, health=ConsumerHealth())
        try:
            yield working
        finally:
            working.close()


def rows(database_url: str, table: str) -> list[tuple[Any, ...]]:
    """All rows of a table in schema `consumer_tables`, in the order of their columns."""
    question = sql.SQL("select * from {} as t order by t").format(sql.Identifier("consumer_tables", table))
    with database.connect(database_url, role="counterfoil_writer", name="test") as conn:
        return conn.execute(question).fetchall()


async def _record(database_url: str, appended: tuple[Appended, ...]) -> None:
    async with opened(database_url, role="counterfoil_reader", name="test", readers=2) as on:
        for aggregate, identifier, event in appended:
            (slot,) = on.execution.reserve(1)
            caller = Caller(on.execution, call=_call(), slot=slot, now=datetime.now(UTC))
            await caller.execute(aggregate, identifier, _deciding(event))


def _deciding(event: Event) -> Callable[[Any, DecisionView], list[Event]]:
    """The decision that this has happened, whatever the state."""
    return lambda _state, _view: [event]


def _call() -> Call:
    key = os.urandom(16)
    return Call(
        command="record",
        key=key,
        fingerprint=bytes(32),
        correlation_id=uuid.UUID(bytes=key).hex,
        actor="test",
    )
