"""What becomes of the store credit of a customer, one event at a time."""

from collections.abc import Iterable
from typing import Final

from msgspec.structs import replace

from domain.money import Minor
from domain.payments.events import (
    CreditExpired,
    CreditHeld,
    CreditHoldStatus,
    CreditIssued,
    CreditReleased,
    CreditReturned,
    CreditSpent,
    CreditUsed,
)
from projections.payments.views import (
    CreditBalance,
    CreditPart,
    HoldPart,
    StoreCreditDetails,
    store_credit_details,
)


@store_credit_details.on(CreditIssued)
def issued(credit: StoreCreditDetails | None, event: CreditIssued) -> StoreCreditDetails:
    """The shop owes more."""
    credit = credit or StoreCreditDetails(customer_id=event.customer_id)
    part = CreditPart(
        credit_id=event.credit_id,
        currency=event.currency,
        amount=event.amount,
        left=event.amount,
        reason=event.reason,
        payment_id=event.payment_id,
        expires_at=event.expires_at,
    )
    return _summed(replace(credit, credits=(*credit.credits, part)))


@store_credit_details.on(CreditHeld)
def held(credit: StoreCreditDetails, event: CreditHeld) -> StoreCreditDetails:
    """It is owed, and can be held once."""
    hold = HoldPart(
        hold_id=event.hold_id,
        order_id=event.order_id,
        currency=event.currency,
        amount=event.amount,
        status="held",
        parts=event.parts,
    )
    return _summed(replace(_moved(credit, event.parts, -1), holds=(*credit.holds, hold)))


@store_credit_details.on(CreditSpent)
def spent(credit: StoreCreditDetails, event: CreditSpent) -> StoreCreditDetails:
    """The shop owes less."""
    return _summed(_ended(credit, event, "spent"))


@store_credit_details.on(CreditReleased)
def released(credit: StoreCreditDetails, event: CreditReleased) -> StoreCreditDetails:
    """It can be held again."""
    parts = (part for hold in credit.holds if hold.hold_id == event.hold_id for part in hold.parts)
    return _summed(_ended(_moved(credit, parts, 1), event, "released"))


@store_credit_details.on(CreditReturned)
def returned(credit: StoreCreditDetails, event: CreditReturned) -> StoreCreditDetails:
    """The shop owes it again, whatever became of the credit of which it was."""
    part = CreditPart(
        credit_id=event.credit_id,
        currency=event.currency,
        amount=event.amount,
        left=event.amount,
        reason="refund",
        payment_id=None,
        expires_at=None,
    )
    return _summed(_ended(replace(credit, credits=(*credit.credits, part)), event, "returned"))


@store_credit_details.on(CreditExpired)
def expired(credit: StoreCreditDetails, event: CreditExpired) -> StoreCreditDetails:
    """What was left is not owed any more."""
    return _summed(_moved(credit, (CreditUsed(credit_id=event.credit_id, amount=event.amount),), -1))


def _moved(credit: StoreCreditDetails, parts: Iterable[CreditUsed], sign: int) -> StoreCreditDetails:
    moved = {part.credit_id: sign * part.amount for part in parts}
    changed = (replace(each, left=Minor(each.left + moved.get(each.credit_id, 0))) for each in credit.credits)
    return replace(credit, credits=tuple(changed))


def _ended(
    credit: StoreCreditDetails, event: CreditSpent | CreditReleased | CreditReturned, status: CreditHoldStatus
) -> StoreCreditDetails:
    holds = (replace(each, status=status) if each.hold_id == event.hold_id else each for each in credit.holds)
    return replace(credit, holds=tuple(holds))


def _summed(credit: StoreCreditDetails) -> StoreCreditDetails:
    balances = []
    for currency in dict.fromkeys(each.currency for each in credit.credits):
        available = sum(each.left for each in credit.credits if each.currency == currency)
        held = sum(
            each.amount for each in credit.holds if each.currency == currency and each.status == "held"
        )
        balances.append(
            CreditBalance(currency=currency, balance=Minor(available + held), available=Minor(available))
        )
    return replace(credit, balances=tuple(balances))


STORE_CREDIT: Final = store_credit_details
"""The view with all of its folds."""
