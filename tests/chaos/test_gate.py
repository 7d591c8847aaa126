"""The distributed product keeps its promises under injected faults; docs/chaos.md says which, and what else does."""

import contextlib
import json
import statistics
import threading
import time

import pytest

from tests.chaos import dumping, faults
from tests.chaos.balancing import Balancer
from tests.chaos.campaign import Campaign
from tests.chaos.clients import DELIVERIES_PER_REQUEST, Connection, deliver
from tests.chaos.laboratory import wait_until
from tests.sizes import BROKER_AWAY_S, CHAOS_COMMANDS, CHAOS_FAULTS, REBUILT_EVENTS, ROLLING_RESTARTS

FIXED_SEED = 20_101_201
COMMANDS = CHAOS_COMMANDS.gate  # `make chaos` has rounds of the full size
FAULTS = CHAOS_FAULTS.gate
FLUSHES_THAT_FAIL = 3
WITH_TESTS_OF_THEIR_OWN = {"fail_a_flush", "keep_kafka_away"}
BASELINE_S = 5.0
COMMANDS_PER_SECOND = 20.0
"""Of all traders while faults strike, for minutes: more often, most commands would be met by no fault."""
BACKLOG_GONE_WITHIN_S = 240.0
NOISE_S = 3.0
"""What other work on the machine may add to one request; who waits for a broker waits for longer."""
CALM_COMMANDS = 20
"""Between two faults, at least."""
RESTARTS = ROLLING_RESTARTS.chosen
REBUILT = REBUILT_EVENTS.chosen
READ_EVERY_S = 0.1
SLOWEST_READ_S = 10.0

pytestmark = [pytest.mark.slow, pytest.mark.faults]


@pytest.fixture(scope="module")
def trading(laboratory):
    """One history for the whole log of the laboratory, judged once more when every test has had its turn with it."""
    campaign = Campaign(laboratory)
    yield campaign
    assert [] == campaign.judged(seed=0).violations


def printed(capsys, *lines):
    with capsys.disabled():
        print("", *lines, sep="\n")


def test_twenty_faults_while_clients_trade_break_no_law(laboratory, trading, fresh_seed, capsys):
    begun, struck_before = time.monotonic(), len(trading.struck)
    names = faults.FAULTS.keys() - faults.not_possible(laboratory).keys() - WITH_TESTS_OF_THEIR_OWN
    for seed in (FIXED_SEED, fresh_seed):
        trading.trade(
            seed=seed,
            commands=COMMANDS // 2,
            strikes=FAULTS // 2,
            names=names,
            rate=COMMANDS_PER_SECOND,
            calm=CALM_COMMANDS,
        )
        names -= {name for name, _, _ in trading.struck}
    outcome = trading.judged(seed=fresh_seed)
    outcome.seconds = time.monotonic() - begun
    printed(
        capsys, f"seeds {FIXED_SEED} and {fresh_seed}", outcome, *outcome.notes[:5], *outcome.violations[:5]
    )

    assert [] == outcome.violations
    assert outcome.commands >= COMMANDS
    assert FAULTS == len({name for name, _, _ in outcome.faults[struck_before:]})
    assert outcome.reads > 0


def slowest_of_hundred(attempts):
    """The time within which 99 of 100 requests were answered, in seconds."""
    return statistics.quantiles([each["return"] - each["invoke"] for each in attempts], n=100)[98]


def during(attempts, begun, ended):
    return [each for each in attempts if begun <= each["invoke"] and each["return"] <= ended]


def test_without_its_broker_the_shop_goes_on_taking_commands(laboratory, trading, capsys):
    with (
        trading.crowd(seed=14, rate=COMMANDS_PER_SECOND),
        Readers(laboratory, "/v1/products/P1") as control,  # no read needs the broker
    ):
        begun = time.monotonic()
        time.sleep(BASELINE_S)
        stopped = time.monotonic()
        laboratory.kafka.kill()
        time.sleep(BROKER_AWAY_S.chosen)
        back = time.monotonic()
        before, without = (
            during(trading.history.attempts, *times) for times in ((begun, stopped), (stopped, back))
        )
        reads_before, reads_without = (
            during(control.attempts, *times) for times in ((begun, stopped), (stopped, back))
        )
        laboratory.kafka.start()
    returned = time.monotonic()
    unsettled = dumping.settle(laboratory, within_s=BACKLOG_GONE_WITHIN_S)
    took_s = time.monotonic() - returned
    succeeded = sum(each["final"] for each in without) / len(without)
    usual_s, slow_s = slowest_of_hundred(before), slowest_of_hundred(without)
    # Other tests run at the same time, now more of them and now fewer: reads show how much slower everything is.
    load = max(1.0, slowest_of_hundred(reads_without) / slowest_of_hundred(reads_before))
    with capsys.disabled():
        print(
            f"\n{len(without)} requests without broker, {succeeded:.2%} answered; p99 {usual_s * 1e3:.0f} ms before,"
            f" {slow_s * 1e3:.0f} ms without, reads {load:.1f} times as slow;"
            f" backlog gone {took_s:.0f} s after its return"
        )

    assert unsettled is None
    assert succeeded >= 0.98
    assert slow_s <= max(2 * usual_s * load, NOISE_S)


def test_rolling_restarts_break_no_connection_and_no_request(laboratory, trading, capsys):
    with Balancer(laboratory, history=trading.history) as balancer:
        time.sleep(1.0)
        codes = []
        for number in range(RESTARTS):
            instance = balancer.instances[number % 2]
            codes.append(instance.stop())
            instance.start()
            wait_until(instance.is_ready, within_s=240, what=f"{instance.name} ready")
            time.sleep(0.5)
    with capsys.disabled():
        print(
            f"\n{len(balancer.answers)} commands over {RESTARTS} rolling restarts, {len(balancer.broken)} broken"
        )

    assert [0] * RESTARTS == codes
    assert [] == balancer.broken
    assert len(balancer.answers) > 20 * RESTARTS


class Readers:
    """Somebody who asks for one thing all the time; what was answered, and when."""

    def __init__(self, laboratory, path):
        self.statuses = set()
        self.refused = []
        self.attempts = []
        self._connection = Connection(laboratory.of("query-api")[0].port)
        self._path = path
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()
        self._connection.close()

    @property
    def slowest_s(self):
        return max(each["return"] - each["invoke"] for each in self.attempts)

    def _read(self):
        while not self._stop.wait(READ_EVERY_S):
            asked_at = time.monotonic()
            status, _, body = self._connection.ask("GET", self._path)
            self.statuses.add(status)
            if status != 200:
                self.refused.append(body)
            self.attempts.append({"invoke": asked_at, "return": time.monotonic()})


def fill(laboratory, trading, *, events):
    with laboratory.admin() as conn:
        (position,) = conn.execute("select position from log.head").fetchone()
    with contextlib.closing(Connection(laboratory.of("command-api")[0].port)) as connection:
        for number in range((events - position) // DELIVERIES_PER_REQUEST + 1):
            deliver(connection, history=trading.history, number=number)


def test_a_view_is_rebuilt_under_load_and_no_reader_notices(laboratory, trading, capsys):
    fill(laboratory, trading, events=REBUILT)
    assert dumping.settle(laboratory) is None
    with trading.crowd(seed=9, rate=COMMANDS_PER_SECOND / 4), Readers(laboratory, "/v1/stock/P1") as readers:
        begun = time.monotonic()
        laboratory.run("views", "rebuild", "stock_level")
        rebuilt_s = time.monotonic() - begun
        verified = json.loads(laboratory.run("views", "verify", "stock_level", "--json").stdout)
        for step in ("promote", "rollback", "promote"):
            laboratory.run("views", step, "stock_level")
        laboratory.run("views", "drop", "stock_level")
    printed(
        capsys,
        f"{REBUILT} events rebuilt in {rebuilt_s:.1f} s, {len(readers.attempts)} reads meanwhile, "
        f"the slowest {readers.slowest_s * 1e3:.0f} ms",
    )

    assert verified["ok"]
    assert {200} == readers.statuses, readers.refused
    assert readers.slowest_s < SLOWEST_READ_S


def test_flushes_that_fail_leave_outcomes_unknown_and_never_wrong(laboratory, trading, capsys):
    missing = faults.not_possible(laboratory).get("fail_a_flush")
    if missing is not None:
        printed(capsys, f"not run: flushes that fail: {missing}")
        return
    trading.trade(seed=18, commands=200, strikes=FLUSHES_THAT_FAIL, names=["fail_a_flush"])
    printed(capsys, f"{laboratory.flushes_failed} flushes failed")

    assert dumping.settle(laboratory) is None
    assert laboratory.flushes_failed > 0
