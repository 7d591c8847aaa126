"""The payments ledger: each event that moves money is an entry with two sides, which add up to zero.

| event | from | to |
|---|---|---|
| captured | buyer | provider |
| paid by hand | buyer | till |
| refunded | provider, or store_credit | buyer |
| refunded by hand | till | buyer |
| refund reversed | buyer | provider, or store_credit |
| chargeback opened | provider | disputes |
| chargeback won | disputes | provider |
| chargeback lost | disputes | losses |
| store credit issued, not for a refund | store_credit | goodwill |
| store credit spent | buyer | store_credit |
| store credit returned | store_credit | buyer |
| store credit expired | breakage | store_credit |

So the balance of `provider` is what the provider owes the shop, and store credit that the shop owes is negative. What
is held of it for an order is owed still.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, Final

from domain.event import Event
from domain.ids import PostingId, composite
from domain.money import Minor
from domain.payments.events import (
    ChargebackLost,
    ChargebackOpened,
    ChargebackWon,
    CreditExpired,
    CreditIssued,
    CreditReturned,
    CreditSpent,
    ManualPaymentRecorded,
    ManualRefundRecorded,
    PaymentCaptured,
    RefundReversed,
    RefundSucceeded,
)
from projections.payments.views import Account, Posting, payment_ledger
from projections.view import Key

_OF_CREDIT: Final = (CreditIssued, CreditSpent, CreditReturned, CreditExpired)


def _books(
    event: type[Event],
    *,
    entry: Callable[[Any], str],
    of: Callable[[Any], Account],
    to: Callable[[Any], Account],
    at: Callable[[Any], datetime],
    counts: Callable[[Any], bool] = lambda _event: True,
) -> None:
    """Declare the two sides of an event: what `of` gives, `to` gets; none where it does not count."""

    def sides(moved: Any) -> Iterable[tuple[Key, int]]:
        if not counts(moved):
            return ()
        return (
            ((_posting_id(moved, entry(moved), of(moved)),), -1),
            ((_posting_id(moved, entry(moved), to(moved)),), 1),
        )

    def post(_posting: Posting | None, moved: Any, sign: int) -> Posting:
        account = of(moved) if sign < 0 else to(moved)
        return Posting(
            posting_id=_posting_id(moved, entry(moved), account),
            payment_id=getattr(moved, "payment_id", None),
            entry=entry(moved),
            account=account,
            order_id=getattr(moved, "order_id", None),
            currency=moved.currency,
            amount=Minor(sign * moved.amount),
            posted_at=at(moved),
        )

    payment_ledger.on_each(event, parts=sides)(post)


def _posting_id(moved: Any, entry: str, account: Account) -> PostingId:
    of = moved.customer_id if isinstance(moved, _OF_CREDIT) else moved.payment_id
    return PostingId(composite(of, entry, account))


def _always(account: Account) -> Callable[[Any], Account]:
    return lambda _event: account


def _refunding(event: RefundSucceeded | RefundReversed) -> Account:
    return "store_credit" if event.to == "store_credit" else "provider"


_books(
    PaymentCaptured,
    entry=lambda event: f"capture:{event.capture_id}",
    of=_always("buyer"),
    to=_always("provider"),
    at=lambda event: event.captured_at,
)
_books(
    ManualPaymentRecorded,
    entry=lambda _event: "manual",
    of=_always("buyer"),
    to=_always("till"),
    at=lambda event: event.recorded_at,
)
_books(
    RefundSucceeded,
    entry=lambda event: f"refund:{event.refund_id}",
    of=_refunding,
    to=_always("buyer"),
    at=lambda event: event.succeeded_at,
)
_books(
    ManualRefundRecorded,
    entry=lambda event: f"refund:{event.refund_id}",
    of=_always("till"),
    to=_always("buyer"),
    at=lambda event: event.recorded_at,
)
_books(
    RefundReversed,
    entry=lambda event: f"refund-reversed:{event.refund_id}",
    of=_always("buyer"),
    to=_refunding,
    at=lambda event: event.reversed_at,
)
_books(
    ChargebackOpened,
    entry=lambda event: f"chargeback:{event.dispute_id}",
    of=_always("provider"),
    to=_always("disputes"),
    at=lambda event: event.opened_at,
)
_books(
    ChargebackWon,
    entry=lambda event: f"chargeback-won:{event.dispute_id}",
    of=_always("disputes"),
    to=_always("provider"),
    at=lambda event: event.won_at,
)
_books(
    ChargebackLost,
    entry=lambda event: f"chargeback-lost:{event.dispute_id}",
    of=_always("disputes"),
    to=_always("losses"),
    at=lambda event: event.lost_at,
)
_books(
    CreditIssued,
    entry=lambda event: f"credit-issued:{event.credit_id}",
    of=_always("store_credit"),
    to=_always("goodwill"),
    at=lambda event: event.issued_at,
    counts=lambda event: event.reason != "refund",  # the refund is an entry
)
_books(
    CreditSpent,
    entry=lambda event: f"credit-spent:{event.hold_id}",
    of=_always("buyer"),
    to=_always("store_credit"),
    at=lambda event: event.spent_at,
)
_books(
    CreditReturned,
    entry=lambda event: f"credit-returned:{event.hold_id}",
    of=_always("store_credit"),
    to=_always("buyer"),
    at=lambda event: event.returned_at,
)
_books(
    CreditExpired,
    entry=lambda event: f"credit-expired:{event.credit_id}:{event.number}",
    of=_always("breakage"),
    to=_always("store_credit"),
    at=lambda event: event.expired_at,
)

LEDGER: Final = payment_ledger
"""The view with all of its folds."""
