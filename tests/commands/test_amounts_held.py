"""An order is shipped while its amount is held, or paid otherwise, or once people let it leave on credit."""

from datetime import timedelta

import pytest

from commands import amounts_held
from commands.processes.purchases import HOLD, PURCHASES
from counterfoil.testing.spec import given_streams
from domain.money import Minor
from domain.ordering import order as orders
from domain.ordering.events import PaymentTerms
from domain.ordering.order import ORDER, OrderIsHeld
from domain.ordering.purchase import PURCHASE
from domain.payments.events import PaymentAuthorised
from domain.payments.payment import PAYMENT
from domain.payments.store_credit import STORE_CREDIT
from tests.examples import confirmed, placed, shipped
from tests.payment_examples import (
    CUSTOMER,
    EXPIRES,
    NOW,
    TILL,
    TOTAL,
    authorisation_declined,
    authorisation_expired,
    authorisation_requested,
    authorisation_voided,
    capture_failed,
    capture_requested,
    credit_held,
    credit_issued,
    credit_released,
    manual_payment_recorded,
    manual_refund_recorded,
    payment_authorised,
    payment_captured,
    payment_created,
    void_failed,
    void_requested,
)
from tests.payment_examples import ORDER as ID
from tests.purchase_examples import (
    hold_lifted,
    order_held,
    payment_added,
    payment_expiry_scheduled,
    purchase_begun,
)

OWN = {"payment_id": ID}
HELD = tuple(each(**OWN) for each in (payment_created, authorisation_requested, payment_authorised))
VOIDED = (*HELD, void_requested(**OWN), authorisation_voided(**OWN))
CONFIRMED = (placed(payment=PaymentTerms(method_ref="pm_visa")), confirmed())
HALF = Minor(TOTAL // 2)
REST = Minor(TOTAL - HALF)
CREDIT = (credit_issued(amount=TOTAL, expires_at=None), credit_held(amount=HALF))
CASH = manual_payment_recorded(amount=REST)
OTHER = {"payment_id": TILL}
INSTEAD = tuple(each(**OTHER) for each in (payment_created, authorisation_requested, payment_authorised))
LEFT, LATER = NOW + timedelta(hours=1), NOW + timedelta(hours=2)
LIFTED = (*CONFIRMED, order_held(), hold_lifted(lifted_at=LEFT))
"""The order process let it leave, since it was paid otherwise."""
WHOLE = (CREDIT[0], credit_held(amount=TOTAL))


def after(*payment, order=CONFIRMED, others=(), credit=()):
    added = [payment_added()] if others else []
    return given_streams(
        *((ORDER, ID, each) for each in order),
        *((PAYMENT, ID, each) for each in payment),
        *((PURCHASE, ID, each) for each in (purchase_begun(), *added)),
        *((PAYMENT, TILL, each) for each in others),
        *((STORE_CREDIT, CUSTOMER, each) for each in credit),
    )


def ship(given, *, now=NOW):
    view = given.view
    order = view.current(ORDER, ID)
    amounts_held.require_held(order, view, now=now)
    return orders.ship(order, order_id=ID, now=now), view


@pytest.mark.parametrize(
    ("payment", "now"),
    [
        ((*HELD, void_requested(**OWN)), NOW),
        (VOIDED, NOW),
        (HELD, EXPIRES),
        ((*HELD, authorisation_expired(**OWN), authorisation_requested(**OWN, attempt=2)), NOW),
        (
            (
                *HELD,
                authorisation_expired(**OWN),
                authorisation_requested(**OWN, attempt=2),
                authorisation_declined(**OWN, attempt=2),
            ),
            NOW,
        ),
        ((*HELD, capture_requested(**OWN, amount=HALF), payment_captured(**OWN, amount=HALF)), EXPIRES),
    ],
)
def test_an_order_whose_amount_is_not_held_is_refused_before_the_process_holds_it(payment, now):
    with pytest.raises(OrderIsHeld) as refused:
        ship(after(*payment), now=now)

    assert ("payment",) == refused.value.reasons


@pytest.mark.parametrize(
    ("payment", "now"),
    [
        (HELD, NOW),
        ((*HELD, void_requested(**OWN), void_failed(**OWN)), NOW),
        ((*HELD, capture_requested(**OWN)), EXPIRES),
        ((*HELD, capture_requested(**OWN), payment_captured(**OWN)), EXPIRES),
    ],
)
def test_an_order_is_shipped_while_its_amount_is_held_or_taken_and_the_append_names_its_payment(payment, now):
    left, view = ship(after(*payment), now=now)

    assert [shipped(shipped_at=now)] == left
    assert len(payment) == view.relied_on[PAYMENT.stream(ID)].version


def test_an_order_that_was_placed_without_a_method_is_shipped_whatever_its_payments_are():
    left, view = ship(after(*VOIDED, order=(placed(), confirmed())))

    assert [shipped(shipped_at=NOW)] == left
    assert [ORDER.stream(ID)] == list(view.relied_on)


def test_who_lifts_the_hold_of_a_payment_ships_on_credit_until_it_is_held_and_voided_once_more():
    later, last = NOW + timedelta(minutes=1), NOW + timedelta(minutes=2)
    lifted = (*CONFIRMED, order_held(), hold_lifted(lifted_at=later))
    again = (*VOIDED[:4], void_failed(**OWN), void_requested(**OWN, requested_at=last))

    assert [shipped(shipped_at=later)] == ship(after(*VOIDED, order=lifted), now=later)[0]
    for order, payment in [
        (lifted, again),
        ((*CONFIRMED, order_held(reason="fraud"), hold_lifted(reason="fraud", lifted_at=later)), VOIDED),
    ]:
        with pytest.raises(OrderIsHeld):
            ship(after(*payment, order=order), now=last)


def test_a_voided_payment_is_made_up_for_by_payments_and_store_credit_together():
    paid = after(*VOIDED, others=(CASH,), credit=CREDIT)

    left, view = ship(paid)

    assert [shipped(shipped_at=NOW)] == left
    assert {PAYMENT.stream(TILL), STORE_CREDIT.stream(CUSTOMER)} <= view.relied_on.keys()
    for less in (
        after(*VOIDED, others=(CASH,)),
        after(*VOIDED, credit=CREDIT),
        after(*VOIDED, others=(CASH,), credit=(*CREDIT, credit_released())),
        after(*VOIDED, others=(CASH, manual_refund_recorded(payment_id=TILL, amount=HALF)), credit=CREDIT),
    ):
        with pytest.raises(OrderIsHeld):
            ship(less)


def test_an_order_that_store_credit_pays_already_is_not_held_once_its_void_is_known():
    after(*VOIDED, credit=WHOLE).when(PURCHASES, VOIDED[-1], now=NOW).then_rejected()
    after(*VOIDED, credit=CREDIT).when(PURCHASES, VOIDED[-1], now=NOW).then((ORDER, ID, order_held()))


GONE = {
    "the void of another payment is requested": {
        "others": (*INSTEAD, void_requested(**OTHER, requested_at=LATER))
    },
    "another payment is voided": {
        "others": (*INSTEAD, authorisation_voided(**OTHER, voided_at=LATER)),
    },
    "another authorisation is recorded as expired": {
        "others": (
            *INSTEAD,
            authorisation_expired(**OTHER, expired_at=LATER),
            authorisation_requested(**OTHER, attempt=2),
        )
    },
    "store credit is released": {"credit": (*WHOLE, credit_released(amount=TOTAL, released_at=LATER))},
}
"""What paid instead of a voided payment, and went away."""


@pytest.mark.parametrize("gone", GONE.values(), ids=GONE)
def test_an_order_is_held_again_as_often_as_what_pays_instead_of_its_payment_goes_away(gone):
    lost = gone["others"][3] if "others" in gone else gone["credit"][-1]
    again = (*LIFTED, order_held(held_at=LATER))
    let_go = (*again, hold_lifted(lifted_at=LATER))

    with pytest.raises(OrderIsHeld):
        ship(after(*VOIDED, order=LIFTED, **gone), now=LATER)
    after(*VOIDED, order=LIFTED, **gone).when(PURCHASES, lost, now=LATER).then(
        (ORDER, ID, order_held(held_at=LATER))
    )
    after(*VOIDED, order=again, **gone).when(PURCHASES, lost, now=LATER).then_rejected()
    assert [shipped(shipped_at=LATER)] == ship(after(*VOIDED, order=let_go, **gone), now=LATER)[0]


@pytest.mark.parametrize("gone", GONE.values(), ids=GONE)
def test_an_order_whose_own_payment_holds_its_amount_is_not_held_for_what_became_of_another(gone):
    lost = gone["others"][3] if "others" in gone else gone["credit"][-1]

    after(*HELD, order=LIFTED, **gone).when(PURCHASES, lost, now=LATER).then_rejected()


def test_an_authorisation_that_pays_instead_and_expires_has_its_order_held_by_the_timer():
    def fire(order=LIFTED, now=EXPIRES, others=INSTEAD):
        view = after(*VOIDED, order=order, others=others).view
        return [each for _, _, each in HOLD.decide(view.current(ORDER, ID), view, now).events]

    early = EXPIRES - timedelta(seconds=30)
    next_one = payment_expiry_scheduled(scheduled_at=LATER)

    assert EXPIRES == HOLD.sets[PaymentAuthorised](INSTEAD[-1], NOW)
    assert [order_held(held_at=EXPIRES)] == fire()
    assert [order_held(held_at=early)] == fire(now=early), "clocks differ, and it is not fired again"
    assert [next_one] == fire(now=LATER), "it was set anew meanwhile"
    assert [] == fire(others=(manual_payment_recorded(),))
    assert [] == fire(order=(*LIFTED, order_held(), hold_lifted(lifted_at=EXPIRES))), "it leaves on credit"
    with pytest.raises(OrderIsHeld):
        ship(after(*VOIDED, order=LIFTED, others=INSTEAD), now=EXPIRES)


def test_an_order_may_leave_once_the_void_of_what_pays_instead_has_failed():
    failed = (*INSTEAD, void_requested(**OTHER), void_failed(**OTHER))
    held = (*LIFTED, order_held())

    after(*VOIDED, order=held, others=failed).when(PURCHASES, failed[-1], now=LATER).then(
        (PURCHASE, ID, payment_expiry_scheduled(scheduled_at=LATER)),
        (ORDER, ID, hold_lifted(lifted_at=LATER)),
    )
    after(*VOIDED, order=held, others=failed).when(PURCHASES, failed[-1], now=EXPIRES).then_rejected()


def test_an_order_is_held_once_a_capture_of_what_pays_instead_has_failed_and_its_time_is_over():
    failed = (*INSTEAD, capture_requested(**OTHER), capture_failed(**OTHER))
    paid = after(*VOIDED, order=LIFTED, others=failed)

    paid.when(PURCHASES, failed[-1], now=LATER).then_rejected()
    paid.when(PURCHASES, failed[-1], now=EXPIRES).then((ORDER, ID, order_held(held_at=EXPIRES)))


def test_an_order_is_held_while_its_own_payment_that_expired_is_requested_again():
    expired = (*HELD, authorisation_expired(**OWN), authorisation_requested(**OWN, attempt=2))

    after(*expired).when(PURCHASES, expired[3], now=LATER).then((ORDER, ID, order_held(held_at=LATER)))
