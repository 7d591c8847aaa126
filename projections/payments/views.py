"""What can be asked about payments: row types and their keys. Amounts are in minor units."""

from datetime import datetime
from typing import Literal

from msgspec import Struct

from domain.ids import (
    CaptureId,
    CreditHoldId,
    CreditId,
    CustomerId,
    DisputeId,
    OrderId,
    PaymentId,
    PostingId,
    RefundId,
)
from domain.money import Currency, Minor
from domain.ordering.order import ORDER
from domain.payments.events import (
    ActionKind,
    CreditHoldStatus,
    CreditReason,
    CreditUsed,
    ManualMethod,
    ProviderCode,
    ProviderRef,
    RefundReason,
    RefundTarget,
)
from domain.payments.payment import PAYMENT
from domain.payments.store_credit import STORE_CREDIT
from domain.text import MethodRef, Word
from projections.view import DEFERRED, ELSEWHERE, KEYED, Row, View

Status = Literal[
    "created",
    "requested",
    "uncertain",
    "action_required",
    "declined",
    "authorised",
    "expired",
    "voiding",
    "voided",
    "manual",
]
Step = Literal["pending", "done", "failed", "reversed"]
DisputeStep = Literal["open", "won", "lost"]
Waiting = Literal["refund_failed", "refund_reversed", "not_collected", "uncertain"]
"""What somebody has to see to: money that did not go back, or came back; money that was not taken; or nobody knows."""
Destination = RefundTarget | Literal["by_hand"]
Axis = Literal["none", "pending", "partial", "authorised", "captured", "refunded"]
Account = Literal["buyer", "provider", "till", "store_credit", "disputes", "losses", "goodwill", "breakage"]


class CapturePart(Struct, frozen=True, kw_only=True):
    """A part that was to be taken."""

    capture_id: CaptureId
    amount: Minor
    step: Step
    reference: ProviderRef | None = None
    code: ProviderCode | None = None


class RefundPart(Struct, frozen=True, kw_only=True):
    """A part that was to go back; `auth_ref` is the authorisation that had collected it."""

    refund_id: RefundId
    amount: Minor
    step: Step
    reason: RefundReason
    to: Destination
    auth_ref: ProviderRef | None = None
    reference: ProviderRef | None = None
    code: ProviderCode | None = None


class DisputePart(Struct, frozen=True, kw_only=True):
    """A part that the buyer's bank disputed."""

    dispute_id: DisputeId
    amount: Minor
    step: DisputeStep


class PaymentDetails(Row, frozen=True, kw_only=True):
    """One payment. While it is `requested` or `uncertain`, whether the provider holds anything is not known.

    captured <= authorised and refunded <= captured; disputed + lost <= captured without what went back to its method.
    `owed` is what was to go back, did not, and was not requested again; `uncollected`: its order has left, its money
    was not taken. One that is `waiting` has what somebody has to see to (`waits_for`) since then.
    """

    payment_id: PaymentId
    order_id: OrderId
    customer_id: CustomerId | None
    currency: Currency
    amount: Minor
    status: Status
    method_ref: MethodRef | None
    manual_method: ManualMethod | None
    attempt: int
    created_at: datetime
    authorised: Minor = Minor(0)
    captured: Minor = Minor(0)
    refunded: Minor = Minor(0)
    disputed: Minor = Minor(0)
    lost: Minor = Minor(0)
    expires_at: datetime | None = None
    action: ActionKind | None = None
    declined_code: ProviderCode | None = None
    captures: tuple[CapturePart, ...] = ()
    refunds: tuple[RefundPart, ...] = ()
    disputes: tuple[DisputePart, ...] = ()
    webhooks: int = 0
    owed: Minor = Minor(0)
    uncollected: bool = False
    waiting: bool = False
    waits_for: Waiting | None = None
    waits_since: datetime | None = None


class PaidBy(Struct, frozen=True, kw_only=True):
    """One payment of an order."""

    payment_id: PaymentId
    amount: Minor
    status: Status
    authorised: Minor = Minor(0)
    captured: Minor = Minor(0)
    refunded: Minor = Minor(0)
    disputed: Minor = Minor(0)
    lost: Minor = Minor(0)


class OrderPayments(Row, frozen=True, kw_only=True):
    """All payments of one order, their sums, and where they stand together."""

    order_id: OrderId
    customer_id: CustomerId | None
    currency: Currency
    status: Axis
    authorised: Minor
    captured: Minor
    refunded: Minor
    disputed: Minor
    lost: Minor
    payments: tuple[PaidBy, ...]


class Posting(Row, frozen=True, kw_only=True):
    """One side of an entry of the payments ledger. The sides of an entry add up to zero, and so does everything.

    `entry` names what moved money: `capture:<id>`, `refund:<id>`, … What went to an account is positive. Without
    `payment_id` it is store credit, of the customer whose id `posting_id` begins with.
    """

    posting_id: PostingId
    payment_id: PaymentId | None
    entry: Word
    account: Account
    order_id: OrderId | None
    currency: Currency
    amount: Minor
    posted_at: datetime


class CreditBalance(Struct, frozen=True, kw_only=True):
    """What the shop owes in one currency: `balance` is `available` and what is held for orders."""

    currency: Currency
    balance: Minor
    available: Minor


class CreditPart(Struct, frozen=True, kw_only=True):
    """One credit; `left` is what of it is neither held, spent nor expired."""

    credit_id: CreditId
    currency: Currency
    amount: Minor
    left: Minor
    reason: CreditReason
    payment_id: PaymentId | None
    expires_at: datetime | None


class HoldPart(Struct, frozen=True, kw_only=True):
    """What is kept for an order, or was, and of which credits."""

    hold_id: CreditHoldId
    order_id: OrderId
    currency: Currency
    amount: Minor
    status: CreditHoldStatus
    parts: tuple[CreditUsed, ...]


class StoreCreditDetails(Row, frozen=True, kw_only=True):
    """What the shop owes a customer, and what became of it. A credit counts until its expiry is recorded."""

    customer_id: CustomerId
    balances: tuple[CreditBalance, ...] = ()
    credits: tuple[CreditPart, ...] = ()
    holds: tuple[HoldPart, ...] = ()


payment_details = View(
    name="payment_details",
    row=PaymentDetails,
    key=("payment_id",),
    shape=1,
    kind=KEYED,
    category=PAYMENT.category,
    partition_category=ELSEWHERE,
)
order_payments = View(
    name="order_payments",
    row=OrderPayments,
    key=("order_id",),
    shape=1,
    kind=KEYED,
    document="payments:order",
    category=ORDER.category,
)
payment_ledger = View(
    name="payment_ledger",
    row=Posting,
    key=("posting_id",),
    shape=1,
    kind=DEFERRED,
)
store_credit_details = View(
    name="store_credit_details",
    row=StoreCreditDetails,
    key=("customer_id",),
    shape=1,
    kind=KEYED,
    category=STORE_CREDIT.category,
)
