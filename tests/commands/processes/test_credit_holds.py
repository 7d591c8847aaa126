"""What becomes of store credit that was to pay an order that is cancelled or rejected."""

from commands.processes.credit_holds import CREDIT_HOLDS, credit_of_customer, rejected_order
from counterfoil.testing.spec import given_streams
from domain.ordering.order import ORDER
from domain.payments.order_credit import ORDER_CREDIT
from domain.payments.store_credit import STORE_CREDIT
from tests.examples import cancelled, placed, rejected
from tests.payment_examples import (
    CUSTOMER,
    NOW,
    credit_held,
    credit_issued,
    credit_released,
    credit_returned,
    credit_spent,
    order_credit_changed,
)

CANCELLED = cancelled(order_id=credit_held().order_id, customer_id=CUSTOMER)
REJECTED = rejected(order_id=credit_held().order_id)
HELD = (credit_issued(expires_at=None), credit_held())


def of_customer(*events):
    return [(STORE_CREDIT, CUSTOMER, event) for event in events]


def given_back(event, status):
    of_order = order_credit_changed(order_id=event.order_id, status=status)
    return (STORE_CREDIT, CUSTOMER, event), (ORDER_CREDIT, event.order_id, of_order)


def test_store_credit_that_is_held_for_a_cancelled_order_is_released():
    given_streams(*of_customer(*HELD)).when(CREDIT_HOLDS, CANCELLED, now=NOW).then(
        *given_back(credit_released(), "released")
    )
    assert [(STORE_CREDIT, CUSTOMER), (ORDER_CREDIT, CANCELLED.order_id)] == credit_of_customer(CANCELLED)


def test_store_credit_that_was_spent_on_an_order_that_is_off_is_returned():
    spent = of_customer(*HELD, credit_spent())
    order = (ORDER, REJECTED.order_id, placed(order_id=REJECTED.order_id, customer_id=CUSTOMER))

    for trigger in (CANCELLED, REJECTED):
        given_streams(order, *spent).when(CREDIT_HOLDS, trigger, now=NOW).then(
            *given_back(credit_returned(), "returned")
        )


def test_nothing_is_given_back_twice_or_where_there_is_no_customer():
    of_it = of_customer(*HELD, credit_spent(), credit_returned())
    given_streams(*of_it).when(CREDIT_HOLDS, CANCELLED, now=NOW).then()
    given_streams().when(CREDIT_HOLDS, CANCELLED, now=NOW).then()
    given_streams().when(CREDIT_HOLDS, cancelled(customer_id=None), now=NOW).then()


def test_store_credit_that_is_held_for_a_rejected_order_is_released():
    def of(customer_id):
        return (ORDER, REJECTED.order_id, placed(order_id=REJECTED.order_id, customer_id=customer_id))

    given_streams(of(CUSTOMER), *of_customer(*HELD)).when(CREDIT_HOLDS, REJECTED, now=NOW).then(
        *given_back(credit_released(), "released")
    )
    given_streams(of(None), *of_customer(*HELD)).when(CREDIT_HOLDS, REJECTED, now=NOW).then()
    assert [(ORDER, REJECTED.order_id)] == rejected_order(REJECTED)
