"""The events of payments: the only part of it that other packages may rely on.

They belong to the partition of their order. No event has a card number: a method is the payment provider's own token.
"""

from typing import Annotated, Any, Literal

from msgspec import Struct

from domain.event import Event, event_type
from domain.ids import (
    CaptureId,
    CreditHoldId,
    CreditId,
    CustomerId,
    DisputeId,
    KeyedHash,
    OrderId,
    PaymentId,
    PspEventId,
    RefundId,
    ShipmentId,
    customer_tag,
    payments_tag,
)
from domain.moment import Moment
from domain.money import Currency, Minor
from domain.text import MethodRef, PublicText

CaptureMode = Literal["manual", "auto"]
ActionKind = Literal["3d-secure", "redirect"]
RefundReason = Literal["return", "cancellation", "goodwill", "duplicate", "fraud", "other"]
RefundTarget = Literal["original", "store_credit"]
ManualMethod = Literal["cash", "bank_transfer", "cheque", "other"]
CreditReason = Literal["refund", "goodwill"]
CreditHoldStatus = Literal["held", "spent", "released", "returned"]
DisputeReason = Literal["fraud", "not_received", "not_as_described", "duplicate", "other"]

ProviderRef = Annotated[str, PublicText("the provider's own number of what it did")]
ProviderCode = Annotated[str, PublicText("the provider's word for why it did not")]
PspEventType = Annotated[str, PublicText("the provider's name of a kind of webhook")]
ReceiptRef = Annotated[str, PublicText("the number of a receipt or of a statement", typed=True)]


class RefundedLine(Struct, frozen=True, kw_only=True, gc=False):
    """The part of a refund for pieces of one line, with its tax and after its promotions."""

    line_id: int
    quantity: int
    amount: Minor


def _order(event: Any) -> str:
    return f"order-{event.order_id}"


def _due(event: Any) -> tuple[str, ...]:
    return (payments_tag(event.order_id),)


@event_type("payments.payment_created.v1", partition=_order, tags=_due)
class PaymentCreated(Event, frozen=True, kw_only=True):
    """An amount of an order is to be paid by a method. With `auto` it is captured once it is authorised."""

    payment_id: PaymentId
    order_id: OrderId
    customer_id: CustomerId | None
    currency: Currency
    amount: Minor
    method_ref: MethodRef
    capture: CaptureMode
    created_at: Moment


@event_type("payments.authorisation_requested.v1", partition=_order)
class AuthorisationRequested(Event, frozen=True, kw_only=True):
    """The provider is to be asked to hold an amount. `attempt` counts from 1."""

    payment_id: PaymentId
    order_id: OrderId
    attempt: int
    currency: Currency
    amount: Minor
    method_ref: MethodRef
    requested_at: Moment


@event_type("payments.payment_authorised.v1", partition=_order)
class PaymentAuthorised(Event, frozen=True, kw_only=True):
    """The provider holds the amount until `expires_at`."""

    payment_id: PaymentId
    order_id: OrderId
    attempt: int
    currency: Currency
    amount: Minor
    auth_ref: ProviderRef
    expires_at: Moment
    authorised_at: Moment


@event_type("payments.customer_action_required.v1", partition=_order)
class CustomerActionRequired(Event, frozen=True, kw_only=True):
    """The buyer has to confirm the payment with their bank; the provider is asked what came of it."""

    payment_id: PaymentId
    order_id: OrderId
    attempt: int
    currency: Currency
    amount: Minor
    kind: ActionKind
    required_at: Moment


@event_type("payments.authorisation_declined.v1", partition=_order)
class AuthorisationDeclined(Event, frozen=True, kw_only=True):
    """Nothing is held. `retryable`: the same method may succeed another time."""

    payment_id: PaymentId
    order_id: OrderId
    attempt: int
    code: ProviderCode
    retryable: bool
    declined_at: Moment


@event_type("payments.authorisation_uncertain.v1", partition=_order)
class AuthorisationUncertain(Event, frozen=True, kw_only=True):
    """The provider was asked and did not say; it is asked again under the same key."""

    payment_id: PaymentId
    order_id: OrderId
    attempt: int
    currency: Currency
    amount: Minor
    method_ref: MethodRef
    uncertain_at: Moment


@event_type("payments.authorisation_expired.v1", partition=_order)
class AuthorisationExpired(Event, frozen=True, kw_only=True):
    """The provider no longer holds the `amount` that was not captured."""

    payment_id: PaymentId
    order_id: OrderId
    attempt: int
    currency: Currency
    amount: Minor
    expired_at: Moment


@event_type("payments.capture_requested.v1", partition=_order)
class CaptureRequested(Event, frozen=True, kw_only=True):
    """The provider is to be asked to take a part of what it holds. `number` counts the captures of a payment."""

    payment_id: PaymentId
    order_id: OrderId
    capture_id: CaptureId
    number: int
    auth_ref: ProviderRef
    currency: Currency
    amount: Minor
    shipment_id: ShipmentId | None
    requested_at: Moment


@event_type("payments.payment_captured.v1", partition=_order)
class PaymentCaptured(Event, frozen=True, kw_only=True):
    """The provider took the amount."""

    payment_id: PaymentId
    order_id: OrderId
    capture_id: CaptureId
    currency: Currency
    amount: Minor
    capture_ref: ProviderRef
    captured_at: Moment


@event_type("payments.capture_failed.v1", partition=_order)
class CaptureFailed(Event, frozen=True, kw_only=True):
    """The provider took nothing; what it holds may be captured again."""

    payment_id: PaymentId
    order_id: OrderId
    capture_id: CaptureId
    currency: Currency
    amount: Minor
    code: ProviderCode
    failed_at: Moment


@event_type("payments.void_requested.v1", partition=_order)
class VoidRequested(Event, frozen=True, kw_only=True):
    """The provider is to be asked to let go of what was not captured."""

    payment_id: PaymentId
    order_id: OrderId
    attempt: int
    number: int
    auth_ref: ProviderRef
    currency: Currency
    amount: Minor
    requested_at: Moment


@event_type("payments.authorisation_voided.v1", partition=_order, tags=_due)
class AuthorisationVoided(Event, frozen=True, kw_only=True):
    """The payment collects no more. `amount` is what it will not collect, `released` what of it was held."""

    payment_id: PaymentId
    order_id: OrderId
    currency: Currency
    amount: Minor
    released: Minor
    voided_at: Moment


@event_type("payments.void_failed.v1", partition=_order)
class VoidFailed(Event, frozen=True, kw_only=True):
    """The provider holds what it held."""

    payment_id: PaymentId
    order_id: OrderId
    number: int
    code: ProviderCode
    failed_at: Moment


@event_type("payments.refund_requested.v1", partition=_order)
class RefundRequested(Event, frozen=True, kw_only=True):
    """Money is to go back. `lines` and `shipping` add up to `amount`, where the refund is for lines at all."""

    payment_id: PaymentId
    order_id: OrderId
    refund_id: RefundId
    number: int
    auth_ref: ProviderRef
    currency: Currency
    amount: Minor
    lines: tuple[RefundedLine, ...]
    shipping: Minor
    reason: RefundReason
    to: RefundTarget
    requested_at: Moment


@event_type("payments.refund_succeeded.v1", partition=_order)
class RefundSucceeded(Event, frozen=True, kw_only=True):
    """The money went back."""

    payment_id: PaymentId
    order_id: OrderId
    refund_id: RefundId
    currency: Currency
    amount: Minor
    to: RefundTarget
    refund_ref: ProviderRef
    succeeded_at: Moment


@event_type("payments.refund_failed.v1", partition=_order)
class RefundFailed(Event, frozen=True, kw_only=True):
    """Nothing went back; the amount may be refunded again."""

    payment_id: PaymentId
    order_id: OrderId
    refund_id: RefundId
    currency: Currency
    amount: Minor
    code: ProviderCode
    failed_at: Moment


@event_type("payments.refund_reversed.v1", partition=_order)
class RefundReversed(Event, frozen=True, kw_only=True):
    """The buyer's bank sent a refund back: the shop has the money again."""

    payment_id: PaymentId
    order_id: OrderId
    refund_id: RefundId
    currency: Currency
    amount: Minor
    to: RefundTarget
    reversed_at: Moment


@event_type("payments.chargeback_opened.v1", partition=_order)
class ChargebackOpened(Event, frozen=True, kw_only=True):
    """The buyer's bank disputes an amount, and takes it until that is decided."""

    payment_id: PaymentId
    order_id: OrderId
    dispute_id: DisputeId
    currency: Currency
    amount: Minor
    reason: DisputeReason
    opened_at: Moment


@event_type("payments.chargeback_won.v1", partition=_order)
class ChargebackWon(Event, frozen=True, kw_only=True):
    """The shop has the disputed amount again."""

    payment_id: PaymentId
    order_id: OrderId
    dispute_id: DisputeId
    currency: Currency
    amount: Minor
    won_at: Moment


@event_type("payments.chargeback_lost.v1", partition=_order)
class ChargebackLost(Event, frozen=True, kw_only=True):
    """The disputed amount is lost to the shop."""

    payment_id: PaymentId
    order_id: OrderId
    dispute_id: DisputeId
    currency: Currency
    amount: Minor
    lost_at: Moment


@event_type("payments.manual_payment_recorded.v1", partition=_order, tags=_due)
class ManualPaymentRecorded(Event, frozen=True, kw_only=True):
    """Money came in without a provider, such as cash."""

    payment_id: PaymentId
    order_id: OrderId
    customer_id: CustomerId | None
    currency: Currency
    amount: Minor
    method: ManualMethod
    reference: ReceiptRef
    recorded_at: Moment


@event_type("payments.manual_refund_recorded.v1", partition=_order)
class ManualRefundRecorded(Event, frozen=True, kw_only=True):
    """Money of a payment went back without a provider, such as by bank transfer."""

    payment_id: PaymentId
    order_id: OrderId
    refund_id: RefundId
    currency: Currency
    amount: Minor
    reason: RefundReason
    method: ManualMethod
    reference: ReceiptRef
    recorded_at: Moment


@event_type("payments.psp_event_ingested.v1", partition=_order)
class PspEventIngested(Event, frozen=True, kw_only=True):
    """A webhook of the provider was taken in, once; `hash` is a keyed hash of its bytes."""

    payment_id: PaymentId
    order_id: OrderId
    psp_event_id: PspEventId
    type: PspEventType
    hash: KeyedHash
    ingested_at: Moment


class CreditUsed(Struct, frozen=True, kw_only=True, gc=False):
    """The part of a hold that one credit has."""

    credit_id: CreditId
    amount: Minor


def _of_customer(event: Any) -> tuple[str, ...]:
    return (customer_tag(event.customer_id),)


def _due_by_customer(event: Any) -> tuple[str, ...]:
    return (payments_tag(event.order_id), customer_tag(event.customer_id))


@event_type("payments.credit_issued.v1", tags=_of_customer)
class CreditIssued(Event, frozen=True, kw_only=True):
    """The shop owes a customer an amount that pays for orders. For a refund it says of which payment."""

    customer_id: CustomerId
    credit_id: CreditId
    currency: Currency
    amount: Minor
    reason: CreditReason
    payment_id: PaymentId | None
    expires_at: Moment | None
    issued_at: Moment


@event_type("payments.credit_held.v1", tags=_due_by_customer)
class CreditHeld(Event, frozen=True, kw_only=True):
    """An amount is kept for an order. `parts` are what each credit has of it."""

    customer_id: CustomerId
    hold_id: CreditHoldId
    order_id: OrderId
    currency: Currency
    amount: Minor
    parts: tuple[CreditUsed, ...]
    held_at: Moment


@event_type("payments.credit_spent.v1", tags=_of_customer)
class CreditSpent(Event, frozen=True, kw_only=True):
    """The order has been paid by what was held for it."""

    customer_id: CustomerId
    hold_id: CreditHoldId
    order_id: OrderId
    currency: Currency
    amount: Minor
    spent_at: Moment


@event_type("payments.credit_released.v1", tags=_due_by_customer)
class CreditReleased(Event, frozen=True, kw_only=True):
    """What was held for an order is the customer's again."""

    customer_id: CustomerId
    hold_id: CreditHoldId
    order_id: OrderId
    currency: Currency
    amount: Minor
    released_at: Moment


@event_type("payments.credit_returned.v1", tags=_of_customer)
class CreditReturned(Event, frozen=True, kw_only=True):
    """What was spent on an order is its customer's again, as a credit of its own, which does not expire."""

    customer_id: CustomerId
    hold_id: CreditHoldId
    order_id: OrderId
    currency: Currency
    amount: Minor
    credit_id: CreditId
    returned_at: Moment


@event_type("payments.order_credit_changed.v1", partition=_order)
class OrderCreditChanged(Event, frozen=True, kw_only=True):
    """Where store credit of an order stands, in the partition of the order: its customer's events are of another."""

    order_id: OrderId
    hold_id: CreditHoldId
    currency: Currency
    amount: Minor
    status: CreditHoldStatus
    changed_at: Moment


@event_type("payments.credit_expired.v1", tags=_of_customer)
class CreditExpired(Event, frozen=True, kw_only=True):
    """What was left of a credit is not owed any more. `number` counts from 1: what is released later expires then."""

    customer_id: CustomerId
    credit_id: CreditId
    number: int
    currency: Currency
    amount: Minor
    expired_at: Moment


@event_type("payments.credit_expiry_scheduled.v1", tags=_of_customer)
class CreditExpiryScheduled(Event, frozen=True, kw_only=True):
    """Of all credits of a customer of which something is left, the first expires at this time."""

    customer_id: CustomerId
    expires_at: Moment
    scheduled_at: Moment
