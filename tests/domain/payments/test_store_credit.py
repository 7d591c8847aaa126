"""What is decided about store credit, and that none is made or lost whatever is decided."""

from datetime import timedelta

import hypothesis
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from msgspec.structs import replace

from counterfoil.testing.spec import folded
from domain.event import tags_of
from domain.ids import CreditHoldId, CreditId, OrderId
from domain.money import Currency, Minor
from domain.payments import payment, refunding, store_credit
from domain.payments.authorising import covering
from domain.payments.events import (
    CreditExpired,
    CreditExpiryScheduled,
    CreditHeld,
    CreditIssued,
    CreditUsed,
)
from domain.payments.refunding import RefundRequest
from domain.payments.refusals import (
    AmountExceedsDue,
    CardNumberGiven,
    CreditHoldIdTaken,
    CreditHoldSettled,
    CreditHoldUnknown,
    CreditIdTaken,
    InsufficientCredit,
    NobodyToCredit,
)
from domain.payments.store_credit import evolve
from domain.rejection import Rejection
from projections.payments.credit_folds import STORE_CREDIT
from projections.payments.ledger import LEDGER
from tests.payment_examples import (
    CREDIT,
    CUSTOMER,
    EXPIRES,
    GBP,
    HOLD,
    NOW,
    PAYABLE,
    REFUND,
    TILL,
    TOTAL,
    credit_expired,
    credit_expiry_scheduled,
    credit_held,
    credit_issued,
    credit_released,
    credit_returned,
    credit_spent,
    manual_payment_recorded,
)
from tests.sizes import PROPERTIES

OTHER = CreditId("sorry-2")
ISSUED = (credit_issued(), credit_expiry_scheduled())
LATER = EXPIRES + timedelta(days=1)
HELD = (*ISSUED, credit_held())


def after(*events):
    state = None
    for event in events:
        state = evolve(state, event)
    return state


def issue(*events, credit_id=CREDIT, amount=TOTAL, now=NOW, **more):
    return store_credit.issue(
        after(*events),
        customer_id=CUSTOMER,
        credit_id=credit_id,
        currency=GBP,
        amount=Minor(amount),
        now=now,
        **more,
    )


def hold(*events, hold_id=HOLD, amount=None, of=PAYABLE, now=NOW):
    return store_credit.hold(
        after(*events), customer_id=CUSTOMER, hold_id=hold_id, of=of, amount=amount, now=now
    )


def settle(*events, hold_id=HOLD, outcome="spent", now=NOW):
    return store_credit.settle(
        after(*events), customer_id=CUSTOMER, hold_id=hold_id, outcome=outcome, now=now
    )


def expire(*events, now=EXPIRES):
    return store_credit.expire(after(*events), now=now)


def scheduled(events):
    return [event.expires_at for event in events if isinstance(event, CreditExpiryScheduled)]


def test_a_credit_is_issued_once():
    assert [*ISSUED] == issue(expires_at=EXPIRES)
    assert [credit_issued(expires_at=None)] == issue()
    assert [] == issue(*ISSUED)
    with pytest.raises(CreditIdTaken):
        issue(*ISSUED, amount=1)


def test_no_id_of_store_credit_is_a_card_number():
    for decide in (lambda: issue(credit_id="4111111111111111"), lambda: hold(hold_id="4111111111111111")):
        with pytest.raises(CardNumberGiven):
            decide()


def test_credit_is_held_for_what_is_due_and_no_more_than_there_is():
    some = replace(PAYABLE, covered=Minor(1_000))

    assert [credit_held()] == hold(*ISSUED)
    assert [] == hold(*HELD)
    assert 265 == hold(*ISSUED, of=some)[0].amount
    assert 100 == hold(credit_issued(amount=Minor(100)))[0].amount
    with pytest.raises(AmountExceedsDue):
        hold(*ISSUED, of=some, amount=Minor(266))
    for events, amount in (
        (ISSUED[:0], None),
        (HELD, None),
        ((credit_issued(amount=Minor(100)),), Minor(101)),
    ):
        with pytest.raises(InsufficientCredit):
            hold(*events, hold_id="another", amount=amount)
    with pytest.raises(InsufficientCredit):
        hold(*ISSUED, of=replace(PAYABLE, currency=Currency("EUR")))


def test_the_id_of_a_hold_is_used_once():
    elsewhere = replace(PAYABLE, order_id=OrderId("another"))
    for events, of in ((HELD, elsewhere), ((*HELD, credit_released()), PAYABLE)):
        with pytest.raises(CreditHoldIdTaken):
            hold(*events, of=of)


def test_what_expires_first_is_held_first_and_what_is_over_is_not_held():
    soon, never = credit_issued(amount=Minor(100)), credit_issued(credit_id=OTHER, expires_at=None)

    assert (
        CreditUsed(credit_id=CREDIT, amount=Minor(100)),
        CreditUsed(credit_id=OTHER, amount=Minor(1_165)),
    ) == hold(never, soon)[0].parts
    held, expired = hold(never, soon, now=EXPIRES)
    assert credit_expired(amount=Minor(100)) == expired
    assert (CreditUsed(credit_id=OTHER, amount=TOTAL),) == held.parts


def test_what_is_released_after_its_time_expires_for_itself():
    half = Minor(500)
    parts = (CreditUsed(credit_id=CREDIT, amount=half),)
    over = (
        *ISSUED,
        credit_held(amount=half, parts=parts),
        credit_expired(amount=Minor(TOTAL - half)),
    )

    released, expired = settle(*over, outcome="released", now=EXPIRES)

    assert credit_released(amount=half, released_at=EXPIRES) == released
    assert credit_expired(number=2, amount=half) == expired
    assert 0 == sum(posting.amount for posting in folded(LEDGER, *over, released, expired).values())


def test_the_first_expiry_is_scheduled_and_once_it_is_due_the_next():
    third = CreditId("sorry-3")
    first = issue(expires_at=LATER)
    sooner = issue(*first, credit_id=OTHER, expires_at=EXPIRES)
    later = issue(*first, *sooner, credit_id=third, expires_at=LATER)
    owed = (*first, *sooner, *later)

    assert [[LATER], [EXPIRES], []] == [scheduled(each) for each in (first, sooner, later)]
    assert [
        credit_expired(credit_id=OTHER),
        credit_expiry_scheduled(expires_at=LATER, scheduled_at=EXPIRES),
    ] == expire(*owed)
    expired = expire(*owed, now=LATER)
    assert [CREDIT, OTHER, third] == [event.credit_id for event in expired]
    assert 0 == sum(posting.amount for posting in folded(LEDGER, *owed, *expired).values())


def test_an_expiry_that_is_not_due_any_more_decides_nothing_and_is_scheduled_anew():
    spent = (*HELD, credit_spent())

    assert [] == expire(*ISSUED, now=EXPIRES - timedelta(hours=1))
    assert [credit_expired()] == expire(*ISSUED, now=EXPIRES - timedelta(seconds=1))
    assert [] == expire(*spent)
    for now in (EXPIRES, EXPIRES - timedelta(seconds=1)):
        assert [LATER] == scheduled(issue(*spent, credit_id=OTHER, expires_at=LATER, now=now))
    assert [] == scheduled(issue(*ISSUED, credit_id=OTHER, expires_at=LATER))


def test_a_hold_is_spent_or_released_once():
    assert [credit_spent()] == settle(*HELD)
    assert [credit_released()] == settle(*HELD, outcome="released")
    assert [] == settle(*HELD, credit_spent())
    with pytest.raises(CreditHoldSettled):
        settle(*HELD, credit_spent(), outcome="released")
    with pytest.raises(CreditHoldSettled):
        settle(*HELD, credit_released())
    with pytest.raises(CreditHoldUnknown):
        settle(*ISSUED)


def test_all_that_is_held_for_an_order_is_released_and_what_was_spent_returned_once():
    another = credit_held(hold_id="another", order_id=OrderId("another"), amount=1, parts=())
    again = credit_held(hold_id="again", amount=1, parts=())

    def back(*events, now=NOW):
        return store_credit.give_back(after(*events), order_id=credit_held().order_id, now=now)

    def once(*events):
        decided = back(*events)
        assert [] == back(*events, *decided)
        return decided

    assert [credit_released(), credit_released(hold_id="again", amount=1)] == once(*HELD, another, again)
    assert [credit_returned(), credit_released(hold_id="again", amount=1)] == once(
        *HELD, another, credit_spent(), again
    )
    assert [] == back()


def test_what_is_released_of_several_holds_after_its_time_expires_once():
    def half(hold_id, amount):
        return credit_held(
            hold_id=hold_id, amount=amount, parts=(CreditUsed(credit_id=CREDIT, amount=Minor(amount)),)
        )

    two = (*ISSUED, half("one", 1_000), half("two", TOTAL - 1_000))
    back = store_credit.give_back(after(*two), order_id=credit_held().order_id, now=LATER)

    assert [(1, 1_000), (2, TOTAL - 1_000)] == [
        (event.number, event.amount) for event in back if isinstance(event, CreditExpired)
    ]


def test_what_was_spent_is_returned_for_good_whatever_became_of_the_credit_of_which_it_was():
    spent = (*HELD, credit_spent())
    returned = store_credit.give_back(after(*spent), order_id=credit_held().order_id, now=LATER)

    assert [credit_returned(returned_at=LATER)] == returned
    assert [] == expire(*spent, *returned, now=LATER)
    again = hold(*spent, *returned, hold_id="again", now=LATER)
    assert [(credit_returned().credit_id, TOTAL)] == [
        (each.credit_id, each.amount) for each in again[0].parts
    ]
    with pytest.raises(CreditHoldSettled):
        settle(*spent, *returned, outcome="released")


def test_what_is_released_or_returned_pays_for_nothing():
    order_id = credit_held().order_id

    assert [TOTAL, TOTAL, 0, 0, 0] == [
        store_credit.kept_for(after(*events), order_id=order_id)
        for events in (
            HELD,
            (*HELD, credit_spent()),
            (*HELD, credit_released()),
            (*HELD, credit_spent(), credit_returned()),
            ISSUED,
        )
    ]


def test_what_is_held_covers_the_order():
    covered = covering(Minor(0), credit_held())

    assert (TOTAL, 0) == (covered, covering(covered, credit_released()))
    for event in (credit_held(), credit_released()):
        assert {"payments:536365", "customer:17850"} == set(tags_of(event))


def test_a_refund_to_store_credit_needs_no_provider_but_a_customer():
    asked = RefundRequest(refund_id=REFUND, amount=TOTAL, reason="return", to="store_credit")

    def refund(of):
        return refunding.refund(of, payment_id=TILL, request=asked, now=NOW)

    paid = payment.evolve(None, manual_payment_recorded())
    requested, done = refund(paid)
    refunded = payment.evolve(payment.evolve(paid, requested), done)

    assert ("store_credit", "store_credit") == (requested.to, done.to)
    assert ([], TOTAL) == (refund(refunded), refunded.refunded)
    assert [] == refunding.record_reversed(refunded, payment_id=TILL, number=1, now=NOW)
    with pytest.raises(NobodyToCredit):
        refund(payment.evolve(None, manual_payment_recorded(customer_id=None)))


class Crediting(RuleBasedStateMachine):
    """A customer who is credited, holds, spends and waits, in any order."""

    def __init__(self):
        super().__init__()
        self.events, self.state, self.now, self.made = [], None, NOW, 0
        self.timer = None

    def decide(self, decision, **inputs):
        try:
            decided = decision(self.state, customer_id=CUSTOMER, now=self.now, **inputs)
        except Rejection:
            return
        self.record(decided)

    def record(self, decided):
        for event in decided:
            self.state = evolve(self.state, event)
            self.events.append(event)
            match event:
                case CreditExpiryScheduled():
                    self.timer = event.expires_at
                case CreditExpired():
                    self.timer = None

    @precondition(lambda self: self.timer is not None)
    @rule()
    def fire(self):
        self.now, self.timer = max(self.now, self.timer), None
        self.record(store_credit.expire(self.state, now=self.now))

    @rule(days=st.integers(0, 4))
    def wait(self, days):
        self.now += timedelta(days=days)

    @rule(amount=st.integers(1, 500), days=st.none() | st.integers(1, 5))
    def issue(self, amount, days):
        self.made += 1
        until = None if days is None else self.now + timedelta(days=days)
        credit_id = CreditId(f"c-{self.made}")
        self.decide(
            store_credit.issue, credit_id=credit_id, currency=GBP, amount=Minor(amount), expires_at=until
        )

    @rule(number=st.integers(1, 6), amount=st.none() | st.integers(1, 900).map(Minor))
    def hold(self, number, amount):
        self.decide(store_credit.hold, hold_id=CreditHoldId(f"h-{number}"), of=PAYABLE, amount=amount)

    @rule(number=st.integers(1, 6), outcome=st.sampled_from(("spent", "released")))
    def settle(self, number, outcome):
        self.decide(store_credit.settle, hold_id=CreditHoldId(f"h-{number}"), outcome=outcome)

    @precondition(lambda self: self.state is not None)
    @rule()
    def give_back(self):
        self.record(store_credit.give_back(self.state, order_id=PAYABLE.order_id, now=self.now))

    @invariant()
    def nothing_is_made_or_lost(self):
        if self.state is None:
            return
        [balance] = folded(STORE_CREDIT, *self.events)[CUSTOMER,].balances
        lefts = [credit.left for credit in self.state.credits.values()]
        postings = folded(LEDGER, *self.events).values()
        credit = [posting.amount for posting in postings if posting.account == "store_credit"]
        assert min(lefts) >= 0
        assert (sum(lefts), -sum(credit)) == (balance.available, balance.balance)
        assert 0 <= balance.available <= balance.balance
        assert 0 == sum(posting.amount for posting in postings)

    @invariant()
    def a_timer_is_set_for_the_first_expiry(self):
        of_credits = () if self.state is None else self.state.credits.values()
        coming = [each.expires_at for each in of_credits if each.left and each.expires_at is not None]
        assert not coming or (self.timer is not None and self.timer <= min(coming))

    @invariant()
    def a_hold_has_the_parts_that_it_says(self):
        for event in self.events:
            if isinstance(event, CreditHeld):
                assert event.amount == sum(part.amount for part in event.parts)


SETTINGS = hypothesis.settings(max_examples=PROPERTIES.chosen // 5, stateful_step_count=30, deadline=None)


def test_store_credit_is_conserved():
    run_state_machine_as_test(Crediting, settings=SETTINGS)


def test_what_a_customer_has_is_shown_with_its_parts():
    row = folded(STORE_CREDIT, *HELD, credit_spent(), credit_issued(credit_id=OTHER, amount=Minor(100)))[
        CUSTOMER,
    ]

    assert [(GBP, 100, 100)] == [(each.currency, each.balance, each.available) for each in row.balances]
    assert [(CREDIT, 0), (OTHER, 100)] == [(each.credit_id, each.left) for each in row.credits]
    assert [(HOLD, "spent")] == [(each.hold_id, each.status) for each in row.holds]


def test_what_was_returned_is_shown_as_a_credit_of_its_own():
    returned = credit_returned()
    row = folded(STORE_CREDIT, *HELD, credit_spent(), returned)[CUSTOMER,]

    assert [(GBP, TOTAL, TOTAL)] == [(each.currency, each.balance, each.available) for each in row.balances]
    assert [(CREDIT, 0, EXPIRES), (returned.credit_id, TOTAL, None)] == [
        (each.credit_id, each.left, each.expires_at) for each in row.credits
    ]
    assert [(HOLD, "returned")] == [(each.hold_id, each.status) for each in row.holds]


def test_a_credit_of_a_refund_is_in_the_books_once():
    refund = CreditIssued(
        customer_id=CUSTOMER,
        credit_id=CreditId("pay-1~return-1"),
        currency=GBP,
        amount=TOTAL,
        reason="refund",
        payment_id="pay-1",
        expires_at=None,
        issued_at=NOW,
    )

    assert {} == folded(LEDGER, refund)
