"""Money is conserved: whatever is decided about a payment, and whatever a provider answers, nothing is made or lost."""

from datetime import timedelta

import hypothesis
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from counterfoil.testing.spec import folded
from domain.ids import CaptureId, DisputeId, RefundId
from domain.money import Minor
from domain.payments import authorising, capturing, disputes, refunding
from domain.payments.payment import OPEN, MovementStep, Status, evolve
from domain.payments.refunding import RefundRequest
from domain.rejection import Rejection
from projections.payments.ledger import LEDGER
from tests.payment_examples import NOW, PAYABLE, PAYMENT, TOTAL
from tests.sizes import PROPERTIES

AMOUNTS = st.integers(1, TOTAL + 1).map(Minor)
NUMBERS = st.integers(1, 4)


class Paying(RuleBasedStateMachine):
    """One payment, and a provider that answers whatever it likes, when and as often as it likes."""

    def __init__(self):
        super().__init__()
        self.events = authorising.create(
            None, payment_id=PAYMENT, of=PAYABLE, amount=None, method_ref="pm", capture="manual", now=NOW
        )
        self.state = evolve(None, self.events[0])
        self.now = NOW
        self.made = 0

    def decide(self, decision, **inputs):
        try:
            decided = decision(self.state, **inputs, now=self.now)
        except Rejection:
            return
        for event in decided:
            self.state = evolve(self.state, event)
            self.events.append(event)

    def number(self):
        self.made += 1
        return self.made

    @rule(days=st.integers(0, 4))
    def wait(self, days):
        self.now += timedelta(days=days)

    @rule()
    def authorise(self):
        self.decide(authorising.authorise, payment_id=PAYMENT, method_ref=None)

    @rule(attempt=NUMBERS)
    def hold(self, attempt):
        held = Minor(self.state.amount - self.state.captured)
        self.decide(
            authorising.record_authorised,
            attempt=attempt,
            amount=held,
            auth_ref=f"A-{attempt}",
            expires_at=self.now + timedelta(days=7),
        )

    @rule(attempt=NUMBERS)
    def require_action(self, attempt):
        self.decide(authorising.record_action_required, attempt=attempt, kind="3d-secure")

    @rule(attempt=NUMBERS)
    def doubt(self, attempt):
        self.decide(authorising.record_uncertain, attempt=attempt)

    @rule(attempt=NUMBERS, retryable=st.booleans())
    def decline(self, attempt, retryable):
        self.decide(authorising.record_declined, attempt=attempt, code="no", retryable=retryable)

    @rule()
    def expire(self):
        self.decide(authorising.record_expired)

    @rule(amount=st.none() | AMOUNTS)
    def capture(self, amount):
        self.decide(
            capturing.capture,
            payment_id=PAYMENT,
            capture_id=CaptureId(str(self.number())),
            amount=amount,
            shipment_id=None,
        )

    @rule(number=NUMBERS)
    def capture_succeeds(self, number):
        self.decide(capturing.record_captured, number=number, capture_ref="C")

    @rule(number=NUMBERS)
    def capture_fails(self, number):
        self.decide(capturing.record_capture_failed, number=number, code="no")

    @rule()
    def void(self):
        self.decide(authorising.void, payment_id=PAYMENT)

    @rule(number=NUMBERS)
    def void_succeeds(self, number):
        self.decide(authorising.record_voided, number=number)

    @rule(number=NUMBERS)
    def void_fails(self, number):
        self.decide(authorising.record_void_failed, number=number, code="no")

    @rule(amount=AMOUNTS, to=st.sampled_from(("original", "store_credit")))
    def refund(self, amount, to):
        request = RefundRequest(refund_id=RefundId(str(self.number())), amount=amount, reason="other", to=to)
        self.decide(refunding.refund, payment_id=PAYMENT, request=request)

    @rule(amount=AMOUNTS)
    def refund_by_hand(self, amount):
        given = {"reason": "other", "method": "cash", "reference": ""}
        self.decide(
            refunding.record_manual,
            payment_id=PAYMENT,
            refund_id=RefundId(str(self.number())),
            amount=amount,
            **given,
        )

    @rule(number=NUMBERS)
    def refund_succeeds(self, number):
        self.decide(refunding.record_refunded, number=number, refund_ref="R")

    @rule(number=NUMBERS)
    def refund_fails(self, number):
        self.decide(refunding.record_refund_failed, number=number, code="no")

    @rule(number=NUMBERS)
    def refund_comes_back(self, number):
        self.decide(refunding.record_reversed, payment_id=PAYMENT, number=number)

    @rule(number=NUMBERS, amount=AMOUNTS)
    def dispute(self, number, amount):
        self.decide(
            disputes.record_opened,
            payment_id=PAYMENT,
            dispute_id=DisputeId(str(number)),
            amount=amount,
            reason="fraud",
        )

    @rule(number=NUMBERS, won=st.booleans())
    def dispute_ends(self, number, won):
        self.decide(disputes.record_closed, payment_id=PAYMENT, dispute_id=DisputeId(str(number)), won=won)

    @invariant()
    def captured_at_most_what_was_authorised(self):
        assert 0 <= self.state.captured + self.state.capturing <= self.state.authorised <= self.state.amount

    @invariant()
    def gone_at_most_what_was_captured(self):
        state = self.state
        to_method = state.refunded - state.credited + state.refunding
        parts = (to_method, state.credited, state.refunding, state.disputed, state.lost)
        assert min(parts) >= 0
        assert state.refunded + state.refunding <= state.captured
        assert to_method + state.disputed + state.lost <= state.captured
        assert all(left >= 0 for left in state.collected.values())

    @invariant()
    def sums_are_those_of_their_parts(self):
        state = self.state

        def total(movements, step):
            return sum(each.amount for each in movements.values() if each.step is step)

        assert (total(state.captures, MovementStep.PENDING), total(state.captures, MovementStep.DONE)) == (
            state.capturing,
            state.captured,
        )
        assert (total(state.refunds, MovementStep.PENDING), total(state.refunds, MovementStep.DONE)) == (
            state.refunding,
            state.refunded,
        )
        assert (total(state.disputes, MovementStep.PENDING), total(state.disputes, MovementStep.DONE)) == (
            state.disputed,
            state.lost,
        )

    @invariant()
    def nothing_is_held_by_a_payment_that_is_closed(self):
        if self.state.status in {Status.VOIDED, Status.EXPIRED}:
            assert 0 == self.state.capturable
        if self.state.status in OPEN:
            assert 0 == self.state.capturing

    @invariant()
    def the_books_add_up_to_zero_and_say_what_the_payment_says(self):
        balances = {}
        for posting in folded(LEDGER, *self.events).values():
            balances[posting.account] = balances.get(posting.account, 0) + posting.amount
        state = self.state
        refunded = sum(
            each.amount
            for each in state.refunds.values()
            if each.step is MovementStep.DONE and each.to == "original" and each.number
        )
        by_hand = sum(each.amount for each in state.refunds.values() if not each.number)
        assert 0 == sum(balances.values())
        assert state.captured - refunded - state.disputed - state.lost == balances.get("provider", 0)
        assert (state.disputed, state.lost) == (balances.get("disputes", 0), balances.get("losses", 0))
        assert by_hand == -balances.get("till", 0)
        assert state.refunded - refunded - by_hand == -balances.get("store_credit", 0)


SETTINGS = hypothesis.settings(max_examples=PROPERTIES.chosen * 2 // 5, stateful_step_count=40, deadline=None)


def test_money_is_conserved():
    run_state_machine_as_test(Paying, settings=SETTINGS)
