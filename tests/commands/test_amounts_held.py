"""An order whose payment was voided may be paid otherwise."""

from commands.processes.purchases import PURCHASES
from counterfoil.testing.spec import given_streams
from domain.money import Minor
from domain.ordering.events import PaymentTerms
from domain.ordering.order import ORDER
from domain.ordering.purchase import PURCHASE
from domain.payments.payment import PAYMENT
from domain.payments.store_credit import STORE_CREDIT
from tests.examples import confirmed, placed
from tests.payment_examples import (
    CUSTOMER,
    NOW,
    TILL,
    TOTAL,
    authorisation_requested,
    authorisation_voided,
    credit_held,
    credit_issued,
    manual_payment_recorded,
    payment_authorised,
    payment_created,
    void_requested,
)
from tests.payment_examples import ORDER as ID
from tests.purchase_examples import order_held, payment_added, purchase_begun

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


def test_an_order_that_store_credit_pays_already_is_not_held_once_its_void_is_known():
    whole = (CREDIT[0], credit_held(amount=TOTAL))

    after(*VOIDED, credit=whole).when(PURCHASES, VOIDED[-1], now=NOW).then_rejected()
    after(*VOIDED, credit=CREDIT).when(PURCHASES, VOIDED[-1], now=NOW).then((ORDER, ID, order_held()))
