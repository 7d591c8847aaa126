"""Where policies begin, how their checkpoints move, and how they pass from one generation to the next."""

import asyncio
from collections.abc import Iterator, Mapping
from importlib import resources

import psycopg
import pytest
from psycopg import sql

from commands.policies import standing
from commands.policies.progress import Mark
from commands.policies.standing import NotRegistered, Standing
from counterfoil import migrating
from event_store import generations
from event_store.lease import Lease
from event_store.transport import Partition
from runtime import database, migrations
from tests.commands.policies.running import append, placed, received

NAMES = ("fulfilment", "restock")
LEASE = "policies:test"


@pytest.fixture
def conn(database_url) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    with database.connect(database_url, role="counterfoil_writer", name="test") as conn:
        yield conn


@pytest.fixture
def bare_database_url(postgres) -> Iterator[str]:
    """Address of a database in which nothing has been created."""
    name = sql.Identifier("counterfoil_test_policies_bare")
    with psycopg.connect(postgres.url, autocommit=True) as admin:
        admin.execute(sql.SQL("drop database if exists {} with (force)").format(name))
        admin.execute(sql.SQL("create database {}").format(name))
        yield psycopg.conninfo.make_conninfo(postgres.url, dbname="counterfoil_test_policies_bare")
        admin.execute(sql.SQL("drop database {} with (force)").format(name))


def positions(stands: Standing, name: str) -> set[int]:
    return {mark.position for mark in stands.marks[name].values()}


def fence(url: str) -> None:
    with database.connect(url, role=None, name="test") as owner:
        generations.fence(owner, reason="test", empty_documents=lambda: None)


def move(url: str, stands: Standing, reached: Mapping[Partition, Mark], *, owner: str = "me") -> None:
    async def run() -> None:
        async with await database.connect_async(url, role="counterfoil_writer", name="test") as conn:
            await standing.move(conn, stands, reached, lease=LEASE, owner=owner)

    asyncio.run(run())


def held_lease(conn: psycopg.Connection[tuple[object, ...]]) -> Lease:
    lease = Lease(conn, name=LEASE, owner="me")
    while not lease.hold():
        continue
    return lease


def test_a_policy_is_registered_at_the_head_of_the_log_when_it_is_migrated(bare_database_url):
    *before, commands = migrating.components()
    roles = (resources.files("event_store") / "sql" / "roles" / "roles.sql").read_text()
    with database.connect(bare_database_url, role=None, name="test") as owner:
        migrations.apply(owner, before, roles=roles)
        append(bare_database_url, [received("A", 1), placed("old", [("A", 1)])])
        migrations.apply(owner, [*before, commands], roles=roles)

        stands = standing.standing(owner, names=NAMES)

    assert {2} == positions(stands, "fulfilment") == positions(stands, "restock")
    assert stands.starts[0].leaf is not None


def test_a_policy_begins_in_every_partition_of_its_generation(conn):
    stands = standing.standing(conn, names=NAMES)

    assert 1 == stands.generation.generation
    assert set(range(12)) == set(stands.marks["restock"])
    assert {0} == positions(stands, "fulfilment")


def test_a_policy_that_was_never_migrated_cannot_work(conn):
    with pytest.raises(NotRegistered, match="refunds"):
        standing.standing(conn, names=("fulfilment", "refunds"))


def test_a_checkpoint_moves_up_and_never_back(database_url, conn):
    held_lease(conn)
    stands = standing.standing(conn, names=NAMES)

    move(database_url, stands, {3: Mark(9, b"leaf")})
    move(database_url, stands, {3: Mark(5, b"older")})

    again = standing.standing(conn, names=NAMES)
    assert Mark(9, b"leaf") == again.marks["fulfilment"][3] == again.marks["restock"][3]


def test_a_checkpoint_is_not_moved_by_a_worker_that_lost_the_lease(database_url, conn):
    held_lease(conn)
    stands = standing.standing(conn, names=NAMES)

    move(database_url, stands, {3: Mark(9)}, owner="somebody who slept")

    assert Mark(0) == standing.standing(conn, names=NAMES).marks["fulfilment"][3]


def test_a_policy_stays_in_the_old_generation_until_it_is_through_and_enters_the_next_whole(
    database_url, conn
):
    before = standing.standing(conn, names=NAMES)
    append(database_url, [received("A", 1), received("B", 1)])
    fence(database_url)
    between = standing.standing(conn, names=NAMES)

    following = generations.generation_numbered(conn, generation=2)
    standing.enter_next(conn, between, next_generation=following)
    after = standing.standing(conn, names=NAMES)

    assert [1, 1, 2] == [stands.generation.generation for stands in (before, between, after)]
    assert {2} == positions(after, "fulfilment")
    assert 12 == len(after.marks["fulfilment"])


def test_a_policy_begins_in_the_generation_of_the_position_it_registered_at(database_url, conn):
    append(database_url, [received("A", 1)])
    fence(database_url)
    append(database_url, [received("B", 1)])
    with psycopg.connect(database_url, autocommit=True) as owner:
        owner.execute("update policy.registration set registered_position = 2 where name = 'restock'")

    first = standing.standing(conn, names=NAMES)
    standing.enter_next(conn, first, next_generation=generations.generation_numbered(conn, generation=2))
    second = standing.standing(conn, names=NAMES)

    assert (1, {"fulfilment"}) == (first.generation.generation, set(first.marks))
    assert (2, set(NAMES)) == (second.generation.generation, set(second.marks))
    assert ({1}, {2}) == (positions(second, "fulfilment"), positions(second, "restock"))
    assert {1} == {mark.position for mark in second.starts.values()}


def test_a_policy_that_has_not_worked_yet_stands_where_it_was_registered(database_url, conn):
    append(database_url, [received("A", 1), received("B", 1)])
    with psycopg.connect(database_url, autocommit=True) as owner:
        owner.execute("update policy.registration set registered_position = 1")

    found = standing.positions(conn)

    assert [("fulfilment", 1, 1, 0), ("restock", 1, 1, 0)] == [
        (policy.name, policy.position, policy.lag_events, policy.parked) for policy in found
    ]
