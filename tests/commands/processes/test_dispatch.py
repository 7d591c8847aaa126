"""The order process behind its confirmation: the warehouse is late."""

from datetime import timedelta
from functools import partial

import pytest

from commands.processes import purchases
from commands.processes.order_mails import ORDER_MAILS, WAREHOUSE
from commands.processes.purchases import OVERDUE
from counterfoil.testing.scheduling import FOUND_WITHIN, first_problem
from domain.mail.events import MailRequested
from domain.ordering import holding
from domain.ordering.order import ORDER, Status
from domain.payments.payment import Status as Authorisation
from tests.commands.processes import buying
from tests.commands.processes.buying import CUSTOMER, ID, Sale, asked, run
from tests.examples import CONTACT
from tests.sizes import ORDER_PROCESS

REMINDED = ("dispatch-overdue", WAREHOUSE)
ASKED = ("order-delayed", CUSTOMER)


@pytest.fixture
def sold(explored):
    """Explore the schedules of a row; what is wrong by seed."""
    return lambda row: explored(partial(run, row), schedules=ORDER_PROCESS.chosen)


class Late(Sale):
    """The warehouse does nothing, and the buyer waits; both are written to once."""

    contact, others = CONTACT, (ORDER_MAILS,)
    requested = asked(authorisation=1, mail=4)

    def act(self):
        if self.sold.status is Status.CONFIRMED:
            self.fire(OVERDUE)

    def written(self):
        mails = [each for each in self.events() if isinstance(each, MailRequested)]
        return sorted(
            (each.template, each.recipient_ref) for each in mails if each.template in {REMINDED[0], ASKED[0]}
        )

    def amiss(self):
        return [*super().amiss(), *([] if self.written() == [REMINDED, ASKED] else ["reminders"])]


def test_the_warehouse_is_reminded_of_an_order_that_it_does_not_dispatch_and_its_buyer_may_choose(sold):
    assert {} == sold(Late)


class LateAndCancelled(Late):
    """The buyer does not wait any longer."""

    status, cancelled, payment = Status.CANCELLED, "customer", Authorisation.VOIDED
    requested = asked(authorisation=1, mail=4, void=1)

    def act(self):
        super().act()
        if len(self.written()) == 2:
            self.cancel()


def test_a_buyer_may_cancel_an_order_that_the_warehouse_is_reminded_of(sold):
    assert {} == sold(LateAndCancelled)


class HeldForDays(Late):
    """Somebody holds it at once, for longer than the warehouse has."""

    was_held = was_due = False

    def act(self):
        if self.sold.status is not Status.CONFIRMED:
            return
        if self.sold.holds:
            self.world.clock.pass_s(timedelta(hours=73).total_seconds())
            self.was_due |= self.fire(OVERDUE)
            lifted = holding.lift(self.sold, order_id=ID, reason="manual", now=self.now)
            self.append(ORDER, ID, lifted)
        elif not self.was_held:
            self.append(ORDER, ID, holding.hold(self.sold, order_id=ID, reason="manual", now=self.now))
            self.was_held = True
        else:
            self.fire(OVERDUE)

    def amiss(self):
        return [*super().amiss(), *(["the timer of an order that is held"] if self.was_due else [])]


def test_a_held_order_is_not_late_until_some_time_after_its_hold_is_lifted(sold):
    assert {} == sold(HeldForDays)


def test_reminding_of_orders_that_are_held_is_found(monkeypatch):
    monkeypatch.setattr(buying, "ROUNDS_MAX", 50)
    monkeypatch.setattr(OVERDUE, "clears", OVERDUE.clears - {purchases.OrderHeld})

    assert first_problem(partial(run, HeldForDays)) < FOUND_WITHIN
