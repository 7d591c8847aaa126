"""The distributed product burns for two minutes and keeps its promises; docs/fire.md says which, and what else does."""

import statistics
import time

import pytest

from tests.fire import dumping
from tests.fire.balancing import Balancer
from tests.fire.campaign import Campaign
from tests.fire.laboratory import wait_until

FIXED_SEED = 20_101_201
COMMANDS = 3_000
FAULTS = 20
FLUSHES_THAT_FAIL = 3
BROKER_AWAY_S = 20.0
BASELINE_S = 10.0
COMMANDS_PER_SECOND = 100.0
BACKLOG_GONE_WITHIN_S = 60.0
NOISE_S = 0.05
RESTARTS = 4

pytestmark = [pytest.mark.slow, pytest.mark.faults, pytest.mark.timeout(420)]


@pytest.fixture(scope="module")
def trading(laboratory):
    """One history for the whole log of the laboratory."""
    return Campaign(laboratory)


def told(capsys, *lines):
    with capsys.disabled():
        print("", *lines, sep="\n")


def test_twenty_faults_under_three_thousand_commands_leave_every_law_standing(trading, fresh_seed, capsys):
    begun = time.monotonic()
    for seed in (FIXED_SEED, fresh_seed):
        trading.trade(seed=seed, commands=COMMANDS // 2, strikes=FAULTS // 2)
    outcome = trading.judged(seed=fresh_seed)
    outcome.seconds = time.monotonic() - begun
    told(capsys, f"seeds {FIXED_SEED} and {fresh_seed}", outcome, *outcome.notes[:5], *outcome.violations[:5])

    assert [] == outcome.violations
    assert outcome.commands >= COMMANDS
    assert len(outcome.faults) == FAULTS
    assert outcome.reads > 0


def slowest_of_hundred(attempts):
    """The time within which 99 of 100 requests were answered, in seconds."""
    return statistics.quantiles([each["return"] - each["invoke"] for each in attempts], n=100)[98]


def during(history, begun, ended):
    return [each for each in history.attempts if begun <= each["invoke"] and each["return"] <= ended]


def test_without_its_broker_the_shop_goes_on_taking_commands(laboratory, trading, capsys):
    with trading.crowd(seed=14, rate=COMMANDS_PER_SECOND):
        begun = time.monotonic()
        time.sleep(BASELINE_S)
        stopped = time.monotonic()
        laboratory.kafka.kill()
        time.sleep(BROKER_AWAY_S)
        back = time.monotonic()
        before = during(trading.history, begun, stopped)
        without = during(trading.history, stopped, back)
        laboratory.kafka.start()
    returned = time.monotonic()
    unsettled = dumping.settle(laboratory, within_s=BACKLOG_GONE_WITHIN_S)
    took_s = time.monotonic() - returned
    succeeded = sum(each["final"] for each in without) / len(without)
    usual_s, slow_s = slowest_of_hundred(before), slowest_of_hundred(without)
    with capsys.disabled():
        print(
            f"\n{len(without)} requests without broker, {succeeded:.2%} answered; p99 {usual_s * 1e3:.0f} ms before,"
            f" {slow_s * 1e3:.0f} ms without; backlog gone {took_s:.0f} s after its return"
        )

    assert unsettled is None
    assert succeeded >= 0.999
    assert slow_s <= max(2 * usual_s, NOISE_S)
    assert [] == trading.judged(seed=14).violations


def test_rolling_restarts_break_no_connection_and_no_request(laboratory, trading, capsys):
    with Balancer(laboratory, history=trading.history) as balancer:
        time.sleep(1.0)
        codes = []
        for number in range(RESTARTS):
            instance = balancer.instances[number % 2]
            codes.append(instance.stop())
            instance.start()
            wait_until(instance.is_ready, within_s=60, what=f"{instance.name} ready")
            time.sleep(0.5)
    with capsys.disabled():
        print(
            f"\n{len(balancer.answers)} commands over {RESTARTS} rolling restarts, {len(balancer.broken)} broken"
        )

    assert [0] * RESTARTS == codes
    assert [] == balancer.broken
    assert len(balancer.answers) > 200
