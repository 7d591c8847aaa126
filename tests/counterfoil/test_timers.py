"""What operators are shown of timers: the list, the status and the doctor."""

import json
import os
import sys
from datetime import datetime, timedelta

import pytest

from counterfoil import doctor, status, timers
from counterfoil.contexts import CONTEXTS
from event_store.consumers import parking
from event_store.consumers.parking import Failure, Scope
from runtime import database
from runtime.settings import Settings
from tests import forking
from tests.commands.processes.running import append, placed
from tests.commands.processes.timing import recorded
from tests.projections.feeding import feeding

DAY = timedelta(days=1)


@pytest.fixture
def url(shop_url):
    append(shop_url, [placed(name, [("A", 1)]) for name in ("b", "a")])
    with feeding(shop_url, CONTEXTS.views) as feeder:
        feeder.catch_up()
    return shop_url


def counterfoil(url, tmp_path, *words):
    environment = {**os.environ, "COUNTERFOIL_HOME": str(tmp_path), "COUNTERFOIL_DATABASE_URL": url}
    program = [sys.executable, "-m", "counterfoil", *words]
    return forking.run(program, env=environment, check=True).stdout


def test_every_timer_that_is_set_is_listed_in_the_order_in_which_they_are_due(url, tmp_path):
    found = json.loads(counterfoil(url, tmp_path, "timers", "list", "--json"))
    shown = counterfoil(url, tmp_path, "timers", "list")

    (placing,) = recorded(url, "order-b")
    assert [
        ("fulfilment", "undecided", "order-a", 2, False),
        ("fulfilment", "undecided", "order-b", 1, False),
    ] == [
        (each["process"], each["name"], each["stream"], each["set_at"], each["is_due"])
        for each in sorted(found, key=lambda each: each["stream"])
    ]
    assert {placing.recorded_at + DAY} == {
        datetime.fromisoformat(each["due_at"]) for each in found if each["stream"] == "order-b"
    }
    assert 2 == len(shown.splitlines())
    assert "fulfilment   undecided    order-b                  set at 1, due 2" in shown


def test_status_and_doctor_show_what_is_overdue_and_what_is_parked(url, tmp_path, monkeypatch):
    settings = Settings(home=tmp_path, database_url=url, undecided_after_s=0.001)
    calm = checks(Settings(home=tmp_path, database_url=url))
    monkeypatch.setattr(timers, "OVERDUE_AFTER", timedelta())
    with database.connect(url, role="counterfoil_writer", name="test") as conn:
        failure = Failure("order-a", 2, "order-a", 1, "t", "cannot be decided")
        parking.park(conn, Scope("fulfilment-undecided"), failure)

    found = status.as_json(settings, contexts=CONTEXTS)

    assert [{"process": "fulfilment", "timer": "undecided", "overdue": 2, "parked": 1}] == [
        each for each in found["timers"] if each["process"] == "fulfilment"
    ]
    assert "timer    fulfilment.undecided         2 overdue  PARKED 1" in status.lines(found)
    assert calm == []
    assert [
        "1 parked timers: `counterfoil parked list`",
        "2 are overdue: `counterfoil timers list`",
    ] == checks(settings)


def checks(settings):
    return [check.message for check in doctor.examine(settings) if check.name.startswith("timer ")]
