"""The order process, a test for each row of docs/order-process.md: every kill, repeat and delay of the scheduler."""

from functools import partial

import pytest

from commands.processes import fulfilment, purchases
from commands.processes.fulfilment import UNDECIDED
from commands.processes.process import Process
from counterfoil.testing.scheduling import FOUND_WITHIN, first_problem
from domain.ids import DisputeId
from domain.money import Minor
from domain.ordering.events import PurchaseUnwound
from domain.ordering.order import Status
from domain.payments import authorising, disputes, ending, refunding
from domain.payments.payment import OPEN
from domain.payments.payment import Status as Authorisation
from tests.cart_examples import CODE
from tests.commands.processes import order_process
from tests.commands.processes.buying import HOLD, ID, OFF, TOO_LONG, TOTAL, Sale, asked, run
from tests.sizes import ORDER_PROCESS


@pytest.fixture
def sold(explored):
    """Explore the schedules of a row; what is wrong by seed."""
    return lambda row: explored(partial(run, row), schedules=ORDER_PROCESS.chosen)


def test_every_row_has_a_test_that_exists_and_the_page_says_its_last_result():
    assert [] == order_process.findings(order_process.PAGE.read_text(encoding="utf-8"))


def test_a_row_without_a_test_or_with_one_that_does_not_exist_is_found(monkeypatch):
    rows = (
        order_process.Row("a row", "nothing", ""),
        order_process.Row("another", "nothing", "test_that_there_is_not"),
        order_process.Row("a third", "is to come", "", not_done="no time"),
    )
    monkeypatch.setattr(order_process, "ROWS", rows)

    found = order_process.findings(order_process.rendered({}))

    assert ["a row: it names no test", "another: there is no test test_that_there_is_not"] == found[:2]


def test_an_order_is_confirmed_once_its_stock_is_reserved_and_its_amount_held(sold):
    assert {} == sold(Sale)


class Shipped(Sale):
    status, captured = Status.SHIPPED, TOTAL
    requested = asked(authorisation=1, capture=1)

    def act(self):
        self.ship()


def test_a_shipped_order_is_captured(sold):
    assert {} == sold(Shipped)


class ShortOfStock(Sale):
    on_hand, status, payment = 1, Status.REJECTED, None
    requested = asked()


def test_an_order_that_is_short_of_stock_is_rejected_and_no_provider_is_asked(sold):
    assert {} == sold(ShortOfStock)


class DeclinedForGood(Sale):
    status, cancelled, payment = Status.CANCELLED, "declined", Authorisation.VOIDED

    def authorise(self, payment):
        return self.declined(payment, retryable=False)


def test_a_hard_decline_cancels_the_order_and_releases_its_stock(sold):
    assert {} == sold(DeclinedForGood)


class AnotherMethod(Sale):
    needed = ("declined",)
    requested = asked(authorisation=2)

    def authorise(self, payment):
        return self.declined(payment, retryable=True) if payment.attempt == 1 else self.held(payment)

    def act(self):
        if self.paid is not None and self.paid.status is Authorisation.DECLINED and self.noted:
            self.pay_again(self.paid)


def test_a_soft_decline_waits_for_another_method(sold):
    assert {} == sold(AnotherMethod)


class DeclinedThrice(AnotherMethod):
    status, cancelled, payment = Status.CANCELLED, "declined", Authorisation.VOIDED
    needed = ("declined", "declined")
    requested = asked(authorisation=3)

    def authorise(self, payment):
        return self.declined(payment, retryable=True)

    def act(self):
        if self.paid is not None and len(self.noted) == self.paid.attempt < 3:
            super().act()


def test_the_third_decline_cancels_the_order_and_releases_its_stock(sold):
    assert {} == sold(DeclinedThrice)


class LeavesIt(Sale):
    status, cancelled, payment = Status.CANCELLED, "expired", Authorisation.VOIDED
    needed = ("declined",)

    def authorise(self, payment):
        return self.declined(payment, retryable=True)

    def act(self):
        if self.noted:
            self.fire(TOO_LONG)


def test_an_order_whose_buyer_does_not_pay_is_cancelled_after_a_time(sold):
    assert {} == sold(LeavesIt)


class Confirmed(Sale):
    needed = ("action_required",)

    def authorise(self, payment):
        if payment.status is Authorisation.ACTION_REQUIRED:
            return self.held(payment) if self.noted else []
        return authorising.record_action_required(
            payment, attempt=payment.attempt, kind="3d-secure", now=self.now
        )


def test_an_order_whose_buyer_has_to_confirm_the_payment_waits_for_that(sold):
    assert {} == sold(Confirmed)


class ConfirmedTooLate(Confirmed):
    status, cancelled, payment = Status.CANCELLED, "expired", Authorisation.VOIDED
    requested = asked(authorisation=1, void=1)

    def authorise(self, payment):
        if payment.status is Authorisation.ACTION_REQUIRED and self.sold.status is Status.PLACED:
            return []
        return super().authorise(payment)

    def act(self):
        if self.noted:
            self.fire(TOO_LONG)


def test_a_payment_that_its_buyer_confirms_after_the_order_is_off_is_voided(sold):
    assert {} == sold(ConfirmedTooLate)


class Uncertain(Sale):
    def authorise(self, payment):
        if payment.status is Authorisation.UNCERTAIN:
            return self.held(payment) if self.fired else []
        return authorising.record_uncertain(payment, attempt=payment.attempt, now=self.now)

    def act(self):
        if self.paid is not None and self.paid.status is Authorisation.UNCERTAIN:
            self.fire(TOO_LONG)


def test_an_order_waits_for_a_payment_that_nobody_knows_about_until_it_is_found(sold):
    assert {} == sold(Uncertain)


class FoundTooLate(Sale):
    status, cancelled, payment = Status.CANCELLED, "expired", Authorisation.VOIDED
    requested = asked(authorisation=1, void=1)

    def authorise(self, payment):
        if payment.status is Authorisation.UNCERTAIN:
            return self.held(payment) if self.sold.status is Status.CANCELLED else []
        return authorising.record_uncertain(payment, attempt=payment.attempt, now=self.now)

    def act(self):
        if self.paid is not None and self.paid.status is Authorisation.UNCERTAIN:
            self.fire(UNDECIDED)


def test_a_payment_that_is_found_after_the_stock_was_released_is_voided(sold):
    assert {} == sold(FoundTooLate)


class CancelledMeanwhile(Sale):
    status, cancelled, payment = Status.CANCELLED, "customer", Authorisation.VOIDED
    requested = asked(authorisation=1, void=1)

    def authorise(self, payment):
        return self.held(payment) if self.sold.status is Status.CANCELLED else []

    def act(self):
        if self.paid is not None and self.sold.status is Status.PLACED:
            self.cancel()


def test_what_is_held_for_an_order_that_was_cancelled_meanwhile_is_voided(sold):
    assert {} == sold(CancelledMeanwhile)


class CancelledAtOnce(Sale):
    """Before the process knows of it, or right after: then what was requested is waited for and voided."""

    status, cancelled = Status.CANCELLED, "customer"

    def act(self):
        if self.sold.status in {Status.PLACED, Status.CONFIRMED}:
            self.cancel()

    def wanted(self):
        begun = self.paid is not None
        payment = Authorisation.VOIDED if begun else None
        wanted = {**super().wanted(), "payment": payment}
        del wanted["requested"]
        return wanted


def test_an_order_that_is_cancelled_at_any_moment_keeps_neither_stock_nor_money(sold):
    assert {} == sold(CancelledAtOnce)


class CancelledAfterwards(Sale):
    status, cancelled, payment = Status.CANCELLED, "customer", Authorisation.VOIDED
    requested = asked(authorisation=1, void=1)

    def act(self):
        if self.sold.status is Status.CONFIRMED:
            self.cancel()


def test_a_confirmed_order_that_is_cancelled_is_released_and_voided(sold):
    assert {} == sold(CancelledAfterwards)


class CancelledAfterCapture(CancelledAfterwards):
    payment, captured, refunded = Authorisation.AUTHORISED, TOTAL, TOTAL
    requested = asked(authorisation=1, capture=1, refund=1)

    def act(self):
        if self.sold.status is Status.CONFIRMED and self.paid is not None:
            self.capture_by_hand(self.paid)
            if self.paid.captured:
                self.cancel()


def test_what_was_captured_for_an_order_that_is_cancelled_is_refunded(sold):
    assert {} == sold(CancelledAfterCapture)


class CancelledDuringCapture(CancelledAfterCapture):
    def act(self):
        if self.sold.status is Status.CONFIRMED and self.paid is not None:
            self.capture_by_hand(self.paid)
            self.cancel()

    def capture(self, payment, number):
        return super().capture(payment, number) if self.sold.status is Status.CANCELLED else []


def test_what_is_being_captured_when_an_order_is_cancelled_is_refunded(sold):
    assert {} == sold(CancelledDuringCapture)


class WonAfterCancellation(CancelledAfterCapture):
    """The dispute ends when the release of the order is through, as disputes do weeks later."""

    def act(self):
        if self.paid is None:
            return
        it = {"payment_id": self.paid.payment_id, "dispute_id": DisputeId("dp"), "now": self.now}
        if self.sold.status is Status.CONFIRMED:
            self.capture_by_hand(self.paid)
            if self.paid.captured:
                opened = disputes.record_opened(self.paid, amount=Minor(TOTAL), reason="fraud", **it)
                self.append(purchases.PAYMENT, ID, opened)
                self.cancel()
        elif self.paid.disputed and any(isinstance(each, PurchaseUnwound) for each in self.events()):
            self.append(purchases.PAYMENT, ID, disputes.record_closed(self.paid, won=True, **it))


def test_what_a_bank_gives_back_after_an_order_was_cancelled_is_refunded(sold):
    assert {} == sold(WonAfterCancellation)


class VoidFails(CancelledAfterwards):
    payment = Authorisation.AUTHORISED
    requested = asked(authorisation=1, void=ending.TRIES_MAX)

    def void(self, payment):
        return authorising.record_void_failed(payment, number=payment.voids, code="no", now=self.now)


def test_a_void_that_fails_is_tried_again_some_times(sold):
    assert {} == sold(VoidFails)


class RefundFails(CancelledAfterCapture):
    refunded, waits = 0, "refund_failed"
    requested = asked(authorisation=1, capture=1, refund=ending.TRIES_MAX)

    def refund(self, payment, number):
        return refunding.record_refund_failed(payment, number=number, code="no", now=self.now)


def test_a_refund_that_fails_is_tried_again_some_times(sold):
    assert {} == sold(RefundFails)


class OneRefuses(CancelledAfterCapture):
    """A part is captured, the rest by another authorisation after the first is over; the first takes nothing back."""

    refunded, waits = TOTAL // 3, "refund_failed"
    requested = asked(authorisation=2, capture=2, refund=ending.TRIES_MAX + 1)

    def act(self):
        if self.sold.status is not Status.CONFIRMED or self.paid is None:
            return
        self.capture_by_hand(self.paid, amount=Minor(TOTAL - TOTAL // 3))
        if self.paid.captured and self.paid.attempt == 1:
            self.fire(HOLD)
        if self.paid.attempt == 2:
            self.capture_by_hand(self.paid, capture_id="rest")
        if self.paid.captured == TOTAL and not self.sold.holds:
            self.cancel()

    def refund(self, payment, number):
        (asked_for,) = [each for each in payment.refunds.values() if each.number == number]
        if asked_for.auth_ref == "A2":
            return super().refund(payment, number)
        return refunding.record_refund_failed(payment, number=number, code="no", now=self.now)

    def amiss(self):
        return [*super().amiss(), *([] if self.listed.owed == TOTAL - TOTAL // 3 else ["what is owed"])]


def test_what_another_authorisation_collected_is_refunded_though_one_refuses(sold):
    assert {} == sold(OneRefuses)


class CancelledOrShipped(Sale):
    def act(self):
        if self.sold.status is Status.CONFIRMED:
            (self.cancel if self.world.chance.random() < 0.5 else self.ship)()

    def wanted(self):
        wanted = super().wanted()
        if self.sold.status is Status.SHIPPED:
            stock, requested = (self.on_hand - 2, 0), asked(authorisation=1, capture=1)
            return {
                **wanted,
                "order": Status.SHIPPED,
                "stock": stock,
                "captured": TOTAL,
                "requested": requested,
            }
        return {
            **wanted,
            "order": Status.CANCELLED,
            "cancelled": "customer",
            "payment": Authorisation.VOIDED,
            "stock": (self.on_hand, 0),
            "requested": asked(authorisation=1, void=1),
        }


def test_a_cancellation_that_races_a_dispatch_is_decided_by_the_version_of_the_order(sold):
    assert {} == sold(CancelledOrShipped)


class Taken(Sale):
    """Somebody created a payment under the id of the checkout."""

    status, cancelled, payment = Status.CANCELLED, "other", Authorisation.CREATED
    requested = asked()

    def __init__(self, world):
        super().__init__(world)
        other = authorising.create(
            None,
            payment_id=purchases.payment_of(ID),
            of=authorising.Payable(order_id="o2", customer_id=None, currency="GBP", total=TOTAL, covered=0),
            amount=None,
            method_ref="pm_visa",
            capture="manual",
            now=self.now,
        )
        self.append(purchases.PAYMENT, ID, other)


def test_an_order_under_whose_id_there_is_another_payment_is_cancelled(sold):
    assert {} == sold(Taken)


class CheaperAndShipped(Shipped):
    coupon, captured = CODE, TOTAL - OFF


def cheaper(row, reason):
    """A row whose order was placed with a coupon, which is released once."""
    return type(f"Cheaper{row.__name__}", (row,), {"coupon": CODE, "released": (reason,)})


OFF_AGAIN = [
    cheaper(DeclinedForGood, "cancelled"),
    cheaper(ShortOfStock, "rejected"),
    cheaper(LeavesIt, "expired"),
    cheaper(CancelledAtOnce, "cancelled"),
    cheaper(CancelledAfterwards, "cancelled"),
]


@pytest.mark.parametrize("row", [CheaperAndShipped, *OFF_AGAIN])
def test_the_coupon_of_an_order_that_is_off_is_released_once(sold, row):
    """And the provider is asked for what is left, whatever becomes of the order."""
    assert {} == sold(row)


def test_keeping_the_coupon_of_an_order_that_is_off_is_found(monkeypatch):
    monkeypatch.setattr(fulfilment, "released_in", lambda *_, **__: ())

    assert first_problem(partial(run, cheaper(CancelledAtOnce, "cancelled"))) < FOUND_WITHIN


def test_letting_go_of_what_is_not_decided_is_found(monkeypatch):
    monkeypatch.setattr(ending, "OPEN", frozenset())
    monkeypatch.setattr(authorising, "OPEN", frozenset())

    assert first_problem(partial(run, CancelledMeanwhile)) < FOUND_WITHIN


def test_forgetting_what_is_held_after_a_cancellation_is_found(monkeypatch):
    true_go_on = purchases._go_on
    monkeypatch.setattr(
        purchases,
        "_go_on",
        lambda order, purchase, payment, now: (
            purchases.Rejected() if payment.status not in OPEN else true_go_on(order, purchase, payment, now)
        ),
    )

    assert first_problem(partial(run, CancelledMeanwhile)) < FOUND_WITHIN


def test_the_process_reacts_to_every_outcome_of_a_payment_that_changes_what_is_due():
    process: Process = purchases.PURCHASES
    assert {
        "payments.authorisation_expired.v1",
        "payments.authorisation_voided.v1",
        "payments.credit_held.v1",
        "payments.credit_released.v1",
        "payments.manual_payment_recorded.v1",
        "payments.payment_authorised.v1",
        "payments.authorisation_declined.v1",
        "payments.customer_action_required.v1",
        "payments.payment_captured.v1",
        "payments.capture_failed.v1",
        "payments.void_failed.v1",
        "payments.void_requested.v1",
        "payments.refund_succeeded.v1",
        "payments.refund_failed.v1",
        "payments.chargeback_won.v1",
    } == {name for name in process.reactions if name.startswith("payments.")}
