"""Store credit: what the shop owes a customer and takes as payment for orders, in any number of currencies.

A credit is issued, held for an order in parts, and what is held is spent or released; what is left of it may expire.
Where the shop keeps nothing of an order, what was spent is returned, as a credit that does not expire: the time of that
of which it was may be over.

The balance is what was issued or returned, and neither spent nor expired, and never below zero: all of it is decided on
one stream of the customer, so of two who hold at a time the second finds what the first has left.

A stream has one timer for all expiries. Each decision records the expiries that are due, and schedules the first of
those that are not, unless that is scheduled already.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import reduce
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from domain.aggregate import Aggregate
from domain.event import Event
from domain.ids import CreditHoldId, CreditId, CustomerId, OrderId, PaymentId, RefundId, composite
from domain.moment import in_utc
from domain.money import Currency, Minor
from domain.payments.authorising import Payable, require_no_card_number
from domain.payments.events import (
    CreditExpired,
    CreditExpiryScheduled,
    CreditHeld,
    CreditHoldStatus,
    CreditIssued,
    CreditReleased,
    CreditReturned,
    CreditSpent,
    CreditUsed,
)
from domain.payments.refusals import (
    AmountExceedsDue,
    CreditHoldIdTaken,
    CreditHoldSettled,
    CreditHoldUnknown,
    CreditIdTaken,
    InsufficientCredit,
)

HoldOutcome = Literal["spent", "released"]

_KEPT: Final[frozenset[CreditHoldStatus]] = frozenset({"held", "spent"})

CLOCKS_DIFFER_BY: Final = timedelta(minutes=1)
"""A timer is due by the clock of the database, and its decision is given that of the process that fires it."""


class Credit(Struct, frozen=True, kw_only=True):
    """One credit; `left` is what of it is neither held, spent nor expired."""

    currency: Currency
    amount: Minor
    left: Minor
    expires_at: datetime | None
    expiries: int = 0


class CreditHold(Struct, frozen=True, kw_only=True):
    """What is kept for an order, or was. `released_at`: when it was given back before it was spent."""

    order_id: OrderId
    currency: Currency
    amount: Minor
    parts: tuple[CreditUsed, ...]
    status: CreditHoldStatus = "held"
    released_at: datetime | None = None


class StoreCredit(Struct, frozen=True, kw_only=True):
    """All credits of a customer, in the order in which they were issued, all holds, and when the next expiry is due."""

    customer_id: CustomerId
    credits: dict[CreditId, Credit] = {}
    holds: dict[CreditHoldId, CreditHold] = {}
    expires_next: datetime | None = None

    def available(self, currency: Currency, *, now: datetime) -> Minor:
        """What can be held at a time."""
        return Minor(sum(credit.left for _, credit in self.usable(currency, now=now)))

    def usable(self, currency: Currency, *, now: datetime) -> list[tuple[CreditId, Credit]]:
        """Credits that can be held of, those first that expire first."""
        usable = [
            each
            for each in self.credits.items()
            if each[1].currency == currency and each[1].left and not _is_over(each[1], now=now)
        ]
        return sorted(usable, key=lambda each: (each[1].expires_at is None, each[1].expires_at or now))


def evolve(credit: StoreCredit | None, event: Event) -> StoreCredit:
    """Return the store credit as it is after `event`."""
    if isinstance(event, CreditIssued):
        credit = credit or StoreCredit(customer_id=event.customer_id)
        issued = Credit(
            currency=event.currency, amount=event.amount, left=event.amount, expires_at=event.expires_at
        )
        return replace(credit, credits={**credit.credits, event.credit_id: issued})
    assert credit is not None, "an event about store credit before any was issued"
    match event:
        case CreditHeld():
            hold = CreditHold(
                order_id=event.order_id, currency=event.currency, amount=event.amount, parts=event.parts
            )
            return replace(_moved(credit, event.parts, -1), holds={**credit.holds, event.hold_id: hold})
        case CreditSpent():
            return _ended(credit, event.hold_id, "spent")
        case CreditReleased():
            credit = _moved(credit, credit.holds[event.hold_id].parts, 1)
            return _ended(credit, event.hold_id, "released", released_at=event.released_at)
        case CreditReturned():
            returned = Credit(
                currency=event.currency, amount=event.amount, left=event.amount, expires_at=None
            )
            credit = replace(credit, credits={**credit.credits, event.credit_id: returned})
            return _ended(credit, event.hold_id, "returned")
        case CreditExpired():
            expired = credit.credits[event.credit_id]
            rest = replace(expired, left=Minor(expired.left - event.amount), expiries=event.number)
            return replace(credit, credits={**credit.credits, event.credit_id: rest}, expires_next=None)
        case CreditExpiryScheduled():
            return replace(credit, expires_next=event.expires_at)
    raise AssertionError(f"{type(event).__name__} is no event of store credit")


STORE_CREDIT: Final[Aggregate[StoreCredit]] = Aggregate(
    "store_credit",
    evolve,
    (
        CreditIssued,
        CreditHeld,
        CreditSpent,
        CreditReleased,
        CreditReturned,
        CreditExpired,
        CreditExpiryScheduled,
    ),
)


def issue(
    credit: StoreCredit | None,
    *,
    customer_id: CustomerId,
    credit_id: CreditId,
    currency: Currency,
    amount: Minor,
    now: datetime,
    payment_id: PaymentId | None = None,
    expires_at: datetime | None = None,
) -> list[Event]:
    """Owe a customer an amount, for a refund of a payment or as goodwill. The same credit again decides nothing.

    Raises:
        CreditIdTaken: the id belongs to a credit of another amount.
        CardNumberGiven: the id does.
    """
    require_no_card_number(credit_id=credit_id)
    earlier = None if credit is None else credit.credits.get(credit_id)
    if earlier is not None:
        if (earlier.amount, earlier.currency) == (amount, currency):
            return []
        raise CreditIdTaken(customer_id=customer_id, credit_id=credit_id)
    issued = CreditIssued(
        customer_id=customer_id,
        credit_id=credit_id,
        currency=currency,
        amount=amount,
        reason="goodwill" if payment_id is None else "refund",
        payment_id=payment_id,
        expires_at=None if expires_at is None else in_utc(expires_at),
        issued_at=in_utc(now),
    )
    return _with_expiries(credit, [issued], now=now)


def credit_of_refund(payment_id: PaymentId, refund_id: RefundId) -> CreditId:
    """The id of the credit that a refund is: no client can choose it."""
    return CreditId(composite(payment_id, refund_id))


def hold(
    credit: StoreCredit | None,
    *,
    customer_id: CustomerId,
    hold_id: CreditHoldId,
    of: Payable,
    amount: Minor | None,
    now: datetime,
) -> list[Event]:
    """Keep an amount for an order; without one all that is due, or as much of it as there is.

    Nothing is held of credits whose time is over. The same hold again decides nothing.

    Raises:
        InsufficientCredit: the customer has less, or nothing.
        AmountExceedsDue: payments cover the order.
        CreditHoldIdTaken: the id belongs to another hold, or to one that was released.
        CardNumberGiven: the id does.
    """
    require_no_card_number(hold_id=hold_id)
    credit = credit or StoreCredit(customer_id=customer_id)
    earlier = credit.holds.get(hold_id)
    if earlier is not None:
        same = earlier.order_id == of.order_id and amount in {None, earlier.amount}
        if same and earlier.status != "released":
            return []
        raise CreditHoldIdTaken(customer_id=customer_id, hold_id=hold_id)
    available = credit.available(of.currency, now=now)
    wanted = Minor(min(of.due, available) if amount is None else amount)
    if of.due <= 0 or wanted > of.due:
        raise AmountExceedsDue(order_id=of.order_id, amount=wanted, due=of.due)
    if wanted > available or wanted <= 0:
        raise InsufficientCredit(
            customer_id=customer_id, currency=of.currency, amount=wanted, available=available
        )
    held = CreditHeld(
        customer_id=customer_id,
        hold_id=hold_id,
        order_id=of.order_id,
        currency=of.currency,
        amount=wanted,
        parts=_parts(credit.usable(of.currency, now=now), wanted),
        held_at=in_utc(now),
    )
    return _with_expiries(credit, [held], now=now)


def settle(
    credit: StoreCredit | None,
    *,
    customer_id: CustomerId,
    hold_id: CreditHoldId,
    outcome: HoldOutcome,
    now: datetime,
) -> list[Event]:
    """Spend what is held, or release it; nothing if it ended so.

    Raises:
        CreditHoldUnknown: nothing was held under the id.
        CreditHoldSettled: it ended in the other way.
    """
    found = None if credit is None else credit.holds.get(hold_id)
    if found is None:
        raise CreditHoldUnknown(customer_id=customer_id, hold_id=hold_id)
    if found.status == outcome:
        return []
    if found.status != "held":
        raise CreditHoldSettled(customer_id=customer_id, hold_id=hold_id, status=found.status)
    if outcome == "spent":
        settled: Event = CreditSpent(
            customer_id=customer_id,
            hold_id=hold_id,
            order_id=found.order_id,
            currency=found.currency,
            amount=found.amount,
            spent_at=in_utc(now),
        )
    else:
        settled = CreditReleased(
            customer_id=customer_id,
            hold_id=hold_id,
            order_id=found.order_id,
            currency=found.currency,
            amount=found.amount,
            released_at=in_utc(now),
        )
    return _with_expiries(credit, [settled], now=now)


def give_back(credit: StoreCredit | None, *, order_id: OrderId, now: datetime) -> list[Event]:
    """Have its customer keep what was to pay an order: release what is held, return what was spent; once."""
    events: list[Event] = []
    if credit is None:
        return events
    for hold_id, each in credit.holds.items():
        if each.order_id != order_id:
            continue
        back: list[Event] = []
        if each.status == "held":
            back = settle(
                credit, customer_id=credit.customer_id, hold_id=hold_id, outcome="released", now=now
            )
        elif each.status == "spent":
            back = _return(credit, hold_id, each, now=now)
        credit = reduce(evolve, back, credit)
        events += back
    return events


def kept_for(credit: StoreCredit | None, *, order_id: OrderId) -> Minor:
    """What is held for an order, or was spent for it and not returned."""
    holds = () if credit is None else credit.holds.values()
    return Minor(sum(each.amount for each in holds if each.order_id == order_id and each.status in _KEPT))


def released_at(credit: StoreCredit | None, *, order_id: OrderId) -> datetime | None:
    """When something that was held for an order was last released."""
    holds = () if credit is None else credit.holds.values()
    released = (each.released_at for each in holds if each.order_id == order_id)
    return max((each for each in released if each is not None), default=None)


def _return(credit: StoreCredit, hold_id: CreditHoldId, spent: CreditHold, *, now: datetime) -> list[Event]:
    returned = CreditReturned(
        customer_id=credit.customer_id,
        hold_id=hold_id,
        order_id=spent.order_id,
        currency=spent.currency,
        amount=spent.amount,
        credit_id=CreditId(composite(spent.order_id, hold_id, "returned")),  # no client can choose it
        returned_at=in_utc(now),
    )
    return _with_expiries(credit, [returned], now=now)


def expire(credit: StoreCredit, *, now: datetime) -> list[Event]:
    """Have what is due expire, and schedule the next; nothing if the timer that is due was set again meanwhile."""
    if credit.expires_next is None or now < credit.expires_next - CLOCKS_DIFFER_BY:
        return []
    return _with_expiries(credit, [], now=max(now, credit.expires_next))


def _with_expiries(credit: StoreCredit | None, decided: Sequence[Event], *, now: datetime) -> list[Event]:
    """What was decided, then the expiries that are due, then the schedule of the next one, if there is none."""
    events = list(decided)
    credit = reduce(evolve, events, credit)
    assert credit is not None, "no credit was issued yet"
    for expired in _expired(credit, now=now):
        events.append(expired)
        credit = evolve(credit, expired)
    coming = [
        each.expires_at for each in credit.credits.values() if each.left and each.expires_at is not None
    ]
    if coming and _is_unscheduled(min(coming), credit.expires_next, now=now):
        events.append(
            CreditExpiryScheduled(
                customer_id=credit.customer_id, expires_at=min(coming), scheduled_at=in_utc(now)
            )
        )
    return events


def _is_unscheduled(first: datetime, scheduled: datetime | None, *, now: datetime) -> bool:
    """Whether no timer is set for the first expiry: one that is due may have fired already, with nothing to decide."""
    return scheduled is None or first < scheduled or scheduled <= now + CLOCKS_DIFFER_BY


def _expired(credit: StoreCredit, *, now: datetime) -> list[Event]:
    return [
        CreditExpired(
            customer_id=credit.customer_id,
            credit_id=credit_id,
            number=each.expiries + 1,
            currency=each.currency,
            amount=each.left,
            expired_at=in_utc(now),
        )
        for credit_id, each in credit.credits.items()
        if each.left and _is_over(each, now=now)
    ]


def _is_over(credit: Credit, *, now: datetime) -> bool:
    return credit.expires_at is not None and now >= credit.expires_at


def _parts(usable: list[tuple[CreditId, Credit]], amount: Minor) -> tuple[CreditUsed, ...]:
    parts: list[CreditUsed] = []
    missing = int(amount)
    for credit_id, credit in usable:
        taken = min(missing, credit.left)
        if taken:
            parts.append(CreditUsed(credit_id=credit_id, amount=Minor(taken)))
            missing -= taken
    return tuple(parts)


def _moved(credit: StoreCredit, parts: tuple[CreditUsed, ...], sign: int) -> StoreCredit:
    changed = dict(credit.credits)
    for part in parts:
        of = changed[part.credit_id]
        changed[part.credit_id] = replace(of, left=Minor(of.left + sign * part.amount))
    return replace(credit, credits=changed)


def _ended(
    credit: StoreCredit,
    hold_id: CreditHoldId,
    status: CreditHoldStatus,
    *,
    released_at: datetime | None = None,
) -> StoreCredit:
    ended = replace(credit.holds[hold_id], status=status, released_at=released_at)
    return replace(credit, holds={**credit.holds, hold_id: ended})
