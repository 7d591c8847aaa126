"""What becomes of payments, of the payments of an order, and of the books."""

import pytest
from msgspec.structs import replace

from counterfoil.testing.spec import folded
from domain.ids import PaymentId
from domain.money import Minor
from projections.ordering.views import order_history
from projections.payments.ledger import LEDGER
from projections.payments.views import order_payments, payment_details
from tests.examples import placed
from tests.payment_examples import (
    NOW,
    ORDER,
    PAYMENT,
    TILL,
    TOTAL,
    authorisation_declined,
    authorisation_expired,
    authorisation_requested,
    authorisation_uncertain,
    authorisation_voided,
    capture_failed,
    capture_requested,
    chargeback_lost,
    chargeback_opened,
    chargeback_won,
    credit_expired,
    credit_held,
    credit_issued,
    credit_spent,
    customer_action_required,
    manual_payment_recorded,
    manual_refund_recorded,
    payment_authorised,
    payment_captured,
    payment_created,
    psp_event_ingested,
    refund_failed,
    refund_requested,
    refund_reversed,
    refund_succeeded,
    void_failed,
    void_requested,
)
from tests.purchase_examples import payment_needed

REQUESTED = (payment_created(), authorisation_requested())
HELD = (*REQUESTED, payment_authorised())
CAPTURED = (*HELD, capture_requested(), payment_captured())
HALF = (*HELD, capture_requested(amount=Minor(633)), payment_captured(amount=Minor(633)))
REFUNDED = (*CAPTURED, refund_requested(), refund_succeeded())
OPENED = (*CAPTURED, chargeback_opened())


def sums(row):
    return row.authorised, row.captured, row.refunded, row.disputed, row.lost


@pytest.mark.parametrize(
    ("facts", "status", "axis", "expected"),
    [
        ((payment_created(),), "created", "none", (0, 0, 0, 0, 0)),
        (REQUESTED, "requested", "pending", (0, 0, 0, 0, 0)),
        ((*REQUESTED, authorisation_uncertain()), "uncertain", "pending", (0, 0, 0, 0, 0)),
        ((*REQUESTED, customer_action_required()), "action_required", "pending", (0, 0, 0, 0, 0)),
        ((*REQUESTED, authorisation_declined()), "declined", "none", (0, 0, 0, 0, 0)),
        (HELD, "authorised", "authorised", (1265, 0, 0, 0, 0)),
        ((*HELD, authorisation_expired()), "expired", "none", (0, 0, 0, 0, 0)),
        ((*HELD, void_requested()), "voiding", "authorised", (1265, 0, 0, 0, 0)),
        ((*HELD, void_requested(), void_failed()), "authorised", "authorised", (1265, 0, 0, 0, 0)),
        ((*HELD, void_requested(), authorisation_voided()), "voided", "none", (0, 0, 0, 0, 0)),
        ((*HELD, capture_requested()), "authorised", "authorised", (1265, 0, 0, 0, 0)),
        ((*HELD, capture_requested(), capture_failed()), "authorised", "authorised", (1265, 0, 0, 0, 0)),
        (
            (*HELD, capture_requested(), payment_captured(amount=Minor(1))),
            "authorised",
            "partial",
            (1265, 1, 0, 0, 0),
        ),
        (CAPTURED, "authorised", "captured", (1265, 1265, 0, 0, 0)),
        (REFUNDED, "authorised", "refunded", (1265, 1265, 1265, 0, 0)),
        ((*CAPTURED, refund_requested(), refund_failed()), "authorised", "captured", (1265, 1265, 0, 0, 0)),
        ((*REFUNDED, refund_reversed()), "authorised", "captured", (1265, 1265, 0, 0, 0)),
        ((*CAPTURED, manual_refund_recorded()), "authorised", "refunded", (1265, 1265, 1265, 0, 0)),
        ((*HALF, chargeback_opened(amount=Minor(633))), "authorised", "partial", (1265, 633, 0, 633, 0)),
        (OPENED, "authorised", "captured", (1265, 1265, 0, 1265, 0)),
        ((*OPENED, chargeback_won()), "authorised", "captured", (1265, 1265, 0, 0, 0)),
        ((*OPENED, chargeback_lost()), "authorised", "refunded", (1265, 1265, 0, 0, 1265)),
    ],
)
def test_a_payment_and_its_order_say_where_the_money_is(facts, status, axis, expected):
    payment = folded(payment_details, *facts)[PAYMENT,]
    order = folded(order_payments, *facts)[ORDER,]
    history = folded(order_history, placed(), *facts)[ORDER,]

    assert (status, expected) == (payment.status, sums(payment))
    assert (axis, expected) == (order.status, sums(order))
    assert axis == history.payment, "both views say the same of an order that one payment is for"


def test_a_payment_by_hand_is_captured():
    recorded = manual_payment_recorded()

    assert ("manual", TOTAL) == (
        folded(payment_details, recorded)[TILL,].status,
        folded(payment_details, recorded)[TILL,].captured,
    )
    assert "captured" == folded(order_payments, recorded)[ORDER,].status


def waits(*facts):
    row = folded(payment_details, *facts)[PAYMENT,]
    assert row.waiting is (row.waits_for is not None)
    return row.waits_for, row.waits_since


FAILED = (*CAPTURED, refund_requested(), refund_failed())
CAME_BACK = (*REFUNDED, refund_reversed())
AGAIN = refund_requested(refund_id="again", number=2)
NOT_COLLECTED = payment_needed(payment_id=PAYMENT, reason="not_collected")


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (HELD, None),
        ((*REQUESTED, authorisation_uncertain()), "uncertain"),
        ((*REQUESTED, authorisation_uncertain(), payment_authorised()), None),
        ((*REQUESTED, authorisation_uncertain(), authorisation_declined()), None),
        ((*HELD, capture_requested(), capture_failed()), None),
        ((*HELD, capture_requested(), capture_failed(), NOT_COLLECTED), "not_collected"),
        ((*HELD, NOT_COLLECTED, authorisation_expired(), authorisation_requested()), "not_collected"),
        ((*HELD, NOT_COLLECTED, capture_requested(), payment_captured()), None),
        ((*HELD, NOT_COLLECTED, void_requested()), "not_collected"),
        ((*HELD, NOT_COLLECTED, void_requested(), authorisation_voided()), None),
        ((*CAPTURED, NOT_COLLECTED), None),
        ((*REQUESTED, authorisation_declined(), payment_needed(payment_id=PAYMENT)), None),
        (FAILED, "refund_failed"),
        ((*FAILED, AGAIN), None),
        ((*FAILED, AGAIN, refund_failed(refund_id="again")), "refund_failed"),
        ((*FAILED, manual_refund_recorded()), None),
        ((*FAILED, manual_refund_recorded(amount=Minor(1))), "refund_failed"),
        (
            (
                *CAPTURED,
                refund_requested(amount=Minor(1000)),
                replace(AGAIN, amount=Minor(265)),
                refund_failed(amount=Minor(1000)),
                refund_succeeded(refund_id="again", amount=Minor(265)),
            ),
            "refund_failed",
        ),
        (CAME_BACK, "refund_reversed"),
        ((*CAME_BACK, AGAIN, refund_succeeded(refund_id="again")), None),
        ((*FAILED, chargeback_opened()), "refund_failed"),
        ((*FAILED, chargeback_opened(), chargeback_won()), "refund_failed"),
        ((*FAILED, chargeback_opened(), chargeback_lost()), None),
        ((*CAME_BACK, chargeback_opened(), chargeback_lost()), None),
    ],
)
def test_a_payment_that_somebody_has_to_see_to_says_why(facts, expected):
    assert (expected, None if expected is None else NOW) == waits(*facts)


def test_no_more_is_owed_than_what_a_bank_took_has_left():
    part = chargeback_opened(amount=Minor(1000)), chargeback_lost(amount=Minor(1000))

    assert 265 == folded(payment_details, *FAILED, *part)[PAYMENT,].owed
    assert 0 == folded(payment_details, *CAPTURED, refund_requested(amount=Minor(265)), *part)[PAYMENT,].owed


def test_the_share_of_another_authorisation_is_no_other_try_for_what_is_owed():
    first = (*CAPTURED, refund_requested(amount=Minor(1000)), refund_failed(amount=Minor(1000)))
    rest = {"refund_id": "rest", "amount": Minor(265)}
    other = refund_requested(**rest, number=2, auth_ref="A-2")
    credit = replace(other, refund_id="credit", to="store_credit")
    again = refund_requested(refund_id="again", amount=Minor(1000))

    def owed(*facts):
        return folded(payment_details, *first, *facts)[PAYMENT,].owed

    assert 1000 == owed(other) == owed(other, refund_succeeded(**rest))
    assert 1265 == owed(other, refund_failed(**rest))
    assert 265 == owed(other, refund_failed(**rest), again)
    assert 735 == owed(credit), "it went elsewhere, whichever authorisation it is taken off"


def test_a_payment_waits_since_it_began_to():
    later = NOW.replace(hour=20)
    uncollected = payment_needed(payment_id=PAYMENT, reason="not_collected", needed_at=later)
    part = [replace(event, amount=Minor(5)) for event in (capture_requested(), payment_captured())]
    owed = (*HELD, *part, refund_requested(amount=Minor(5)), refund_failed(amount=Minor(5)), uncollected)

    assert ("refund_failed", NOW) == waits(*owed)
    assert ("not_collected", NOW) == waits(*owed, AGAIN)
    assert ("not_collected", later) == waits(*HELD, uncollected)


def test_a_payment_shows_its_parts_with_their_outcomes():
    row = folded(payment_details, *REFUNDED, refund_reversed(), psp_event_ingested(), chargeback_opened())[
        PAYMENT,
    ]

    assert [("parcel-1", "done", "C-000002")] == [(c.capture_id, c.step, c.reference) for c in row.captures]
    assert [("return-1", "reversed")] == [(r.refund_id, r.step) for r in row.refunds]
    assert ([("dp_1", "open")], 1) == ([(d.dispute_id, d.step) for d in row.disputes], row.webhooks)


def test_the_sums_of_an_order_are_those_of_all_its_payments():
    other = PaymentId("pay-2")
    half = list(CAPTURED)
    half[0] = payment_created(amount=TOTAL)

    row = folded(order_payments, *half, manual_payment_recorded(payment_id=other, amount=Minor(35)))[ORDER,]

    assert [PAYMENT, other] == [each.payment_id for each in row.payments]
    assert (1300, 1300) == (row.authorised, row.captured)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (HELD, {}),
        (CAPTURED, {"buyer": -1265, "provider": 1265}),
        (REFUNDED, {"buyer": 0, "provider": 0}),
        ((*REFUNDED, refund_reversed()), {"buyer": -1265, "provider": 1265}),
        (OPENED, {"buyer": -1265, "provider": 0, "disputes": 1265}),
        ((*OPENED, chargeback_won()), {"buyer": -1265, "provider": 1265, "disputes": 0}),
        ((*OPENED, chargeback_lost()), {"buyer": -1265, "provider": 0, "disputes": 0, "losses": 1265}),
        (
            (*CAPTURED, refund_requested(to="store_credit"), refund_succeeded(to="store_credit")),
            {"buyer": 0, "provider": 1265, "store_credit": -1265},
        ),
        ((*CAPTURED, manual_refund_recorded()), {"buyer": 0, "provider": 1265, "till": -1265}),
        ((manual_payment_recorded(),), {"buyer": -1265, "till": 1265}),
        ((credit_issued(), credit_held()), {"store_credit": -1265, "goodwill": 1265}),
        (
            (credit_issued(), credit_held(), credit_spent()),
            {"store_credit": 0, "goodwill": 1265, "buyer": -1265},
        ),
        ((credit_issued(), credit_expired()), {"store_credit": 0, "goodwill": 1265, "breakage": -1265}),
    ],
)
def test_the_books_say_who_has_the_money_and_add_up_to_zero(facts, expected):
    balances = {}
    for posting in folded(LEDGER, *facts).values():
        balances[posting.account] = balances.get(posting.account, 0) + posting.amount

    assert expected == balances
    assert 0 == sum(balances.values())


def test_rows_of_an_order_are_found_by_its_partition_and_those_of_a_payment_are_not():
    assert f"order-{ORDER}" == order_payments.partition_key_of((ORDER,))
    assert not payment_details.knows_partition
