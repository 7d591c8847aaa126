"""The command API registers the process managers before its first route answers: none misses what a route records."""

import asyncio

import psycopg

from counterfoil.applications import command_app
from counterfoil.context import Context, Contexts
from counterfoil.testing.consumers import consume
from event_store.consumers.starting import HEAD
from runtime.settings import Settings
from tests.commands.conftest import opened
from tests.commands.processes.running import (
    Append,
    append,
    counted,
    eventually,
    placed,
    received,
    register,
    running,
)
from tests.event_store.consumers.tailing import seeing
from tests.projections.counting import Faults

REGISTERED = "select consumer, registered_position from consumers.registration order by consumer"


async def test_processes_are_registered_at_the_head_before_a_route_answers(database_url):
    await recorded(database_url, received("A", 10), placed("imported", [("A", 1)]))

    async with opened(database_url):
        found = registered(database_url)

    assert [
        ("account-closing", 2),
        ("carts-left", 2),
        ("credit-expiry", 2),
        ("credit-holds", 2),
        ("fulfilment", 2),
        ("purchases", 2),
        ("restock", 2),
    ] == found


async def test_a_declared_consumer_is_registered_at_the_head_before_a_route_answers(database_url):
    await recorded(database_url, received("A", 10))
    context = Context(name="other", consumers=(seeing(Faults(), start=HEAD),))

    app = command_app(Settings(database_url=database_url), contexts=Contexts(context))
    async with app.router.lifespan_context(app):
        assert [("seen", 1)] == registered(database_url)

    await recorded(database_url, received("B", 10))
    await asyncio.to_thread(consume, database_url, seeing(Faults(), start=HEAD))
    assert [("seen", 1)] == registered(database_url)


async def test_an_api_that_starts_later_changes_no_registration(database_url):
    register(database_url)
    await recorded(database_url, received("A", 10))

    async with opened(database_url):
        found = registered(database_url)

    assert [
        ("account-closing", 0),
        ("carts-left", 0),
        ("credit-expiry", 0),
        ("credit-holds", 0),
        ("fulfilment", 0),
        ("purchases", 0),
        ("restock", 0),
    ] == found


async def test_what_was_recorded_before_the_first_worker_started_is_decided(database_url):
    async with opened(database_url):
        await recorded(database_url, received("A", 10), placed("first", [("A", 1)]))

    await asyncio.to_thread(_until_confirmed, database_url)


def _until_confirmed(url: str) -> None:
    with running(url):
        eventually(lambda: counted(url).get("ordering.order_confirmed.v1") == 1)


async def recorded(url: str, *appends: Append) -> None:
    """What routes, or an earlier release, have appended."""
    await asyncio.to_thread(append, url, appends)


def registered(url: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url) as conn:
        return conn.execute(REGISTERED).fetchall()
