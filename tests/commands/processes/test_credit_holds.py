"""What becomes of store credit that is held for an order that is cancelled."""

from commands.processes.credit_holds import CREDIT_HOLDS, credit_of_customer
from counterfoil.testing.spec import given_streams
from domain.payments.store_credit import STORE_CREDIT
from tests.examples import cancelled
from tests.payment_examples import CUSTOMER, NOW, credit_held, credit_issued, credit_released, credit_spent

CANCELLED = cancelled(order_id=credit_held().order_id, customer_id=CUSTOMER)
HELD = (credit_issued(expires_at=None), credit_held())


def of_customer(*events):
    return [(STORE_CREDIT, CUSTOMER, event) for event in events]


def test_store_credit_that_is_held_for_a_cancelled_order_is_released():
    given_streams(*of_customer(*HELD)).when(CREDIT_HOLDS, CANCELLED, now=NOW).then(
        (STORE_CREDIT, CUSTOMER, credit_released())
    )
    assert [(STORE_CREDIT, CUSTOMER)] == credit_of_customer(CANCELLED)


def test_nothing_is_released_where_it_was_spent_or_there_is_no_customer():
    given_streams(*of_customer(*HELD, credit_spent())).when(CREDIT_HOLDS, CANCELLED, now=NOW).then()
    given_streams().when(CREDIT_HOLDS, CANCELLED, now=NOW).then()
    given_streams().when(CREDIT_HOLDS, cancelled(customer_id=None), now=NOW).then()
