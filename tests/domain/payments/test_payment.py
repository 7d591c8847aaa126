"""What a payment decides: requests, outcomes, refusals, and the public reports of shops that lost track of money."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from domain.event import partition_key_of, tags_of
from domain.ids import CaptureId, DisputeId, PaymentId, RefundId
from domain.money import Minor
from domain.payments import authorising, capturing, disputes, refunding
from domain.payments.authorising import covering
from domain.payments.events import RefundedLine
from domain.payments.payment import evolve
from domain.payments.refunding import RefundRequest
from domain.payments.refusals import (
    AmountExceedsCapturable,
    AmountExceedsDue,
    AmountExceedsRefundable,
    AttemptInProgress,
    AuthorisationExpired,
    CaptureIdTaken,
    CaptureInProgress,
    CardNumberGiven,
    Declined,
    ManuallyPaid,
    NotAuthorised,
    PaymentIdTaken,
    PaymentIsClosed,
    PaymentUnknown,
    RefundDoesNotAddUp,
    RefundIdTaken,
    WebhookTooEarly,
)
from tests.payment_examples import (
    AUTH,
    CAPTURE,
    DISPUTE,
    EXPIRES,
    METHOD,
    NOW,
    ONE_OF_EACH,
    ORDER,
    PAYABLE,
    PAYMENT,
    REFUND,
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
    customer_action_required,
    manual_payment_recorded,
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

VISA = "4111 1111 1111 1111"
REQUESTED = (payment_created(), authorisation_requested())
HELD = (*REQUESTED, payment_authorised())
CAPTURED = (*HELD, capture_requested(), payment_captured())
VOIDING = (*HELD, void_requested())
IT = {"payment_id": PAYMENT, "now": NOW}
WHOLE = RefundRequest(
    refund_id=REFUND,
    amount=TOTAL,
    lines=(RefundedLine(line_id=1, quantity=3, amount=Minor(765)),),
    shipping=Minor(500),
    reason="return",
)


def after(*events):
    state = None
    for event in events:
        state = evolve(state, event)
    return state


def create(*events, **changes):
    asked = {**IT, "of": PAYABLE, "amount": None, "method_ref": METHOD, "capture": "manual", **changes}
    return authorising.create(after(*events), **asked)


def authorise(*events, method_ref=None, now=NOW, payment_id=PAYMENT):
    return authorising.authorise(after(*events), payment_id=payment_id, method_ref=method_ref, now=now)


def capture(*events, amount=None, capture_id=CAPTURE, now=NOW):
    return capturing.capture(
        after(*events), payment_id=PAYMENT, capture_id=capture_id, amount=amount, shipment_id=None, now=now
    )


def refund(*events, request=WHOLE, **changes):
    return refunding.refund(after(*events), request=replace(request, **changes), **IT)


def part(number, amount, **changes):
    return replace(
        WHOLE,
        refund_id=RefundId(f"part-{number}"),
        amount=Minor(amount),
        lines=(),
        shipping=Minor(0),
        **changes,
    )


def test_every_event_belongs_to_the_partition_of_its_order():
    assert {f"order-{ORDER}"} == {partition_key_of(event) for event in ONE_OF_EACH}


# Creation


def test_a_payment_is_created_once_for_what_is_due():
    assert [payment_created()] == create()
    assert (f"payments:{ORDER}",) == tags_of(payment_created())
    with pytest.raises(PaymentIdTaken):
        create(payment_created())


def test_the_payments_of_an_order_are_no_more_than_its_total():
    """saleor PR 15956: two payments on one order."""
    half = replace(PAYABLE, covered=Minor(1000))

    assert [payment_created(amount=Minor(265))] == create(of=half)
    with pytest.raises(AmountExceedsDue, match=r"^265 is due for order '536365', not 266\.$"):
        create(of=half, amount=Minor(266))
    with pytest.raises(AmountExceedsDue, match=r"^Nothing is due for order '536365'\.$"):
        create(of=replace(PAYABLE, covered=TOTAL))


def test_what_a_payment_will_not_collect_is_due_again():
    covered = Minor(0)
    for event in (payment_created(), authorisation_voided(), manual_payment_recorded(amount=Minor(65))):
        covered = covering(covered, event)

    assert 65 == covered


def test_a_payment_by_hand_is_captured_at_once_and_has_no_provider():
    asked = {"of": PAYABLE, "amount": None, "method": "cash", "reference": "receipt 17", "now": NOW}
    assert [manual_payment_recorded()] == authorising.record_manual(None, payment_id=TILL, **asked)
    manual = after(manual_payment_recorded())
    assert (TOTAL, TOTAL) == (manual.authorised, manual.captured)

    for refused in (
        lambda: authorising.void(manual, payment_id=TILL, now=NOW),
        lambda: authorise(manual_payment_recorded(), payment_id=TILL),
        lambda: refund(manual_payment_recorded()),
    ):
        with pytest.raises(ManuallyPaid):
            refused()


@pytest.mark.parametrize("method", [VISA, "4111111111111111", "4111-1111-1111-1111", "token 378282246310005"])
def test_a_card_number_is_refused_wherever_a_client_sends_it(method):
    for member, refused in (
        ("method_ref", lambda: create(method_ref=method)),
        ("payment_id", lambda: create(payment_id=PaymentId(method))),
        ("method_ref", lambda: authorise(payment_created(), method_ref=method)),
        ("capture_id", lambda: capture(*HELD, capture_id=CaptureId(method))),
        ("refund_id", lambda: refund(*CAPTURED, refund_id=RefundId(method))),
        (
            "reference",
            lambda: authorising.record_manual(
                None, of=PAYABLE, amount=None, method="cash", reference=method, **IT
            ),
        ),
    ):
        with pytest.raises(CardNumberGiven) as given:
            refused()
        assert [(member,)] == [place.path for place in given.value.places()]


def test_a_card_number_in_the_words_of_the_provider_is_masked():
    (declined,) = authorising.record_declined(
        after(*REQUESTED), attempt=1, code=f"no such card {VISA}", retryable=False, now=NOW
    )

    assert "no such card [card number]" == declined.code


# Authorisation


def test_an_authorisation_is_requested_and_its_outcome_recorded_once():
    assert [authorisation_requested()] == authorise(payment_created())
    outcome = {"amount": TOTAL, "auth_ref": AUTH, "expires_at": EXPIRES, "now": NOW}
    requested = after(*REQUESTED)

    assert [payment_authorised()] == authorising.record_authorised(requested, attempt=1, **outcome)
    assert [] == authorising.record_authorised(requested, attempt=2, **outcome)
    assert [] == authorising.record_authorised(after(*HELD), attempt=1, **outcome)
    assert [] == authorise(*HELD)


def test_an_automatic_capture_is_requested_with_the_authorisation():
    requested = after(payment_created(capture="auto"), authorisation_requested())

    assert [
        payment_authorised(),
        capture_requested(capture_id=CaptureId("auto~1")),
    ] == authorising.record_authorised(
        requested, attempt=1, amount=TOTAL, auth_ref=AUTH, expires_at=EXPIRES, now=NOW
    )


@pytest.mark.parametrize("open_", [(), (authorisation_uncertain(),), (customer_action_required(),)])
def test_one_attempt_is_open_at_a_time(open_):
    with pytest.raises(AttemptInProgress):
        authorise(*REQUESTED, *open_)
    with pytest.raises(AttemptInProgress):
        authorising.void(after(*REQUESTED, *open_), **IT)


def test_that_nobody_knows_is_recorded_once_and_ended_by_any_outcome():
    requested, uncertain = after(*REQUESTED), after(*REQUESTED, authorisation_uncertain())

    assert [authorisation_uncertain()] == authorising.record_uncertain(requested, attempt=1, now=NOW)
    assert [] == authorising.record_uncertain(uncertain, attempt=1, now=NOW)
    assert [customer_action_required()] == authorising.record_action_required(
        uncertain, attempt=1, kind="3d-secure", now=NOW
    )
    assert [authorisation_declined()] == authorising.record_declined(
        uncertain, attempt=1, code="insufficient_funds", retryable=True, now=NOW
    )


def test_a_soft_decline_is_tried_again_and_a_hard_one_with_another_method_only():
    soft = (*REQUESTED, authorisation_declined())
    hard = (*REQUESTED, authorisation_declined(retryable=False, code="stolen"))

    assert [authorisation_requested(attempt=2)] == authorise(*soft)
    assert [authorisation_requested(attempt=2, method_ref="pm_other")] == authorise(
        *hard, method_ref="pm_other"
    )
    with pytest.raises(Declined) as refused:
        authorise(*hard)
    assert "stolen" == refused.value.provider_code


# Expiry


def test_an_expired_authorisation_is_no_dead_end():
    """medusa 13867, woocommerce-payments 739: an authorisation that expired left the order stuck."""
    later = EXPIRES + timedelta(seconds=1)
    with pytest.raises(AuthorisationExpired):
        capture(*HELD, now=later)

    expired, again = authorise(*HELD, now=later)

    assert authorisation_expired(expired_at=later) == expired
    assert authorisation_requested(attempt=2, requested_at=later) == again
    with pytest.raises(AuthorisationExpired):
        capture(*HELD, authorisation_expired())
    assert [authorisation_voided(released=Minor(0))] == authorising.void(
        after(*HELD, authorisation_expired()), **IT
    )


def test_a_second_authorisation_holds_the_rest_alone_and_what_was_captured_stays():
    first = capture_requested(amount=Minor(765)), payment_captured(amount=Minor(765))
    expired = (*HELD, *first, authorisation_expired(amount=Minor(500)))
    (again,) = authorise(*expired)

    assert 500 == again.amount
    state = after(*expired, again, payment_authorised(attempt=2, amount=Minor(500), auth_ref="A-2"))
    assert (1265, 765, 500) == (state.authorised, state.captured, state.capturable)


def test_nothing_expires_while_a_capture_has_no_outcome():
    assert [] == authorising.record_expired(after(*HELD, capture_requested()), now=EXPIRES)


# Capture


def test_parts_are_captured_until_nothing_is_left():
    first = capture(*HELD, amount=Minor(765))
    assert [capture_requested(amount=Minor(765))] == first
    second = capture(*HELD, *first, capture_id=CaptureId("parcel-2"))

    assert [capture_requested(amount=Minor(500), number=2, capture_id=CaptureId("parcel-2"))] == second
    with pytest.raises(AmountExceedsCapturable, match=r"^Nothing of payment 'pay-1' can be captured\.$"):
        capture(*HELD, *first, *second, capture_id=CaptureId("parcel-3"), amount=Minor(1))


def test_the_same_capture_again_decides_nothing():
    assert [] == capture(*HELD, capture_requested())
    assert [] == capture(*CAPTURED, amount=TOTAL)
    with pytest.raises(CaptureIdTaken):
        capture(*CAPTURED, amount=Minor(1))
    with pytest.raises(CaptureIdTaken):
        capture(*HELD, capture_requested(), capture_failed())


@pytest.mark.parametrize(
    ("facts", "refusal"),
    [
        ((payment_created(),), NotAuthorised),
        (REQUESTED, NotAuthorised),
        (VOIDING, PaymentIsClosed),
        ((*VOIDING, authorisation_voided()), PaymentIsClosed),
        ((), PaymentUnknown),
    ],
)
def test_only_what_is_held_is_captured(facts, refusal):
    with pytest.raises(refusal):
        capture(*facts)


def test_the_outcome_of_a_capture_is_recorded_once_and_a_failed_one_may_be_captured_again():
    pending = after(*HELD, capture_requested())
    assert [payment_captured()] == capturing.record_captured(
        pending, number=1, capture_ref="C-000002", now=NOW
    )
    assert [capture_failed()] == capturing.record_capture_failed(
        pending, number=1, code="authorisation_expired", now=NOW
    )
    failed = (*HELD, capture_requested(), capture_failed())
    assert [] == capturing.record_captured(after(*failed), number=1, capture_ref="late", now=NOW)

    (again,) = capture(*failed, capture_id=CaptureId("again"))

    assert (2, TOTAL) == (again.number, again.amount)


# Void


def test_only_the_uncaptured_rest_is_voided():
    part_captured = (*HELD, capture_requested(amount=Minor(765)), payment_captured(amount=Minor(765)))

    assert [void_requested(amount=Minor(500))] == authorising.void(after(*part_captured), **IT)
    assert [] == authorising.void(after(*CAPTURED), **IT)
    with pytest.raises(CaptureInProgress):
        authorising.void(after(*HELD, capture_requested()), **IT)


def test_a_payment_that_holds_nothing_is_voided_without_the_provider():
    assert [authorisation_voided(released=Minor(0))] == authorising.void(after(payment_created()), **IT)
    assert [] == authorising.void(after(payment_created(), authorisation_voided()), **IT)
    with pytest.raises(PaymentIsClosed):
        authorise(payment_created(), authorisation_voided())


def test_the_outcome_of_a_void_is_recorded_once_and_a_failed_one_leaves_what_is_held():
    voiding = after(*VOIDING)
    assert [authorisation_voided()] == authorising.record_voided(voiding, number=1, now=NOW)
    assert [void_failed()] == authorising.record_void_failed(voiding, number=1, code="unknown", now=NOW)
    failed = after(*VOIDING, void_failed())
    assert [] == authorising.record_voided(failed, number=1, now=NOW)
    assert [void_requested(number=2)] == authorising.void(failed, **IT)


# Refunds


def test_a_refund_goes_back_with_the_shipping_and_its_tax():
    """vendure 989: shipping was lost. vendure 2393: a line's amount is after its promotions, not its list price."""
    assert [refund_requested()] == refund(*CAPTURED)
    with pytest.raises(RefundDoesNotAddUp) as refused:
        refund(*CAPTURED, shipping=Minor(417))
    assert (1265, 1182) == (refused.value.amount, refused.value.parts)


def test_partial_refunds_repeat_until_all_is_refunded():
    """vendure 868: the second partial refund was refused."""
    events = list(CAPTURED)
    for number, amount in enumerate((400, 400, 465)):
        (requested,) = refund(*events, request=part(number, amount))
        events += [
            requested,
            refund_succeeded(refund_id=RefundId(f"part-{number}"), amount=Minor(amount)),
        ]

    assert 0 == after(*events).refundable
    with pytest.raises(AmountExceedsRefundable):
        refund(*events, request=part(9, 1))


def test_nothing_is_refunded_by_a_refund_of_nothing():
    """vendure 2302: a partial refund was recorded with the amount zero."""
    with pytest.raises(AmountExceedsRefundable):
        refund(*CAPTURED, request=part(0, 0))


def test_the_same_refund_again_decides_nothing():
    assert [] == refund(*CAPTURED, refund_requested())
    with pytest.raises(RefundIdTaken):
        refund(*CAPTURED, refund_requested(), amount=Minor(1), lines=(), shipping=Minor(0))
    with pytest.raises(RefundIdTaken):
        refund(*CAPTURED, refund_requested(), refund_failed())


def test_a_refund_is_not_more_than_one_authorisation_collected():
    first = (
        *HELD,
        capture_requested(amount=Minor(765)),
        payment_captured(amount=Minor(765)),
        authorisation_expired(amount=Minor(500)),
        authorisation_requested(attempt=2, amount=Minor(500)),
        payment_authorised(attempt=2, amount=Minor(500), auth_ref="A-2"),
        capture_requested(capture_id=CaptureId("2"), number=2, auth_ref="A-2", amount=Minor(500)),
        payment_captured(capture_id=CaptureId("2"), amount=Minor(500)),
    )
    with pytest.raises(AmountExceedsRefundable) as refused:
        refund(*first)

    assert 765 == refused.value.refundable
    assert "A-2" == refund(*first, request=part(1, 500))[0].auth_ref
    assert AUTH == refund(*first, request=part(1, 501))[0].auth_ref


def test_the_outcome_of_a_refund_is_recorded_once_and_what_failed_or_came_back_is_refunded_again():
    pending = after(*CAPTURED, refund_requested())
    assert [refund_succeeded()] == refunding.record_refunded(
        pending, number=1, refund_ref="R-000003", now=NOW
    )
    assert [refund_failed()] == refunding.record_refund_failed(
        pending, number=1, code="account_closed", now=NOW
    )
    done = (*CAPTURED, refund_requested(), refund_succeeded())
    assert [refund_reversed()] == refunding.record_reversed(after(*done), number=1, **IT)
    assert [] == refunding.record_refunded(after(*done), number=1, refund_ref="R", now=NOW)
    assert [] == refunding.record_refund_failed(after(*done), number=1, code="late", now=NOW)
    for back in (
        (refund_requested(), refund_failed()),
        (refund_requested(), refund_succeeded(), refund_reversed()),
    ):
        assert TOTAL == after(*CAPTURED, *back).refundable
        assert 2 == refund(*CAPTURED, *back, refund_id=RefundId("again"))[0].number


# Chargebacks and webhooks


def test_a_disputed_amount_is_not_refunded_besides():
    opened = (*CAPTURED, chargeback_opened())
    asked = {"dispute_id": DISPUTE, "amount": TOTAL, "reason": "fraud", **IT}
    assert [chargeback_opened()] == disputes.record_opened(after(*CAPTURED), **asked)
    assert [] == disputes.record_opened(after(*opened), **asked)
    with pytest.raises(AmountExceedsRefundable):
        refund(*opened)
    with pytest.raises(AmountExceedsRefundable):
        refund(*opened, chargeback_lost())

    assert [refund_requested()] == refund(*opened, chargeback_won())


def test_a_dispute_ends_once():
    opened = after(*CAPTURED, chargeback_opened())
    asked = {"dispute_id": DISPUTE, **IT}

    assert [chargeback_won()] == disputes.record_closed(opened, won=True, **asked)
    assert [chargeback_lost()] == disputes.record_closed(opened, won=False, **asked)
    assert [] == disputes.record_closed(
        after(*CAPTURED, chargeback_opened(), chargeback_won()), won=False, **asked
    )


def test_a_webhook_that_comes_before_what_it_follows_records_nothing():
    """stripe-cli 418: webhooks come in any order."""
    for early in (
        lambda: disputes.record_opened(after(*HELD), dispute_id=DISPUTE, amount=TOTAL, reason="fraud", **IT),
        lambda: disputes.record_closed(after(*CAPTURED), dispute_id=DisputeId("other"), won=True, **IT),
        lambda: refunding.record_reversed(after(*CAPTURED, refund_requested()), number=1, **IT),
        lambda: refunding.record_reversed(after(*CAPTURED), number=1, **IT),
    ):
        with pytest.raises(WebhookTooEarly):
            early()


def test_a_webhook_is_ingested_once():
    example = psp_event_ingested()
    asked = {"psp_event_id": example.psp_event_id, "kind": example.type, "digest": example.hash, **IT}

    assert [example] == disputes.ingest(after(*CAPTURED), **asked)
    assert [] == disputes.ingest(after(*CAPTURED, example), **asked)
    with pytest.raises(PaymentUnknown):
        disputes.ingest(None, **asked)
