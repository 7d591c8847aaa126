"""An order is shipped while its amount is held, or paid otherwise, or once people let it leave on credit."""

from datetime import timedelta

import pytest

from commands import amounts_held
from commands.processes.purchases import PURCHASES
from counterfoil.testing.spec import given_streams
from domain.money import Minor
from domain.ordering import order as orders
from domain.ordering.events import PaymentTerms
from domain.ordering.order import ORDER, OrderIsHeld
from domain.ordering.purchase import PURCHASE
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
from tests.purchase_examples import hold_lifted, order_held, payment_added, purchase_begun

OWN = {"payment_id": ID}
HELD = tuple(each(**OWN) for each in (payment_created, authorisation_requested, payment_authorised))
VOIDED = (*HELD, void_requested(**OWN), authorisation_voided(**OWN))
CONFIRMED = (placed(payment=PaymentTerms(method_ref="pm_visa")), confirmed())
HALF = Minor(TOTAL // 2)
REST = Minor(TOTAL - HALF)
CREDIT = (credit_issued(amount=TOTAL, expires_at=None), credit_held(amount=HALF))
CASH = manual_payment_recorded(amount=REST)


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
    whole = (CREDIT[0], credit_held(amount=TOTAL))

    after(*VOIDED, credit=whole).when(PURCHASES, VOIDED[-1], now=NOW).then_rejected()
    after(*VOIDED, credit=CREDIT).when(PURCHASES, VOIDED[-1], now=NOW).then((ORDER, ID, order_held()))
