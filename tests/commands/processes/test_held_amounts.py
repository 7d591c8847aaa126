"""The order process about the amount of a confirmed order: held again, voided, paid otherwise, or not collected."""

from datetime import timedelta
from functools import partial, reduce

import pytest
from msgspec.structs import replace

from domain.ids import CreditHoldId, CreditId, PaymentId
from domain.money import Minor
from domain.ordering import holding
from domain.ordering.events import HoldLifted, OrderHeld
from domain.ordering.order import ORDER, Status
from domain.payments import authorising, capturing, store_credit
from domain.payments.payment import PAYMENT
from domain.payments.payment import Status as Authorisation
from domain.payments.store_credit import STORE_CREDIT
from tests.commands.processes.buying import AGAIN, CUSTOMER, HOLD, ID, TOTAL, PaidInstead, Sale, asked, run
from tests.commands.processes.test_order_process import Shipped
from tests.examples import CONTACT
from tests.sizes import ORDER_PROCESS


@pytest.fixture
def sold(explored):
    """Explore the schedules of a row; what is wrong by seed."""
    return lambda row: explored(partial(run, row), schedules=ORDER_PROCESS.chosen)


class HeldAgain(Shipped):
    requested = asked(authorisation=2, capture=1)

    def act(self):
        if self.sold.status is Status.CONFIRMED and self.paid is not None:
            if self.paid.attempt == 1:
                self.fire(HOLD)
            elif self.paid.status is Authorisation.AUTHORISED:
                self.ship()


def test_an_authorisation_that_expires_before_the_order_is_shipped_is_requested_again(sold):
    assert {} == sold(HeldAgain)


class HeldAgainAfterCapture(HeldAgain):
    """The timer of the hold is due while nobody knows what came of a capture, which fails afterwards."""

    requested = asked(authorisation=2, capture=2)

    def capture(self, payment, number):
        if number == 2:
            return super().capture(payment, number)
        failed = capturing.record_capture_failed(payment, number=number, code="no", now=self.now)
        return failed if self.fired else []

    def act(self):
        if self.sold.status is Status.CONFIRMED and self.paid is not None:
            self.capture_by_hand(self.paid)
        super().act()


def test_an_authorisation_that_expires_during_a_capture_is_requested_again_once_that_failed(sold):
    assert {} == sold(HeldAgainAfterCapture)


class NotHeldAgain(Sale):
    payment, needed, holds = Authorisation.DECLINED, ("declined",), ("payment",)
    requested = asked(authorisation=2)

    def authorise(self, payment):
        return self.held(payment) if payment.attempt == 1 else self.declined(payment, retryable=False)

    def act(self):
        if self.sold.status is Status.CONFIRMED:
            self.fire(HOLD)
            if self.fired:
                self.ship()


def test_an_order_whose_amount_is_not_held_again_is_held_and_not_dispatched(sold):
    assert {} == sold(NotHeldAgain)


class HeldByAnotherMethod(Shipped):
    needed = ("declined",)
    requested = asked(authorisation=3, capture=1)

    def authorise(self, payment):
        return self.declined(payment, retryable=False) if payment.attempt == 2 else self.held(payment)

    def act(self):
        if self.sold.status is not Status.CONFIRMED or self.paid is None:
            return
        if self.paid.attempt == 1:
            self.fire(HOLD)
        if self.noted and self.paid.status is Authorisation.DECLINED:
            self.pay_again(self.paid)
        if self.paid.attempt == 3:
            self.ship()


def test_an_order_that_was_held_is_dispatched_once_its_amount_is_held_by_another_method(sold):
    assert {} == sold(HeldByAnotherMethod)


class UncertainAgain(HeldAgain):
    """The staff would ship it while nobody knows."""

    def authorise(self, payment):
        if payment.attempt == 1:
            return self.held(payment)
        if payment.status is Authorisation.UNCERTAIN:
            return self.held(payment) if self.world.chance.random() < 0.5 else []
        return authorising.record_uncertain(payment, attempt=payment.attempt, now=self.now)

    def act(self):
        super().act()
        if self.paid is not None and self.paid.status is Authorisation.UNCERTAIN:
            self.ship()
            assert self.sold.status is Status.CONFIRMED, "it was shipped while nobody knew whether it is paid"


def test_an_order_is_held_while_nobody_knows_whether_its_amount_is_held_again(sold):
    assert {} == sold(UncertainAgain)


class ExpiredOnTheWay(Shipped):
    """It leaves just before that, and the process comes to it afterwards: the capture finds out."""

    requested = asked(authorisation=2, capture=1)

    def act(self):
        if self.sold.status is Status.CONFIRMED:
            self.ship()
            self.world.clock.pass_s(timedelta(days=8).total_seconds())


def test_a_shipped_order_whose_authorisation_expired_is_authorised_again_and_captured(sold):
    assert {} == sold(ExpiredOnTheWay)


class ExpiredUnnoticed(HeldAgain):
    """The timer of the hold comes too late, and the staff would ship it meanwhile."""

    def act(self):
        if self.sold.status is Status.CONFIRMED and self.paid is not None and self.paid.attempt == 1:
            self.world.clock.pass_s(timedelta(days=8).total_seconds())
            self.ship()
            assert self.sold.status is Status.CONFIRMED, "it was shipped although nothing is held"
        super().act()


def test_an_order_whose_authorisation_expired_is_not_shipped_before_it_is_held_again(sold):
    assert {} == sold(ExpiredUnnoticed)


class Voided(Sale):
    """Finance voids the payment of an order that is confirmed, and the staff would ship it at once."""

    payment, holds = Authorisation.VOIDED, ("payment",)
    requested = asked(authorisation=1, void=1)

    def act(self):
        if self.sold.status is not Status.CONFIRMED or self.paid is None:
            return
        if self.paid.status is Authorisation.AUTHORISED:
            self.void_by_hand(self.paid)
        self.go_on()

    def go_on(self):
        self.ship()


def test_a_confirmed_order_whose_payment_is_voided_is_held_and_not_dispatched(sold):
    assert {} == sold(Voided)


class NotVoided(Voided):
    """The provider does not release it: so it is held still, and the order may leave."""

    payment, holds = Authorisation.AUTHORISED, ()

    def act(self):
        if self.paid is None or not self.paid.voids:
            super().act()

    def void(self, payment):
        """After some time, within which the order is held."""
        if not self.sold.holds:
            return []
        return authorising.record_void_failed(payment, number=payment.voids, code="no", now=self.now)


def test_a_confirmed_order_is_held_while_its_payment_is_being_voided(sold):
    assert {} == sold(NotVoided)


class PaidInAnotherWay(Voided):
    """The rest is paid at the till, right after the void or once the order is held, and the staff ship it then."""

    status, holds = Status.SHIPPED, ()

    def go_on(self):
        if self.paid.status is Authorisation.VOIDED:
            self.pay()
        self.ship()

    def pay(self):
        self.pay_at(PaymentId("till"), TOTAL)

    def pay_at(self, till, amount):
        if self.world.state(PAYMENT, till) is None:
            of_it = {"payment_id": till, "of": self.payable(), "amount": amount, "now": self.now}
            cash = authorising.record_manual(None, **of_it, method="cash", reference="")
            self.append(PAYMENT, till, cash)


def test_an_order_whose_payment_is_voided_is_dispatched_once_it_is_paid_in_another_way(sold):
    assert {} == sold(PaidInAnotherWay)


class PaidInSeveralWays(PaidInAnotherWay):
    """Twice at the till, and by store credit, in any order; the staff would ship it after each."""

    contact = CONTACT

    def __init__(self, world):
        super().__init__(world)
        self.parts = world.chance.sample(
            (self.pay_by_credit, *(partial(self.pay_part, n) for n in (1, 2))), 3
        )

    def pay(self):
        if self.parts:
            self.parts.pop()()

    def pay_part(self, number):
        self.pay_at(PaymentId(f"till-{number}"), TOTAL // 3)

    def pay_by_credit(self):
        it = {"customer_id": CUSTOMER, "amount": Minor(TOTAL // 3), "now": self.now}
        issued = store_credit.issue(None, **it, credit_id=CreditId("sorry"), currency="GBP")
        credit = reduce(store_credit.evolve, issued, None)
        held = store_credit.hold(credit, **it, hold_id=CreditHoldId("h"), of=self.payable())
        self.append(STORE_CREDIT, CUSTOMER, [*issued, *held])

    def ship(self):
        super().ship()
        assert not self.parts or self.sold.status is Status.CONFIRMED, "it was shipped before it was paid"


def test_an_order_whose_payment_is_voided_is_dispatched_once_several_amounts_pay_it(sold):
    assert {} == sold(PaidInSeveralWays)


class PaidByWhatGoesAway(PaidInAnotherWay):
    """Two other authorisations pay one after another, and finance voids each; the staff would ship it after that."""

    requested = asked(authorisation=3, void=3)
    instead = (PaymentId("second"), PaymentId("third"))

    def go_on(self):
        if self.paid.status is not Authorisation.VOIDED:
            self.ship()
            return
        for number, payment_id in enumerate(self.instead, start=1):
            payment = self.world.state(PAYMENT, payment_id)
            if payment is None:
                self.hold_instead(payment_id)
                return
            if payment.status is not Authorisation.VOIDED:
                if len(self.recorded(HoldLifted)) == number:
                    self.end(payment)
                    self.ship()
                    assert self.sold.status is Status.CONFIRMED, "it was shipped although nothing is held"
                return
        self.pay()
        self.ship()
        if self.sold.status is Status.SHIPPED:
            assert 3 == len(self.recorded(OrderHeld)), "once for each payment that went away"

    def hold_instead(self, payment_id):
        self.request_another(payment_id, "manual")
        self.append(PAYMENT, payment_id, self.held(self.world.state(PAYMENT, payment_id)))

    def end(self, payment):
        if payment.status is Authorisation.AUTHORISED:
            self.void_by_hand(payment)
        else:
            self.append(PAYMENT, payment.payment_id, self.void(payment))

    def recorded(self, kind):
        return [each for each in self.events() if isinstance(each, kind)]


def test_an_order_is_held_as_often_as_what_pays_instead_of_its_payment_is_voided(sold):
    assert {} == sold(PaidByWhatGoesAway)


class PaidUntilThatExpires(PaidByWhatGoesAway):
    """What pays instead expires, and the staff would ship it before the timer is fired; then it is held again."""

    requested = asked(authorisation=3, void=1, capture=1)

    def go_on(self):
        second = self.world.state(PAYMENT, self.instead[0])
        if self.paid.status is Authorisation.VOIDED and second is None:
            self.hold_instead(self.instead[0])
        elif second is not None and second.attempt == 1 and self.recorded(HoldLifted):
            self.world.clock.pass_s(timedelta(days=8).total_seconds())
            self.ship()
            assert self.sold.status is Status.CONFIRMED, "it was shipped although nothing is held"
            self.fire(HOLD)
            assert ("payment",) == self.sold.holds
            self.authorise_another(self.instead[0])
            self.append(PAYMENT, self.instead[0], self.held(self.world.state(PAYMENT, self.instead[0])))
        elif second is None or second.attempt == 2:
            self.ship()


class PaidUntilTheFirstExpires(PaidUntilThatExpires):
    """Two others pay together, and that which was authorised first expires first."""

    requested = asked(authorisation=4, void=1, capture=2)

    @property
    def others_paying(self):
        return [self.world.state(PAYMENT, each) for each in self.instead]

    def held(self, payment):
        held = super().held(payment)
        if payment.payment_id != self.instead[0] or payment.attempt > 1:
            return held
        return [replace(held[0], expires_at=self.now + timedelta(days=2))]

    def go_on(self):
        second, third = self.others_paying
        if self.paid.status is not Authorisation.VOIDED:
            self.ship()
        elif second is None:
            for payment_id, share in zip(self.instead, (100, 200), strict=True):
                self.request_another(payment_id, "manual", share)
                self.append(PAYMENT, payment_id, self.held(self.world.state(PAYMENT, payment_id)))
        elif second.attempt + third.attempt > 2:
            self.ship()
        elif self.recorded(HoldLifted):
            self.let_expire(second, third)

    def let_expire(self, second, third):
        self.fire(HOLD)
        assert self.now < third.expires_at, "the timer is set for the last of them"
        assert ("payment",) == self.sold.holds
        self.hold_again(second)

    def hold_again(self, payment):
        self.authorise_another(payment.payment_id)
        payment = self.world.state(PAYMENT, payment.payment_id)
        self.append(PAYMENT, payment.payment_id, self.held(payment))


class PaidUntilTheNextExpires(PaidUntilTheFirstExpires):
    """Finance captures that one before, so the order is held once the next one expires."""

    def let_expire(self, second, third):
        self.capture_by_hand(second)
        (captured,) = self.world.state(PAYMENT, second.payment_id).captures.values()
        taken = self.capture(self.world.state(PAYMENT, second.payment_id), captured.number)
        self.append(PAYMENT, second.payment_id, taken)
        self.fire(HOLD)
        assert () == self.sold.holds
        assert self.fire(HOLD), "no timer is set for the next of them"
        assert ("payment",) == self.sold.holds
        self.hold_again(third)


@pytest.mark.parametrize("row", [PaidUntilThatExpires, PaidUntilTheFirstExpires, PaidUntilTheNextExpires])
def test_an_order_is_held_from_when_what_pays_instead_of_its_payment_expires(sold, row):
    assert {} == sold(row)


class CancelledWhilePaidInstead(PaidInstead):
    """The buyer cancels while the other authorisation is asked for, holds the amount, is captured or was."""

    status, cancelled = Status.CANCELLED, "customer"

    def act(self):
        is_paid = self.second is not None and self.sold.status is Status.CONFIRMED
        if is_paid and self.world.chance.random() < 0.1:
            self.cancel()
        else:
            self.pay_instead()


def test_what_pays_instead_of_a_payment_is_let_go_of_when_the_order_is_cancelled(sold):
    assert {} == sold(CancelledWhilePaidInstead)


class CaptureFails(Shipped):
    needed = ("not_collected", "not_collected")
    requested = asked(authorisation=1, capture=3)

    def capture(self, payment, number):
        if number == 3:
            return super().capture(payment, number)
        return capturing.record_capture_failed(payment, number=number, code="no", now=self.now)

    def act(self):
        self.ship()
        self.fire(AGAIN)


def test_a_capture_that_fails_after_dispatch_is_tried_again_later(sold):
    assert {} == sold(CaptureFails)


class NeverCollected(CaptureFails):
    captured, needed, waits = 0, ("not_collected",) * 4, "not_collected"
    requested = asked(authorisation=1, capture=4)

    def capture(self, payment, number):
        return capturing.record_capture_failed(payment, number=number, code="no", now=self.now)


def test_a_capture_that_fails_for_a_day_leaves_a_receivable(sold):
    assert {} == sold(NeverCollected)


class OnCredit(NotHeldAgain):
    """Its method is declined for good, and the staff lift the hold on purpose."""

    status, holds, waits = Status.SHIPPED, (), "not_collected"
    needed = ("declined", "not_collected")

    def act(self):
        if self.sold.status is Status.CONFIRMED:
            self.fire(HOLD)
            if self.may_leave():
                self.append(ORDER, ID, holding.lift(self.sold, order_id=ID, reason="payment", now=self.now))
                self.ship()
        self.fire(AGAIN)

    def may_leave(self):
        return "declined" in self.noted


class OnCreditAtOnce(OnCredit):
    """They do not wait until it is declined: the buyer is asked for another method if it has not left by then."""

    def may_leave(self):
        return self.paid is not None and self.paid.attempt == 2

    def wanted(self):
        return {**super().wanted(), "needed": self.needed if "declined" in self.noted else self.needed[1:]}


@pytest.mark.parametrize("row", [OnCredit, OnCreditAtOnce])
def test_an_order_that_leaves_on_credit_is_noted_once_as_not_collected(sold, row):
    assert {} == sold(row)
