"""The order process about what pays instead of a voided payment: captured when the order leaves, or once it can be."""

from datetime import timedelta
from functools import partial
from typing import ClassVar

import pytest

from commands import amounts_held
from counterfoil.testing.scheduling import FOUND_WITHIN, first_problem
from counterfoil.testing.spec import folded
from domain.ids import PaymentId
from domain.ordering import holding
from domain.ordering.events import PaymentNeeded
from domain.ordering.order import ORDER, Status
from domain.payments import capturing
from domain.payments.payment import PAYMENT
from domain.payments.payment import Status as Authorisation
from projections.payments.views import payment_details
from tests.commands.processes import buying
from tests.commands.processes.buying import AGAIN, ID, TOTAL, asked, run
from tests.commands.processes.test_held_amounts import PaidInSeveralWays, Voided
from tests.sizes import ORDER_PROCESS

SECOND, THIRD = PaymentId("second"), PaymentId("third")


@pytest.fixture
def sold(explored):
    """Explore the schedules of a row; what is wrong by seed."""
    return lambda row: explored(partial(run, row), schedules=ORDER_PROCESS.chosen)


class TakenInstead(Voided):
    """Finance voids the payment, two other authorisations pay together, and the staff ship the order then."""

    status, holds = Status.SHIPPED, ()
    requested = asked(authorisation=3, void=1, capture=2)
    shares: ClassVar = {SECOND: TOTAL // 3, THIRD: TOTAL - TOTAL // 3}
    taken, waiting = TOTAL, ()

    @property
    def paying(self):
        """Those payments, as far as they are created."""
        return [each for payment_id in self.shares if (each := self.world.state(PAYMENT, payment_id))]

    def act(self):
        super().act()
        for payment in self.paying:
            if self.world.chance.random() < 0.5:
                self.append(PAYMENT, payment.payment_id, self._answer(payment))

    def go_on(self):
        if self.paid.status is Authorisation.VOIDED and not self.paying:
            self.pay()
        self.ship()

    def pay(self):
        for payment_id, share in self.shares.items():
            self.request_another(payment_id, self.world.chance.choice(("manual", "auto")), share)

    def wanted(self):
        return {**super().wanted(), "taken": self.taken, "waiting": self.waiting}

    def _found(self):
        rows = folded(
            payment_details, *(each for each in self.events() if type(each) in payment_details.folds)
        )
        waiting = tuple(each for each in self.shares if (each,) in rows and rows[each,].waits_for)
        taken = sum(each.captured for each in self.paying)
        return {**super()._found(), "taken": taken, "waiting": waiting}


class PartlyTakenBefore(TakenInstead):
    """Finance had a part of its own payment captured before the void: others pay the rest."""

    captured, taken = TOTAL // 3, TOTAL - TOTAL // 3
    shares: ClassVar = {SECOND: TOTAL // 3, THIRD: TOTAL // 3}
    requested = asked(authorisation=3, void=1, capture=3)

    def act(self):
        if self.paid is not None and not self.paid.captured and self.sold.status is Status.CONFIRMED:
            self.capture_by_hand(self.paid, TOTAL // 3)
        else:
            super().act()


class TakenBesidesCredit(TakenInstead):
    """Store credit pays a part, and nothing is captured for that."""

    contact = PaidInSeveralWays.contact
    taken = 2 * (TOTAL // 3)
    shares: ClassVar = {SECOND: TOTAL // 3, THIRD: TOTAL // 3}

    def pay(self):
        PaidInSeveralWays.pay_by_credit(self)
        super().pay()


class PaidBehindDispatch(TakenInstead):
    """The staff lift the hold and ship it on credit, and another payment is authorised only then."""

    shares: ClassVar = {SECOND: TOTAL}
    requested = asked(authorisation=2, void=1, capture=1)

    def go_on(self):
        if self.paid.status is Authorisation.VOIDED and self.sold.holds:
            self.append(ORDER, ID, holding.lift(self.sold, order_id=ID, reason="payment", now=self.now))
            self.ship()

    def act(self):
        super().act()
        if self.sold.status is Status.SHIPPED and not self.paying:
            self.pay()


@pytest.mark.parametrize("row", [TakenInstead, PartlyTakenBefore, TakenBesidesCredit, PaidBehindDispatch])
def test_what_pays_instead_of_a_payment_is_captured_when_the_order_is_shipped(sold, row):
    assert {} == sold(row)


def test_leaving_what_pays_instead_to_people_is_found(monkeypatch):
    monkeypatch.setattr(buying, "ROUNDS_MAX", 50)
    true_payments = amounts_held._payments
    monkeypatch.setattr(amounts_held, "_payments", lambda *given: true_payments(*given)[:1])

    assert first_problem(partial(run, TakenInstead)) < FOUND_WITHIN


class CaptureOfAnotherFails(TakenInstead):
    """The first capture of one of them fails; that of the other comes afterwards most often, and clears the timer."""

    requested = asked(authorisation=3, void=1, capture=3)
    needed = ("not_collected",)
    failing = 1

    def pay(self):
        for payment_id, share in self.shares.items():
            self.request_another(payment_id, "manual", share)

    def capture(self, payment, number):
        if payment.payment_id == SECOND:
            is_due = self.noted or self.world.chance.random() < 0.1
            return super().capture(payment, number) if is_due else []
        if number > self.failing:
            return super().capture(payment, number)
        return capturing.record_capture_failed(payment, number=number, code="no", now=self.now)

    def act(self):
        super().act()
        if all(each.captured for each in self.paying if each.payment_id == SECOND):
            self.fire(AGAIN)

    def amiss(self):
        noted = {each.payment_id for each in self.events() if isinstance(each, PaymentNeeded)}
        return [*super().amiss(), *([] if noted <= {*self.shares} else [f"noted of {noted}"])]


class AnotherIsNeverCaptured(CaptureOfAnotherFails):
    """That the other one is captured may have it tried once more."""

    taken, waiting, failing = TOTAL // 3, (THIRD,), 100

    def wanted(self):
        tries = max(4, min(5, len(self.noted)))
        requested = asked(authorisation=3, void=1, capture=1 + tries)
        return {**super().wanted(), "needed": ("not_collected",) * tries, "requested": requested}


class AnotherExpiredOnTheWay(CaptureOfAnotherFails):
    """They expire just before it leaves, and the process comes to it afterwards."""

    requested = asked(authorisation=5, void=1, capture=2)
    needed, failing = (), 0

    def ship(self):
        super().ship()
        if self.sold.status is Status.SHIPPED:
            self.world.clock.pass_s(timedelta(days=8).total_seconds())


class AnotherIsDeclinedOnTheWay(AnotherExpiredOnTheWay):
    """Neither is authorised again."""

    taken, waiting, needed = 0, (SECOND, THIRD), ("not_collected",) * 2
    requested = asked(authorisation=5, void=1)

    def authorise(self, payment):
        return self.declined(payment, retryable=False) if payment.attempt == 2 else super().authorise(payment)


@pytest.mark.parametrize(
    "row",
    [CaptureOfAnotherFails, AnotherIsNeverCaptured, AnotherExpiredOnTheWay, AnotherIsDeclinedOnTheWay],
)
def test_what_pays_instead_is_collected_in_the_end_or_waits_for_somebody(sold, row):
    assert {} == sold(row)
