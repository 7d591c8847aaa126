"""`counterfoil consumers`: everything that reads the log in one process, which is killed, and another takes over."""

import contextlib

import httpx
import pytest

from counterfoil.contexts import CONTEXTS
from devservers import child
from tests import forking
from tests.acceptance.running import PROJECT, command, environment, wait_until
from tests.commands.processes.running import append, counted, placed, received
from tests.event_store.transport.carrying import head, published
from tests.projections.feeding import assert_views_hold_the_log
from tests.projections.test_running import caught_up

pytestmark = [pytest.mark.faults, pytest.mark.slow]

WITHIN_S = 180.0
UNDER_A_LEASE = {"relay", "global-views", "snapshots", "processes:order-payment-purchase-redemption-stock"}


class Consumers:
    """A process of the command."""

    def __init__(self, home, url):
        self.port = child.free_port()
        given = environment(
            home, COUNTERFOIL_DATABASE_URL=url, COUNTERFOIL_CONSUMERS_HEALTH_PORT=str(self.port)
        )
        with (home / f"{self.port}.log").open("wb") as output:
            self.process = forking.popen(
                command("consumers"), env=given, cwd=PROJECT, stdout=output, stderr=output
            )

    def conditions(self):
        """What /readyz says: the condition by consumer, and whether all are ready."""
        try:
            answer = httpx.get(f"http://127.0.0.1:{self.port}/readyz", trust_env=False, timeout=60)
        except httpx.TransportError:
            return {}, False
        return dict(line.split(maxsplit=1) for line in answer.text.splitlines()[1:]), answer.is_success

    def are(self, condition):
        conditions, ready = self.conditions()
        return ready and {name for name, each in conditions.items() if each == condition} >= UNDER_A_LEASE

    def metrics(self):
        return httpx.get(f"http://127.0.0.1:{self.port}/metrics", trust_env=False, timeout=60).text


@pytest.fixture
def start(tmp_path, database_url):
    with contextlib.ExitStack() as stack:

        def start():
            started = Consumers(tmp_path, database_url)
            stack.callback(started.process.wait)
            stack.callback(started.process.kill)
            return started

        yield start


def test_a_process_that_hosts_all_consumers_is_killed_and_another_goes_on_where_it_was(start, database_url):
    first = start()
    wait_until(lambda: first.are("active"), within_s=WITHIN_S, what="a process that does everything")
    second = start()
    wait_until(lambda: second.are("standby"), within_s=WITHIN_S, what="a process that stands by for it")
    append(database_url, [received("A", 1_000), *(placed(f"o{number}", [("A", 1)]) for number in range(200))])
    wait_until(lambda: _confirmed(database_url) >= 50, within_s=WITHIN_S, what="some decisions")

    first.process.kill()
    append(database_url, [placed(f"p{number}", [("A", 1)]) for number in range(50)])

    wait_until(lambda: second.are("active"), within_s=WITHIN_S, what="the takeover")
    wait_until(lambda: _confirmed(database_url) == 250, within_s=WITHIN_S, what="all decisions")
    wait_until(lambda: caught_up(database_url), within_s=WITHIN_S, what="views that are caught up")
    metrics = second.metrics()
    second.process.terminate()

    assert head(database_url) == published(database_url).position
    assert {"inventory.stock_reserved.v1": 250}.items() <= counted(database_url).items(), "each once"
    assert_views_hold_the_log(database_url, CONTEXTS.views)
    assert {f'counterfoil_consumer_active{{consumer="{name}"}} 1.0' for name in UNDER_A_LEASE} <= set(
        metrics.splitlines()
    )
    assert 0 == second.process.wait(120)


def _confirmed(url):
    return counted(url).get("ordering.order_confirmed.v1", 0)
