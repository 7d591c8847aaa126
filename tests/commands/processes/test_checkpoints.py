"""Where processes begin, how their checkpoints move, and how they pass from one generation to the next."""

from collections.abc import Iterator, Mapping

import psycopg
import pytest

from commands.processes import checkpoints
from commands.processes.checkpoints import Checkpoints
from commands.processes.process import Process
from domain.ordering.order import ORDER
from event_store.consumers.checkpoints import Mark
from event_store.consumers.lease import Lease
from event_store.consumers.parking import Active
from event_store.consumers.starting import HEAD, ORIGIN
from event_store.transport import generations
from event_store.transport.transport import Partition
from runtime import database
from tests.commands.processes.running import append, placed, received

NAMES = ("fulfilment", "restock")
LEASE = "processes:test"


@pytest.fixture
def conn(database_url) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    with database.connect(database_url, role="counterfoil_writer", name="test") as conn:
        yield conn


def positions(stands: Checkpoints, name: str) -> set[int]:
    return {mark.position for mark in stands.marks[name].values()}


def fence(url: str) -> None:
    with database.connect(url, role=None, name="test") as owner:
        generations.fence(owner, reason="test", empty_documents=lambda: None)


def move(url: str, stands: Checkpoints, reached: Mapping[Partition, Mark], *, owner: str = "me") -> None:
    with database.connect(url, role="counterfoil_writer", name="test") as conn:
        checkpoints.move(conn, stands, reached, active=Active(LEASE, owner))


def held_lease(conn: psycopg.Connection[tuple[object, ...]]) -> Lease:
    lease = Lease(conn, name=LEASE, owner="me")
    while not lease.hold():
        continue
    return lease


def test_a_process_begins_at_the_head_of_its_registration_and_stays_there(database_url, conn):
    append(database_url, [received("A", 1), placed("old", [("A", 1)])])
    late = Process("late", writes=(ORDER,), start=HEAD)
    checkpoints.register(conn, [late])
    append(database_url, [placed("new", [("A", 1)])])
    checkpoints.register(conn, [late])

    stands = checkpoints.entered(conn, names=["late"])

    assert {2} == positions(stands, "late")
    assert stands.marks["late"][0].leaf is not None


@pytest.mark.parametrize(("start", "position"), [(ORIGIN, 0), (1, 1)])
def test_a_process_begins_where_it_declares(start, position, database_url, conn):
    append(database_url, [received("A", 1), placed("old", [("A", 1)])])

    checkpoints.register(conn, [Process("elsewhere", writes=(ORDER,), start=start)])

    assert {position} == positions(checkpoints.entered(conn, names=["elsewhere"]), "elsewhere")


def test_a_process_begins_in_every_partition_of_its_generation(conn):
    stands = checkpoints.entered(conn, names=NAMES)

    assert 1 == stands.generation.generation
    assert set(range(12)) == set(stands.marks["restock"])
    assert {0} == positions(stands, "fulfilment")


def test_a_process_is_told_from_consumers_of_the_whole_log_by_where_it_has_begun(conn):
    checkpoints.register(conn, [Process("undeclared", writes=(ORDER,), start=ORIGIN)])
    checkpoints.entered(conn, names=["undeclared"])
    conn.execute("insert into consumers.registration (consumer, registered_position) values ('counts', 0)")
    conn.execute("insert into consumers.checkpoint (consumer, position) values ('counts', 0)")

    assert [True, False, False] == [
        checkpoints.is_process(conn, name) for name in ("undeclared", "counts", "order_details")
    ]


def test_a_checkpoint_moves_up_and_never_back(database_url, conn):
    held_lease(conn)
    stands = checkpoints.entered(conn, names=NAMES)

    move(database_url, stands, {3: Mark(9, b"leaf")})
    move(database_url, stands, {3: Mark(5, b"older")})

    again = checkpoints.entered(conn, names=NAMES)
    assert Mark(9, b"leaf") == again.marks["fulfilment"][3] == again.marks["restock"][3]


def test_a_checkpoint_is_not_moved_by_a_worker_that_lost_the_lease(database_url, conn):
    held_lease(conn)
    stands = checkpoints.entered(conn, names=NAMES)

    move(database_url, stands, {3: Mark(9)}, owner="somebody who slept")

    assert Mark(0) == checkpoints.entered(conn, names=NAMES).marks["fulfilment"][3]


def test_a_process_stays_in_the_old_generation_until_it_is_through_and_enters_the_next_whole(
    database_url, conn
):
    before = checkpoints.entered(conn, names=NAMES)
    append(database_url, [received("A", 1), received("B", 1)])
    fence(database_url)
    between = checkpoints.entered(conn, names=NAMES)

    following = generations.generation_numbered(conn, generation=2)
    checkpoints.enter_next(conn, between, next_generation=following)
    after = checkpoints.entered(conn, names=NAMES)

    assert [1, 1, 2] == [stands.generation.generation for stands in (before, between, after)]
    assert {2} == positions(after, "fulfilment")
    assert 12 == len(after.marks["fulfilment"])


def test_a_process_begins_in_the_generation_of_the_position_it_registered_at(database_url, conn):
    append(database_url, [received("A", 1)])
    fence(database_url)
    append(database_url, [received("B", 1)])
    with psycopg.connect(database_url, autocommit=True) as owner:
        owner.execute("update consumers.registration set registered_position = 2 where consumer = 'restock'")

    first = checkpoints.entered(conn, names=NAMES)
    checkpoints.enter_next(conn, first, next_generation=generations.generation_numbered(conn, generation=2))
    second = checkpoints.entered(conn, names=NAMES)

    assert (1, {"fulfilment"}) == (first.generation.generation, set(first.marks))
    assert (2, set(NAMES)) == (second.generation.generation, set(second.marks))
    assert ({1}, {2}) == (positions(second, "fulfilment"), positions(second, "restock"))


def test_a_process_that_has_not_worked_yet_stands_where_it_was_registered(database_url, conn):
    append(database_url, [received("A", 1), received("B", 1)])
    with psycopg.connect(database_url, autocommit=True) as owner:
        owner.execute("update consumers.registration set registered_position = 1")

    found = checkpoints.positions(conn, names=NAMES)

    assert [("fulfilment", 1, 1, 0), ("restock", 1, 1, 0)] == [
        (process.name, process.position, process.lag_events, process.parked) for process in found
    ]
