"""A declared consumer in processes of its own: killed, parked, retried, skipped, fenced, and shown to operators."""

import json
import random
import re
import secrets
import signal
import subprocess

import httpx
import msgspec
import psycopg
import pytest

from counterfoil.servers import child
from tests.acceptance.running import command, environment, wait_until
from tests.appends import TYPE, append_request, new_event
from tests.counterfoil import commanding
from tests.event_store.consumers import how_to
from tests.projections.feeding import append_requests

pytestmark = [pytest.mark.faults, pytest.mark.slow]

KILLS = 3
EVENTS = 6_000
WITHIN_S = 60.0
NAME = "event-counts"
COUNTED = "select type, events from consumer_tables.event_counts order by type"


class Counting:
    """The process of the page's consumer, and what a person sees of it."""

    def __init__(self, directory, database_url):
        how_to.write(directory)
        self.directory, self.url, self.port = directory, database_url, child.free_port()
        self.settings = {
            "COUNTERFOIL_CONTEXTS": "counting:COUNTING",
            "COUNTERFOIL_DATABASE_URL": database_url,
            "COUNTERFOIL_PROCESSES_HEALTH_PORT": str(self.port),
            "PYTHONPATH": f"{how_to.ROOT}:{directory}",
        }
        self.process = None

    def start(self):
        with (self.directory / "processes.log").open("ab") as output:
            self.process = subprocess.Popen(
                command("processes"),
                env=environment(self.directory, **self.settings),
                cwd=self.directory,
                stdout=output,
                stderr=output,
            )

    def end(self, number):
        self.process.send_signal(number)
        return self.process.wait(15)

    def execute(self, statement):
        with psycopg.connect(self.url, autocommit=True) as conn:
            return conn.execute(statement)

    def ask(self, question):
        with psycopg.connect(self.url, autocommit=True) as conn:
            return conn.execute(question).fetchall()

    @property
    def position(self):
        return self.ask("select coalesce(max(position), 0) from consumers.checkpoint")[0][0]

    def wait_for(self, position):
        wait_until(lambda: self.position >= position, within_s=WITHIN_S, what=f"{NAME} at {position}")

    def metric(self, name):
        text = httpx.get(f"http://127.0.0.1:{self.port}/metrics", trust_env=False).text
        (value,) = re.findall(rf'^counterfoil_consumer_{name}{{.*"{NAME}".*}} (.*)$', text, re.MULTILINE)
        return float(value)


@pytest.fixture
def counting(tmp_path, database_url):
    counting = Counting(tmp_path, database_url)
    yield counting
    if counting.process is not None and counting.process.poll() is None:
        counting.end(signal.SIGKILL)


def appended(url, type_name, *streams):
    """An event of a type on each stream; the log's head."""
    events = [msgspec.structs.replace(new_event(stream), type=type_name) for stream in streams]
    return append_requests(url, [append_request(each.stream, events=(each,)) for each in events])


def test_a_consumer_counts_each_event_once_through_kills_and_harms_no_key_but_that_of_a_poison(
    counting, database_url, monkeypatch
):
    counts_exactly_though_killed_again_and_again(counting, database_url)
    parks_retries_and_skips_where_operators_see_it(counting, database_url, monkeypatch)

    assert 0 == counting.end(signal.SIGTERM)


def counts_exactly_though_killed_again_and_again(counting, database_url):
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    head = appended(database_url, TYPE, *(f"thing-{number % 97}" for number in range(EVENTS)))
    for _ in range(KILLS):
        counting.start()
        counting.wait_for(counting.position + chance.randrange(1, EVENTS // (KILLS + 1)))
        counting.end(signal.SIGKILL)
        counting.execute(
            "update runtime.lease set owner = null"
        )  # as it would run out by itself, some seconds later

    counting.start()
    counting.wait_for(head)
    assert [(TYPE, EVENTS)] == counting.ask(COUNTED)


def parks_retries_and_skips_where_operators_see_it(counting, database_url, monkeypatch):
    counting.execute("alter table consumer_tables.event_counts add check (type <> 'shop.poisoned.v1')")
    poisoned = appended(database_url, "shop.poisoned.v1", "thing-bad")
    head = appended(database_url, TYPE, "thing-bad", "thing-good")
    counting.wait_for(head)

    def told(*arguments):
        result = commanding.run(counting.directory, *arguments, database_url=database_url)
        return result.exit_code, result.stdout + result.stderr

    monkeypatch.setenv("COUNTERFOIL_CONTEXTS", "counting:COUNTING")
    with how_to.imported(counting.directory):
        shown = {"name": NAME, "position": head, "lag_events": 0, "lag_seconds": 0.0, "parked": 1}
        assert [shown] == json.loads(told("status", "--json")[1])["consumers"]
        assert f"consumer {NAME}" in told("status")[1]
        assert "1 parked keys" in told("doctor")[1]
        assert f"at {poisoned:,} (shop.poisoned.v1), 1 behind it: CheckViolation" in told("parked", "list")[1]
        wait_until(
            lambda: counting.metric("parked_keys") == 1, within_s=WITHIN_S, what="the parked key in metrics"
        )
        assert (1.0, 0.0) == (counting.metric("active"), counting.metric("lag_events"))

        assert (1, "counterfoil: failed again") == _begins(told("parked", "retry", NAME, "thing-bad"), 25)
        assert (0, "done\n") == told("parked", "skip", NAME, "thing-bad", poisoned, "--reason", "a test")
        assert "a test" in told("replay", f"skips-{NAME}")[1]
    counting.wait_for(head + 1)
    assert [("operations.event_skipped.v1", 1), (TYPE, EVENTS + 2)] == counting.ask(COUNTED)


def _begins(answered, length):
    code, text = answered
    return code, text[:length]
