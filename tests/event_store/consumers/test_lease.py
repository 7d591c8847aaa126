"""Leases in a real database, with clocks that the test moves."""

import pytest

from event_store.consumers.lease import RENEW_EVERY_S, TAKEOVER_AFTER_S, Lease
from runtime import database


class Clock:
    def __init__(self):
        self.now = 1_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def contender(database_url):
    connections = []

    def make(owner, *, clock):
        connections.append(database.connect(database_url, role="counterfoil_projector", name="test"))
        return Lease(connections[-1], name="the job", owner=owner, clock=clock)

    yield make
    for conn in connections:
        conn.close()


def test_the_first_contender_gets_the_lease_and_the_second_does_not(contender):
    first, second = contender("a", clock=Clock()), contender("b", clock=Clock())

    assert first.hold()
    assert not second.hold()


def test_a_standby_takes_over_when_the_counter_stood_still_on_its_own_clock(contender):
    clock = Clock()
    first, second = contender("a", clock=Clock()), contender("b", clock=clock)
    first.hold()
    second.hold()
    clock.now += TAKEOVER_AFTER_S - 0.1
    too_early = second.hold()
    clock.now += 0.2

    assert not too_early
    assert second.hold()
    assert not first.renew()
    assert not first.held


def test_a_standby_waits_anew_whenever_the_counter_moved(contender):
    clock = Clock()
    first, second = contender("a", clock=Clock()), contender("b", clock=clock)
    first.hold()
    second.hold()
    clock.now += TAKEOVER_AFTER_S - 0.1
    first.renew()
    second.hold()
    clock.now += TAKEOVER_AFTER_S - 0.1

    assert not second.hold()


def test_a_holder_renews_when_it_is_due_and_finds_out_that_it_lost(contender):
    clocks = Clock(), Clock()
    first, second = contender("a", clock=clocks[0]), contender("b", clock=clocks[1])
    first.hold()
    second.hold()
    clocks[1].now += TAKEOVER_AFTER_S
    second.hold()
    before_renewal = first.hold()
    clocks[0].now += RENEW_EVERY_S

    assert before_renewal
    assert not first.hold()


def test_a_lease_given_back_is_free_at_once(contender):
    first, second = contender("a", clock=Clock()), contender("b", clock=Clock())
    first.hold()
    second.hold()
    first.give_back()

    assert second.hold()


def test_giving_back_what_was_lost_takes_nothing_from_the_new_owner(contender):
    clock = Clock()
    first, second = contender("a", clock=Clock()), contender("b", clock=clock)
    first.hold()
    second.hold()
    clock.now += TAKEOVER_AFTER_S
    second.hold()
    first.give_back()

    assert second.renew()


def test_each_time_the_lease_is_won_is_a_new_term(contender):
    lease = contender("a", clock=Clock())
    lease.hold()
    lease.give_back()
    lease.hold()

    assert 2 == lease.terms


def test_of_many_standbys_one_takes_over(contender):
    clock = Clock()
    contender("old", clock=Clock()).hold()
    standbys = [contender(name, clock=clock) for name in "abcd"]
    for standby in standbys:
        standby.hold()
    clock.now += TAKEOVER_AFTER_S

    assert [True, False, False, False] == [standby.hold() for standby in standbys]


class Interrupted:
    """A connection on which something else happens just before each update."""

    def __init__(self, conn, *, meanwhile):
        self._conn = conn
        self._meanwhile = meanwhile

    def execute(self, statement, parameters):
        if statement.lstrip().startswith("update"):
            self._meanwhile()
        return self._conn.execute(statement, parameters)


def test_a_standby_that_was_overtaken_between_looking_and_taking_gets_nothing(contender, database_url):
    clock = Clock()
    faster = contender("faster", clock=clock)
    with database.connect(database_url, role="counterfoil_projector", name="test") as conn:
        slower = Lease(
            Interrupted(conn, meanwhile=faster.hold),  # type: ignore[arg-type]
            name="the job",
            owner="slower",
            clock=clock,
        )

        assert not slower.hold()
    assert faster.renew()
