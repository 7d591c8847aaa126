"""The decisions of the process of an order about its payment: what it gives back, and has held again."""

from datetime import timedelta
from functools import reduce

import pytest

from domain.ids import CaptureId, RefundId
from domain.money import Minor
from domain.payments import ending
from domain.payments.payment import evolve
from tests.domain.payments.test_payment import CAPTURED, HELD, after
from tests.payment_examples import (
    AUTH,
    EXPIRES,
    NOW,
    TOTAL,
    authorisation_expired,
    authorisation_requested,
    capture_failed,
    capture_requested,
    manual_payment_recorded,
    manual_refund_recorded,
    payment_authorised,
    payment_captured,
    refund_failed,
    refund_requested,
    refund_reversed,
    refund_succeeded,
)

PART = Minor(100)


def went(name, number, *outcomes, amount=PART, auth_ref=AUTH):
    """A refund of a part, and what came of it."""
    it = {"refund_id": RefundId(name), "amount": amount}
    asked = refund_requested(**it, number=number, auth_ref=auth_ref, lines=(), shipping=Minor(0))
    return (asked, *(each(**it) for each in outcomes))


def captured(name, number, auth_ref, amount):
    """A part that an authorisation collected."""
    it = {"capture_id": CaptureId(name), "amount": amount}
    return capture_requested(**it, number=number, auth_ref=auth_ref), payment_captured(**it)


def after_these(payment, *events):
    """The payment after more events."""
    return reduce(evolve, events, payment)


FAILED = [event for n in (1, 2, 3) for event in went(f"goodwill-{n}", n, refund_failed)]
CAME_BACK = went("goodwill-1", 1, refund_succeeded, refund_reversed)


@pytest.mark.parametrize(
    ("before", "rest"),
    [
        (FAILED, TOTAL),
        (CAME_BACK, TOTAL),
        ((*CAME_BACK, manual_refund_recorded(amount=PART)), TOTAL - PART),
        ((*FAILED, *went("goodwill-4", 4, refund_succeeded)), TOTAL - PART),
    ],
)
def test_all_that_is_left_is_given_back_whatever_came_of_refunds_that_staff_made_before(before, rest):
    payment = after(*CAPTURED, *before)

    (asked,) = ending.let_go(payment, now=NOW)

    assert (rest, f"cancelled~{len(payment.refunds) + 1}") == (asked.amount, asked.refund_id)


def test_nothing_more_is_asked_once_its_own_refund_came_back_or_failed_three_times():
    failed = [event for n in (1, 2, 3) for event in went(f"cancelled~{n}", n, refund_failed)]

    assert [] != ending.let_go(after(*CAPTURED, *failed[:4]), now=NOW)
    assert [] == ending.let_go(after(*CAPTURED, *failed), now=NOW)
    assert [] == ending.let_go(
        after(*CAPTURED, *went("cancelled~1", 1, refund_succeeded, refund_reversed)), now=NOW
    )


def test_what_was_taken_by_hand_goes_back_by_hand():
    assert [] == ending.let_go(after(manual_payment_recorded()), now=NOW)


def test_the_share_of_an_authorisation_goes_back_whatever_came_of_that_of_another():
    more, less = Minor(TOTAL - PART), PART
    both = after(
        *HELD,
        *captured("first", 1, AUTH, more),
        authorisation_expired(amount=less),
        authorisation_requested(attempt=2, amount=less),
        payment_authorised(attempt=2, auth_ref="A-2", amount=less),
        *captured("rest", 2, "A-2", less),
    )

    def asked(*events):
        requested = ending.let_go(after_these(both, *events), now=NOW)
        return [(each.auth_ref, each.amount) for each in requested]

    failed = [each for n in (1, 2, 3) for each in went(f"cancelled~{n}", n, refund_failed, amount=more)]
    came_back = went("cancelled~1", 1, refund_succeeded, refund_reversed, amount=more)
    refused = [each for n in (4, 5, 6) for each in went(f"cancelled~{n}", n, refund_failed, auth_ref="A-2")]

    assert [(AUTH, more)] == asked() == asked(*failed[:4])
    assert [("A-2", less)] == asked(*failed) == asked(*came_back)
    assert [("A-2", less)] == asked(*failed, *refused[:4])
    assert [] == asked(*failed, *refused), "it is refused by both"
    assert [] == asked(*failed, *went("cancelled~4", 4, refund_succeeded, auth_ref="A-2"))


def test_what_is_held_is_held_again_by_a_clock_that_is_a_little_behind_the_timer():
    again = [
        authorisation_expired(expired_at=EXPIRES),
        authorisation_requested(attempt=2, requested_at=EXPIRES),
    ]
    behind = timedelta(milliseconds=40)

    assert (
        again == ending.renew(after(*HELD), now=EXPIRES) == ending.renew(after(*HELD), now=EXPIRES - behind)
    )
    assert [] == ending.renew(after(*HELD), now=EXPIRES - timedelta(hours=1)), "it is held for longer by now"
    assert [] == ending.renew(after(*HELD, capture_requested()), now=EXPIRES), "its outcome is awaited"
    assert again == ending.renew(after(*HELD, capture_requested(), capture_failed()), now=EXPIRES)
