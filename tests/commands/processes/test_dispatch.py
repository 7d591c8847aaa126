"""The order process behind its confirmation: the warehouse is late, or the parcel is lost."""

import contextlib
from datetime import timedelta
from functools import partial
from typing import ClassVar

import pytest
from msgspec.structs import replace

from commands import lost_parcels
from commands.decision import DecisionView
from commands.gateways.labels import CARRIER
from commands.processes import purchases
from commands.processes.labels import LABELS
from commands.processes.order_mails import ORDER_MAILS, WAREHOUSE
from commands.processes.purchases import OVERDUE
from counterfoil.testing.scheduling import FOUND_WITHIN, first_problem
from domain.inventory.stock_refusals import InsufficientStock
from domain.mail.events import MailRequested
from domain.ordering import holding
from domain.ordering import purchase as purchasing
from domain.ordering.order import ORDER, Status
from domain.payments import capturing
from domain.payments.payment import Status as Authorisation
from domain.shipping import shipment as shipments
from domain.shipping.events import LabelRequested, LossSettled
from domain.shipping.shipment import SHIPMENT, SettledOtherwise
from domain.shipping.shipment import Status as Parcel
from tests.commands.processes import buying
from tests.commands.processes.buying import AGAIN, CUSTOMER, ID, TOTAL, UNITS, PaidInstead, Sale, asked, run
from tests.commands.processes.test_order_process import Shipped
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
    requested = asked(authorisation=1, mail=5, void=1)  # reminders, and one for each status

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


class ParcelOff(Shipped):
    """The carrier sells labels, and loses the first parcel; support claims it, and chooses again and again."""

    others = (LABELS,)
    requested = asked(authorisation=1, capture=1, label=1)
    remedies: ClassVar[tuple[str, ...]] = ()
    again = 0
    """Parcels behind the first one."""
    is_hasty = False
    """Whether somebody chooses before the process has seen that the order is shipped."""

    @property
    def shipment(self):
        return self.world.state(SHIPMENT, ID)

    def act(self):
        self.ship()
        shipment, it = self.shipment, {"order_id": ID, "now": self.now}
        match shipment.status if shipment is not None else None:
            case Parcel.REQUESTED:
                answer = {"label_id": f"L{shipment.attempt}", "tracking": "T", "now": self.now}
                labelled = shipments.record_label(shipment, attempt=shipment.attempt, **answer)
                self.append(SHIPMENT, ID, labelled)
            case Parcel.LABELLED if shipment.attempt == 1:
                self.append(SHIPMENT, ID, shipments.record_loss(shipment, reason="carrier", **it))
            case _ if shipment is not None and shipment.lost is not None:
                self.append(SHIPMENT, ID, shipments.record_claim(shipment, claim="CL-1", **it))
                self.settle(self.world.chance.choice(self.remedies))

    def settle(self, remedy):
        if not (self.is_hasty or self.paid.captures):
            return
        view = DecisionView(self._held)
        with contextlib.suppress(SettledOtherwise, InsufficientStock):
            it = {"order_id": ID, "remedy": remedy, "now": self.now}
            self.record(lost_parcels.settle(self.shipment, view, **it))

    def wanted(self):
        return {**super().wanted(), "stock": (self.on_hand - UNITS * (1 + self.again), 0)}

    def amiss(self):
        intents = [each for each in self.events() if isinstance(each, LabelRequested)]
        keys = {CARRIER.key(CARRIER.effects[0], each, installation="shop") for each in intents}
        parcels = [] if len(keys) == len(intents) == 1 + self.again else [f"labels under {keys}"]
        settled = [each.remedy for each in self.events() if isinstance(each, LossSettled)]
        return [*super().amiss(), *parcels, *([] if len(settled) == 1 else [f"settled by {settled}"])]


class LostAndRefunded(ParcelOff):
    remedies = ("refund",)
    captured, refunded = TOTAL, TOTAL
    requested = asked(authorisation=1, capture=1, label=1, refund=1)


class RefundedBeforeCapture(LostAndRefunded):
    """The provider says only after the refund was chosen that it captured the amount, or that it did not."""

    def capture(self, payment, number):
        lost = None if self.shipment is None else self.shipment.lost
        return super().capture(payment, number) if lost is not None and lost.remedy else []


class RefundedInsteadOfCollected(RefundedBeforeCapture):
    captured, refunded, payment = 0, 0, Authorisation.VOIDED
    requested = asked(authorisation=1, capture=1, label=1, void=1)

    def capture(self, payment, number):
        answered = super().capture(payment, number)
        failed = capturing.record_capture_failed(payment, number=number, code="no", now=self.now)
        return failed if answered else []

    def act(self):
        super().act()
        self.fire(AGAIN)


@pytest.mark.parametrize("row", [LostAndRefunded, RefundedBeforeCapture, RefundedInsteadOfCollected])
def test_what_was_captured_for_a_lost_parcel_is_refunded_once(sold, row):
    assert {} == sold(row)


class RefundedAndPaidInstead(PaidInstead, RefundedBeforeCapture):
    """The other authorisation is not captured when the refund is chosen, or nobody knows yet that it is."""

    is_hasty, captured, refunded = True, 0, 0

    def act(self):
        if self.second is None or self.world.chance.random() < 0.3:
            self.pay_instead()
        else:
            super().act()


def test_what_pays_instead_for_a_lost_parcel_is_let_go_of_when_that_is_refunded(sold):
    assert {} == sold(RefundedAndPaidInstead)


class LostAndSentAgain(ParcelOff):
    remedies, again = ("replacement",), 1
    requested = asked(authorisation=1, capture=1, label=2)


def test_the_pieces_of_a_lost_parcel_are_sent_again_once_under_another_label(sold):
    assert {} == sold(LostAndSentAgain)


class LostAndSettled(ParcelOff):
    """Two people choose at random: what is refunded before it was to be captured is voided."""

    remedies, is_hasty = ("refund", "replacement"), True

    def wanted(self):
        lost = None if self.shipment is None else self.shipment.lost
        self.again = 1 if lost is not None and lost.remedy == "replacement" else 0
        if self.again:
            return {**super().wanted(), "requested": asked(authorisation=1, capture=1, label=2)}
        if self.paid is not None and self.paid.voids:
            off = {"captured": 0, "payment": Authorisation.VOIDED}
            return {**super().wanted(), **off, "requested": asked(authorisation=1, void=1, label=1)}
        requested = asked(authorisation=1, capture=1, label=1, refund=1)
        return {**super().wanted(), "refunded": TOTAL, "requested": requested}


def test_a_lost_parcel_is_refunded_or_sent_again_and_never_both(sold):
    assert {} == sold(LostAndSettled)


def test_settling_a_loss_by_both_is_found(monkeypatch):
    monkeypatch.setattr(buying, "ROUNDS_MAX", 50)
    known = shipments._known
    monkeypatch.setattr(shipments, "_known", lambda *a, **it: replace(known(*a, **it), remedy=None))

    assert first_problem(partial(run, LostAndSettled)) < FOUND_WITHIN


def test_collecting_what_is_refunded_is_found(monkeypatch):
    monkeypatch.setattr(buying, "ROUNDS_MAX", 50)
    monkeypatch.setattr(purchasing, "unwind", lambda *_, **__: [])

    assert first_problem(partial(run, RefundedInsteadOfCollected)) < FOUND_WITHIN
