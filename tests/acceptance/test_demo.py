"""The demo tells its whole story on a machine that has nothing but Python, and says so in one JSON object."""

import json
from collections import Counter

import pytest

from tests.acceptance import running
from tests.acceptance.running import last_json
from tests.sizes import DEMO_ORDERS

pytestmark = pytest.mark.slow


def run(home, *options, **settings):
    """The demo as a user starts it; at full size it and all that it starts are executed, not forked."""
    return running.run(home, "demo", "--exit", "--json", *options, timeout_s=600, **settings)


def test_the_demo_tells_its_story_and_stops_by_itself(tmp_path):
    orders = DEMO_ORDERS.chosen
    finished = run(tmp_path / "home", "--orders", orders)
    printed = last_json(finished)

    assert finished.returncode == 0, finished.stderr[-3000:]
    assert (printed["ok"], printed["orders"]) == (True, orders)
    assert printed["events"] > orders
    assert [(step["ok"], step["seconds"] >= 0) for step in printed["steps"]] == [(True, True)] * 8
    assert "10 customers sign up, the rest are guests: all buy" in {step["name"] for step in printed["steps"]}
    assert printed["directory"] == str(tmp_path / "home" / "demo")
    entries = map(json.loads, (tmp_path / "home" / "demo" / "payments.ledger").read_text().splitlines())
    decided = Counter(entry["answer"]["status"] for entry in entries if entry["did"] == "decided")
    assert {"authorised": 50, "captured": 50} == decided
    assert sum(step["seconds"] for step in printed["steps"]) < 400


def test_a_demo_without_its_servers_fails_with_one_clear_step(tmp_path):
    finished = run(tmp_path / "home", COUNTERFOIL_POSTGRES_BIN=str(tmp_path / "empty"))
    printed = last_json(finished)

    assert finished.returncode == 1
    assert (printed["ok"], [step["ok"] for step in printed["steps"]]) == (False, [False])
    assert "Postgres was not found" in finished.stderr
