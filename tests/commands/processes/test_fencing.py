"""A process whose outcome was cut off decides again once the log is fenced, whether its worker was stopped or not."""

import psycopg
import pytest

from counterfoil import fencing
from event_store.consumers import checkpoints, parking
from event_store.log import reading
from runtime import database
from runtime.settings import Settings
from tests.commands.processes.running import append, counted, eventually, placed, received, running, stock_of

CONFIRMED = "ordering.order_confirmed.v1"
ALL = ["account-closing", "carts-left", "credit-expiry", "credit-holds", "fulfilment", "purchases", "restock"]


@pytest.fixture
def shop(database_url, tmp_path):
    return Settings(home=tmp_path, database_url=database_url, redis_url=None)


@pytest.fixture
def owner(database_url):
    with database.connect(database_url, role="counterfoil_owner", name="test") as conn:
        yield conn


def confirmed(url):
    return counted(url).get(CONFIRMED, 0)


def cut_off_last_outcome(url):
    """Take the newest request's events away, and leave its outcome and all checkpoints, as tables of two moments do."""
    with psycopg.connect(url, autocommit=True) as admin:
        row = admin.execute("select max(first_position) - 1 from log.outcome").fetchone()
        assert row is not None
        admin.execute("delete from log.event where position > %s", row)
        admin.execute("update log.head set position = %s", row)
        return row[0]


def decided(url):
    append(url, [received("A", 10)])
    append(url, [placed(f"o{number}", [("A", 1)]) for number in range(3)])
    with running(url):
        eventually(lambda: confirmed(url) == 3)


def test_a_process_whose_outcome_was_cut_off_decides_again_after_the_fence(database_url, shop, owner):
    decided(database_url)
    head = cut_off_last_outcome(database_url)
    intent = fencing.intent(shop)
    message = fencing.fence(shop, reason="restored")
    with running(database_url):
        eventually(lambda: confirmed(database_url) == 3)

    assert (head, 1, tuple(ALL)) == (intent.head, intent.outcomes, intent.processes)
    assert f"1 outcomes of lost events removed, {len(ALL)} process managers set back" in message
    assert [(3,)] == owner.execute("select count(*) from log.event where type = %s", [CONFIRMED]).fetchall()
    item = stock_of(database_url, "A")
    assert item is not None
    assert 3 == item.reserved


def test_a_worker_that_ran_through_the_fence_decides_again_too(database_url, shop):
    append(database_url, [received("A", 10)])
    append(database_url, [placed(f"o{number}", [("A", 1)]) for number in range(3)])
    with running(database_url):
        eventually(lambda: confirmed(database_url) == 3)
        cut_off_last_outcome(database_url)
        fencing.fence(shop, reason="restored")
        eventually(lambda: confirmed(database_url) == 3)

    item = stock_of(database_url, "A")
    assert item is not None
    assert 3 == item.reserved


def test_what_was_parked_is_met_again(database_url, shop, owner):
    decided(database_url)
    owner.execute(
        "insert into consumers.parked (consumer, partition_key, position, stream, version, type, reason, last_position)"
        " values ('fulfilment', 'order-o1', 3, 'order-o1', 1, 't', 'r', 3)"
    )
    cut_off_last_outcome(database_url)
    fencing.fence(shop, reason="restored")

    assert [] == parking.listed(owner)


def test_a_fence_of_a_log_that_lost_nothing_sets_nobody_back(database_url, shop, owner):
    decided(database_url)
    before = owner.execute(
        "select consumer, partition, position from consumers.checkpoint order by 1, 2"
    ).fetchall()
    message = fencing.fence(shop, reason="a drill")

    assert "0 outcomes of lost events removed, 0 process managers set back" in message
    assert (
        before
        == owner.execute(
            "select consumer, partition, position from consumers.checkpoint order by 1, 2"
        ).fetchall()
    )


CONTRADICTIONS = {
    "beyond the head": "update consumers.checkpoint set position = 1000 where consumer = 'restock'",
    "at another leaf": (
        "update consumers.checkpoint set position = 1, leaf = '\\x00' where consumer = 'restock'"
    ),
    "registered beyond the head": (
        "update consumers.registration set registered_position = 1000 where consumer = 'restock'"
    ),
}


@pytest.mark.parametrize("statement", CONTRADICTIONS.values(), ids=CONTRADICTIONS.keys())
def test_a_process_that_stands_where_the_log_does_not_lead_is_set_back_alone(
    database_url, shop, owner, statement
):
    decided(database_url)
    owner.execute(statement)
    head = reading.head(owner).position

    assert ["restock"] == checkpoints.to_set_back(owner, "process")
    fencing.fence(shop, reason="restored")
    assert [] == checkpoints.to_set_back(owner, "process")
    (registered,) = owner.execute("select max(registered_position) from consumers.registration").fetchone()
    assert registered <= head
