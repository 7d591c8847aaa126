"""A carrier that is gone: its subscription never comes back, and the process managers go on over a new one."""

from event_store.transport.local_transport import LocalTransport
from event_store.transport.transport import TransportUnavailable
from tests.commands.processes.running import append, counted, eventually, placed, received, running

SUBSCRIPTIONS_THAT_DIE = 2


class Mortal:
    """A subscription whose poll fails from the second time on, as one whose polling thread has ended."""

    def __init__(self, subscription):
        self._subscription = subscription
        self._polls = 0

    def poll(self, timeout_s, *, max_records):
        self._polls += 1
        if self._polls > 1:
            raise TransportUnavailable("polling ended")
        return self._subscription.poll(timeout_s, max_records=max_records)

    def __getattr__(self, name):
        return getattr(self._subscription, name)


class DyingTransport:
    """The first subscriptions die."""

    def __init__(self, transport):
        self._transport = transport
        self.subscribed = 0

    def subscribe(self, group, *, generation):
        self.subscribed += 1
        subscription = self._transport.subscribe(group, generation=generation)
        return Mortal(subscription) if self.subscribed <= SUBSCRIPTIONS_THAT_DIE else subscription


def test_a_subscription_that_died_is_replaced_and_every_order_decided(database_url):
    transport = DyingTransport(LocalTransport(database_url, role="counterfoil_writer"))
    with running(database_url, transport) as work:
        append(database_url, [received("A", 5), placed("1", [("A", 2)]), placed("2", [("A", 2)])])
        eventually(lambda: counted(database_url).get("ordering.order_confirmed.v1") == 2, wait_s=20)
        eventually(lambda: work.health.ready, wait_s=20)

    assert SUBSCRIPTIONS_THAT_DIE + 1 == transport.subscribed
