"""`counterfoil status --size` tells what takes which room, and when a disk will be full."""

import json
import os
import sys

import pytest
from typer.testing import CliRunner

from benchmarks import shop_events
from counterfoil import sizing
from counterfoil.cli.answering import EXIT_USAGE
from counterfoil.cli.main import app
from runtime import database
from tests import forking
from tests.architecture import test_plans
from tests.event_store.transport import carrying

ORDERS_EVENTS = 600
WIDE = test_plans.FILL.replace("'{}', '{}'", "'{}', to_json(repeat('x', 1500))")
"""Events of some size, as those of a shop: what the planner chooses depends on it."""


@pytest.fixture
def url(database_url):
    shop_events.fill(database_url, shop_events.history(ORDERS_EVENTS))
    return database_url


def test_all_of_the_log_is_shared_out_among_types_and_categories(url):
    sizes = sizing.read(url)

    assert sizes.sampled_events == sizes.position > 0
    for shares in (sizes.types, sizes.categories):
        assert sizes.position == pytest.approx(sum(each.events for each in shares), abs=len(shares))
        assert sizes.events == pytest.approx(sum(each.bytes for each in shares), abs=len(shares))
    assert {"order", "stock"} <= {each.name for each in sizes.categories}


def test_every_table_of_the_installation_is_shown(url):
    sizes = sizing.read(url)
    with database.connect(url, role=None, name="test") as connection:
        tables = connection.execute(
            "select schemaname || '.' || tablename from pg_tables"
            " where schemaname not in ('pg_catalog', 'information_schema')"
        ).fetchall()
    log = {"log.event", "log.outcome", "log.tag"}

    assert {name for (name,) in tables} - log == {each.name for each in sizes.others}


def test_a_large_log_is_sampled(url, monkeypatch):
    monkeypatch.setattr(sizing, "SAMPLES", 4)
    monkeypatch.setattr(sizing, "EVENTS_PER_SAMPLE", 25)
    sizes = sizing.read(url)

    assert sizes.sampled_events == 100 < sizes.position
    assert sizes.position == pytest.approx(sum(each.events for each in sizes.types), abs=len(sizes.types))


def test_samples_of_a_large_log_are_read_by_position(database_url):
    starts = list(range(1, test_plans.EVENTS, test_plans.EVENTS // sizing.SAMPLES))
    with database.connect(database_url, role="counterfoil_owner", name="test") as connection:
        connection.execute(WIDE, {"events": test_plans.EVENTS, "streams": test_plans.STREAMS})
        connection.execute("analyze log.event")
        used, scanned = test_plans.plan(connection, sizing._SAMPLED, {"starts": starts, "each": 10})

    assert set() == scanned
    assert {"event_pkey"} == used


def test_growth_and_capacity_say_when_a_disk_is_full(url):
    with database.connect(url, role=None, name="test") as connection:
        connection.execute("alter table log.event disable trigger all")
        connection.execute(
            "update log.event set recorded_at = recorded_at - interval '1 day' * (%s - position) / 100",
            [sizing.read(url).position],
        )
    sizes = sizing.read(url, capacity_gb=1)

    assert sizes.growth is not None
    assert sizes.growth.events_a_day == pytest.approx(100, rel=0.1)
    expected = (sizing.GIGABYTE - sizes.database) / sizes.growth.bytes_a_day
    assert sizes.days_until_full == pytest.approx(expected)
    assert sizing.lines(sizes)[-1].startswith("full     1.00 GB in ")


def test_everything_is_shared_out_among_the_streams_of_a_category(url):
    sizes = sizing.read(url)
    found = sizing.each(url, sizes, category="order")
    with database.connect(url, role=None, name="test") as connection:
        row = connection.execute(
            "select count(distinct stream) from log.event where stream like 'order-%'"
        ).fetchone()

    assert found is not None
    assert row == (found.streams,)
    assert found.event_bytes == sizes.events // found.streams
    assert "order streams" in sizing.each_in_words(found)
    assert sizing.each(url, sizes, category="orde") is None


def test_an_empty_log_has_no_growth(database_url):
    sizes = sizing.read(database_url, capacity_gb=1)

    assert (None, None) == (sizes.growth, sizes.days_until_full)
    assert sizing.lines(sizes)


def test_when_a_disk_is_full_is_not_said_of_a_log_that_is_too_young(database_url):
    carrying.append(database_url, 5)
    (line,) = (
        each for each in sizing.lines(sizing.read(database_url, capacity_gb=1)) if each.startswith("full ")
    )

    assert line.endswith("1.00 GB nobody knows when: events of an hour are needed")


def test_the_command_prints_sizes_for_people_and_for_programs(url):
    environment = {**os.environ, "COUNTERFOIL_DATABASE_URL": url}

    def printed(*options):
        command = [sys.executable, "-m", "counterfoil", "status", "--size", "--capacity", "10", *options]
        return forking.run(command, env=environment, check=True).stdout

    assert "types and categories are estimated from" in printed()
    assert json.loads(printed("--json"))["capacity"] == 10 * sizing.GIGABYTE


@pytest.mark.parametrize("option", [("--capacity", "10"), ("--per", "order")])
def test_what_only_sizes_have_is_refused_without_them(option):
    done = CliRunner().invoke(app, ["status", *option])

    assert EXIT_USAGE == done.exit_code
    assert f"{option[0]}: needs --size" in done.output
