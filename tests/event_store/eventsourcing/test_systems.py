"""Applications that follow one another on one log, where each sees gaps between its notification ids."""

import time
from uuid import NAMESPACE_URL, UUID, uuid5

import pytest
from eventsourcing.application import Application, ProcessingEvent
from eventsourcing.dispatch import singledispatchmethod
from eventsourcing.domain import Aggregate, DomainEventProtocol, event
from eventsourcing.system import MultiThreadedRunner, ProcessApplication, Runner, SingleThreadedRunner, System

pytestmark = pytest.mark.usefixtures("log_address")

ORDERS = 20


class Order(Aggregate):
    class Placed(Aggregate.Created):
        customer: str

    @event(Placed)
    def __init__(self, customer: str) -> None:
        self.customer = customer


class Account(Aggregate):
    @staticmethod
    def create_id(customer: str) -> UUID:
        return uuid5(NAMESPACE_URL, f"/accounts/{customer}")

    @event("Opened")
    def __init__(self, customer: str) -> None:
        self.customer = customer
        self.orders = 0

    @event("Charged")
    def charge(self) -> None:
        self.orders += 1


class Orders(Application[UUID]):
    def place(self, customer: str) -> None:
        self.save(Order(customer))


class Accounts(ProcessApplication[UUID]):
    @singledispatchmethod
    def policy(
        self, domain_event: DomainEventProtocol[UUID], processing_event: ProcessingEvent[UUID]
    ) -> None:
        """Nothing follows from other events."""

    @policy.register
    def _(self, domain_event: Order.Placed, processing_event: ProcessingEvent[UUID]) -> None:
        account_id = Account.create_id(domain_event.customer)
        account = (
            self.repository.get(account_id)
            if account_id in self.repository
            else Account(domain_event.customer)
        )
        account.charge()
        processing_event.collect_events(account)

    def orders_of(self, customer: str) -> int:
        account_id = Account.create_id(customer)
        return self.repository.get(account_id).orders if account_id in self.repository else 0


@pytest.mark.parametrize("runner_class", [SingleThreadedRunner, MultiThreadedRunner])
def test_a_process_application_processes_every_event_of_another_once(runner_class: type[Runner[UUID]]):
    with runner_class(System(pipes=[[Orders, Accounts]])) as runner:
        orders, accounts = runner.get(Orders), runner.get(Accounts)
        for number in range(ORDERS):
            orders.place(f"customer-{number % 2}")
        give_up = time.monotonic() + 120
        while accounts.orders_of("customer-0") + accounts.orders_of("customer-1") < ORDERS:
            assert time.monotonic() < give_up, "it never processed all"
            time.sleep(0.02)

        assert accounts.orders_of("customer-0") == ORDERS / 2
        assert accounts.recorder.max_tracking_id("Orders") == orders.recorder.max_notification_id()


def test_it_goes_on_where_it_was_stopped():
    with SingleThreadedRunner[UUID](System(pipes=[[Orders, Accounts]])) as runner:
        runner.get(Orders).place("customer-0")
    with Orders() as orders:
        orders.place("customer-0")  # while nobody follows
    with SingleThreadedRunner[UUID](System(pipes=[[Orders, Accounts]])) as runner:
        runner.get(Orders).place("customer-0")

        assert runner.get(Accounts).orders_of("customer-0") == 3
