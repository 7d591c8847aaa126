"""Where order, payment and parcel stand, and what happened one after another."""

import pytest

from counterfoil.testing.spec import folded
from domain.ids import PaymentId
from domain.money import Minor
from domain.ordering.events import ROUNDED_BY_LINE
from projections.ordering import history as folds
from projections.ordering.views import order_history
from read_api.ordering import HISTORIES
from tests.cart_examples import line_off, line_tax, promotion_off, sale_tax
from tests.examples import (
    CUSTOMER,
    LONG_AGO,
    NOW,
    ORDER,
    cancelled,
    confirmed,
    label_bought,
    placed,
    rejected,
    shipped,
)
from tests.payment_examples import (
    TOTAL,
    authorisation_declined,
    authorisation_requested,
    authorisation_voided,
    capture_requested,
    manual_payment_recorded,
    order_credit_changed,
    payment_authorised,
    payment_captured,
    refund_succeeded,
)
from tests.purchase_examples import (
    backorder_filled,
    dispatch_overdue,
    hold_lifted,
    loss_claimed,
    loss_settled,
    manual_label_recorded,
    order_backordered,
    order_held,
    order_stock_lost,
    order_stock_replaced,
    parcel_lost,
)

OTHER = PaymentId("pay-2")


def history(*events):
    return folded(order_history, placed(), *events)[ORDER,]


def test_a_history_says_what_was_taken_off_and_how_it_was_taxed():
    discounts, promotions, tax = (line_off(195),), (promotion_off(195),), sale_tax(line_tax(117))
    cheaper = placed(discounts=discounts, promotions=promotions, tax=tax)

    row = folded(order_history, cheaper)[ORDER,]

    assert (discounts, promotions, tax, ROUNDED_BY_LINE) == (
        row.discounts,
        row.promotions,
        row.tax,
        row.rounding,
    )


def steps(*events):
    return [step.step for step in history(*events).timeline]


@pytest.mark.parametrize(
    ("later", "status", "fulfilment"),
    [
        ((), "placed", "unfulfilled"),
        ((confirmed(),), "confirmed", "unfulfilled"),
        ((confirmed(), shipped()), "shipped", "shipped"),
        ((rejected(),), "rejected", "none"),
        ((confirmed(), cancelled()), "cancelled", "none"),
        ((order_held(), confirmed()), "confirmed", "held"),
        ((confirmed(), order_held(), order_held(reason="fraud"), hold_lifted()), "confirmed", "held"),
        ((confirmed(), order_held(), hold_lifted()), "confirmed", "unfulfilled"),
        ((confirmed(), order_held(), cancelled()), "cancelled", "none"),
        ((confirmed(), dispatch_overdue()), "confirmed", "overdue"),
        ((confirmed(), dispatch_overdue(), order_held(), hold_lifted()), "confirmed", "unfulfilled"),
        ((confirmed(), dispatch_overdue(), shipped()), "shipped", "shipped"),
        ((confirmed(), shipped(), parcel_lost(), loss_claimed()), "shipped", "lost"),
        ((confirmed(), shipped(), parcel_lost(), loss_settled()), "shipped", "none"),
        ((confirmed(), shipped(), parcel_lost(), loss_settled(remedy="replacement")), "shipped", "shipped"),
    ],
)
def test_an_order_says_where_it_and_its_parcel_stand(later, status, fulfilment):
    row = history(*later)

    assert (status, "none", fulfilment, CUSTOMER) == (
        row.status,
        row.payment,
        row.fulfilment,
        row.customer_id,
    )


def test_orders_are_listed_by_where_payment_and_parcel_stand():
    """medusa 14095, 11600: both were computed when an order was read, so no list could be filtered by them."""
    filtered = {each.column for each in HISTORIES.filters}

    assert {"status", "payment", "fulfilment"} <= filtered & {each.name for each in order_history.columns}


def test_a_timeline_has_the_steps_of_order_payment_and_parcel_in_the_order_of_the_log():
    row = history(
        authorisation_requested(),
        payment_authorised(),
        confirmed(),
        shipped(),
        capture_requested(),
        payment_captured(),
        label_bought(),
    )

    assert ("shipped", "captured", "shipped") == (row.status, row.payment, row.fulfilment)
    assert [
        ("placed", LONG_AGO, 1265, None),
        ("payment_requested", NOW, 1265, "pay-1"),
        ("payment_authorised", NOW, 1265, "pay-1"),
        ("confirmed", NOW, None, None),
        ("shipped", NOW, None, None),
        ("payment_captured", NOW, 1265, "pay-1"),
        ("label_bought", NOW, None, None),
    ] == [(step.step, step.at, step.amount, step.payment_id) for step in row.timeline]


def test_a_label_that_was_bought_by_hand_is_a_step_like_any_other():
    row = history(manual_label_recorded(), parcel_lost(), loss_settled(remedy="replacement"))

    assert ["label_bought", "parcel_lost", "loss_replaced"] == [step.step for step in row.timeline[1:]]
    assert "shipped" == row.fulfilment


def test_a_timeline_says_under_which_number_the_carrier_has_each_parcel():
    row = history(
        label_bought(), parcel_lost(), loss_settled(remedy="replacement"), label_bought(tracking="2")
    )

    assert [label_bought().tracking, None, None, "2"] == [step.tracking for step in row.timeline[1:]]


def test_a_timeline_says_what_an_order_was_held_for():
    row = history(confirmed(), order_held(), order_held(reason="fraud"), hold_lifted())

    lost = history(confirmed(), order_stock_lost(), order_stock_replaced())

    assert [("stock_lost", "85123A"), ("stock_replaced", "85123A")] == [
        (step.step, step.sku) for step in lost.timeline[2:]
    ]
    waited = history(confirmed(), order_backordered(), backorder_filled())
    assert [("backordered", "85123A"), ("backorder_filled", "85123A")] == [
        (step.step, step.sku) for step in waited.timeline[2:]
    ]
    assert ("fraud",) == row.holds
    assert [("held", "payment"), ("held", "fraud"), ("hold_lifted", "payment")] == [
        (step.step, step.hold) for step in row.timeline[2:]
    ]


def test_two_payments_are_compared_with_the_total_together():
    half = {"payment_id": OTHER, "amount": Minor(600)}
    held = history(payment_authorised(amount=Minor(665)))
    both = history(payment_authorised(amount=Minor(665)), payment_authorised(**half))
    paid = history(
        payment_authorised(amount=Minor(665)),
        payment_captured(amount=Minor(665)),
        manual_payment_recorded(**half),
    )

    assert ["partial", "authorised", "captured"] == [row.payment for row in (held, both, paid)]


@pytest.mark.parametrize(
    ("facts", "payment", "sums"),
    [
        (("held",), "authorised", (TOTAL, 0, 0)),
        (("held", "released"), "none", (0, 0, 0)),
        (("held", "spent"), "captured", (0, TOTAL, 0)),
        (("held", "spent", "returned"), "refunded", (0, TOTAL, TOTAL)),
    ],
)
def test_a_history_says_what_store_credit_pays_for_and_what_of_it_is_its_customers_again(
    facts, payment, sums
):
    row = history(*(order_credit_changed(status=each) for each in facts))

    assert (payment, sums) == (row.payment, (row.credit_held, row.credit_spent, row.credit_returned))
    assert (0, 0, 0) == (row.held, row.captured, row.returned), "the provider has no part in it"
    assert [(f"credit_{each}", NOW, TOTAL) for each in facts] == [
        (step.step, step.at, step.amount) for step in row.timeline[1:]
    ]


def test_store_credit_and_payments_are_compared_with_the_total_together():
    of_credit = {"amount": Minor(265)}
    half = (order_credit_changed(**of_credit), authorisation_requested(amount=Minor(1_000)))
    held = (*half, payment_authorised(amount=Minor(1_000)))
    spent = (*held, payment_captured(amount=Minor(1_000)), order_credit_changed(**of_credit, status="spent"))
    back = order_credit_changed(**of_credit, status="returned")

    assert ["partial", "authorised", "captured"] == [history(*each).payment for each in (half, held, spent)]
    assert "captured" == history(*spent, back).payment, "what was captured has not gone back"
    refunded = refund_succeeded(amount=Minor(1_000))
    assert ["captured", "refunded"] == [
        history(*spent, *each).payment for each in ((refunded,), (refunded, back))
    ]


def test_store_credit_of_an_order_that_is_in_no_log_makes_no_row():
    assert {} == folded(order_history, order_credit_changed())


def test_what_a_payment_does_not_collect_any_more_is_not_held():
    part = (payment_authorised(), capture_requested(), payment_captured(amount=Minor(265)))
    row = history(*part, authorisation_voided(amount=Minor(1000), released=Minor(1000)))

    assert (0, 265, "partial") == (row.held, row.captured, row.payment)


def test_an_attempt_that_was_declined_waits_for_nobody():
    asked = authorisation_requested()

    assert ("pending", "none") == (
        history(asked).payment,
        history(asked, authorisation_declined()).payment,
    )
    assert ["placed", "payment_requested", "payment_declined"] == steps(asked, authorisation_declined())


def test_a_payment_of_an_order_that_is_in_no_log_makes_no_row():
    assert {} == {key: row for key, row in folded(order_history, payment_captured()).items() if row}


def test_a_timeline_keeps_its_newest_steps(monkeypatch):
    monkeypatch.setattr(folds, "STEPS_MAX", 2)

    assert ["confirmed", "shipped"] == steps(confirmed(), shipped())
