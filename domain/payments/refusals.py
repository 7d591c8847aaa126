"""The refusals of payments.

Unknown       PaymentUnknown, CreditHoldUnknown
Conflict      PaymentIdTaken, CaptureIdTaken, RefundIdTaken, AttemptInProgress, NotAuthorised, AuthorisationExpired,
              AmountExceedsDue, AmountExceedsCapturable, AmountExceedsRefundable, OrderNotPayable, PaymentIsClosed,
              CaptureInProgress, ManuallyPaid, WebhookTooEarly, InsufficientCredit, CreditIdTaken, CreditHoldIdTaken,
              CreditHoldSettled, NobodyToCredit
Unacceptable  Declined, CardNumberGiven, RefundDoesNotAddUp, RefundBeyondOrder
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from domain.ids import CaptureId, CreditHoldId, CreditId, CustomerId, OrderId, PaymentId, RefundId
from domain.money import Currency, Minor
from domain.rejection import Conflict, Place, Unacceptable, Unknown


@dataclass(kw_only=True, eq=False)
class PaymentUnknown(Unknown):
    """No payment has this id."""

    title = "There is no such payment"
    meaning = "The command addresses a payment that was never created."
    remedy = "Check the id: case matters."

    payment_id: PaymentId

    def __str__(self) -> str:
        return f"There is no payment '{self.payment_id}'."


@dataclass(kw_only=True, eq=False)
class PaymentIdTaken(Conflict):
    """The id belongs to a payment already."""

    title = "The id belongs to a payment already"
    meaning = "A payment is created once."
    remedy = "Choose another id. To repeat a request whose answer was lost, send it with its first key."

    payment_id: PaymentId

    def __str__(self) -> str:
        return f"There is a payment '{self.payment_id}' already."


@dataclass(kw_only=True, eq=False)
class CaptureIdTaken(Conflict):
    """The id belongs to a capture of another amount."""

    title = "The id belongs to another capture"
    meaning = "A capture is requested once; this id was used for another amount, or its capture failed."
    remedy = "Choose another id for another capture."

    payment_id: PaymentId
    capture_id: CaptureId

    def __str__(self) -> str:
        return f"Payment '{self.payment_id}' has another capture '{self.capture_id}'."


@dataclass(kw_only=True, eq=False)
class RefundIdTaken(Conflict):
    """The id belongs to another refund."""

    title = "The id belongs to another refund"
    meaning = "A refund is requested once; this id was used for another amount, or its refund failed."
    remedy = "Choose another id for another refund."

    payment_id: PaymentId
    refund_id: RefundId

    def __str__(self) -> str:
        return f"Payment '{self.payment_id}' has another refund '{self.refund_id}'."


@dataclass(kw_only=True, eq=False)
class AttemptInProgress(Conflict):
    """One attempt is open at a time."""

    title = "An attempt is in progress"
    meaning = "The provider has not said what came of the attempt `facts.attempt`; the buyer may have to act."
    remedy = "Wait for its outcome: until then the buyer may be charged by it."

    payment_id: PaymentId
    attempt: int

    def __str__(self) -> str:
        return f"Attempt {self.attempt} at payment '{self.payment_id}' is in progress."


@dataclass(kw_only=True, eq=False)
class NotAuthorised(Conflict):
    """Nothing is held for the payment."""

    title = "The payment is not authorised"
    meaning = "The provider holds nothing for this payment that could be captured."
    remedy = "Authorise the payment first, and wait for the outcome."

    payment_id: PaymentId
    status: str

    def __str__(self) -> str:
        return f"Payment '{self.payment_id}' is {self.status}."


@dataclass(kw_only=True, eq=False)
class AuthorisationExpired(Conflict):
    """The provider no longer holds the amount."""

    title = "The authorisation has expired"
    meaning = "The provider held the amount until `facts.expires_at`; nothing can be captured of it."
    remedy = "Authorise the payment again, for the rest."

    payment_id: PaymentId
    expires_at: datetime | None

    def __str__(self) -> str:
        return f"The authorisation of payment '{self.payment_id}' has expired."


@dataclass(kw_only=True, eq=False)
class AmountExceedsDue(Conflict):
    """The payments of the order cover it already."""

    title = "More than is due"
    meaning = "Payments of the order cover all but `facts.due` minor units of its total."
    remedy = "Void a payment that is not to be collected, or pay no more than is due."

    order_id: OrderId
    amount: Minor
    due: Minor

    def __str__(self) -> str:
        if self.due <= 0:
            return f"Nothing is due for order '{self.order_id}'."
        return f"{self.due} is due for order '{self.order_id}', not {self.amount}."


@dataclass(kw_only=True, eq=False)
class AmountExceedsCapturable(Conflict):
    """More than is held."""

    title = "More than can be captured"
    meaning = "Of what the provider holds, `facts.capturable` minor units are not captured or being captured."
    remedy = "Capture no more than that."

    payment_id: PaymentId
    amount: Minor
    capturable: Minor

    def __str__(self) -> str:
        if self.capturable <= 0:
            return f"Nothing of payment '{self.payment_id}' can be captured."
        return f"{self.capturable} of payment '{self.payment_id}' can be captured, not {self.amount}."


@dataclass(kw_only=True, eq=False)
class AmountExceedsRefundable(Conflict):
    """More than is there to be refunded."""

    title = "More than can be refunded"
    meaning = (
        "Of what was captured, `facts.refundable` minor units are left at once: the rest was refunded, is being"
        " refunded, is disputed, or was captured of another authorisation."
    )
    remedy = "Refund no more than that; what another authorisation collected is another refund."

    payment_id: PaymentId
    amount: Minor
    refundable: Minor

    def __str__(self) -> str:
        return f"{self.refundable} of payment '{self.payment_id}' can be refunded, not {self.amount}."


@dataclass(kw_only=True, eq=False)
class OrderNotPayable(Conflict):
    """The order will not be fulfilled, or its buyer has the money back."""

    title = "The order is not to be paid"
    meaning = "The order was rejected or cancelled, or its lost parcel refunded. `facts.status` says which of these."
    remedy = "Place a new order."

    order_id: OrderId
    status: str

    def __str__(self) -> str:
        return f"Order '{self.order_id}' is {self.status}."


@dataclass(kw_only=True, eq=False)
class PaymentIsClosed(Conflict):
    """It will collect no more."""

    title = "The payment is closed"
    meaning = "The payment was voided, or is being voided: it collects no more than it has."
    remedy = "Create another payment."

    payment_id: PaymentId
    status: str

    def __str__(self) -> str:
        return f"Payment '{self.payment_id}' is {self.status}."


@dataclass(kw_only=True, eq=False)
class CaptureInProgress(Conflict):
    """What is being captured cannot be voided."""

    title = "A capture is in progress"
    meaning = "The provider has not said what came of a capture, so nobody knows what is left to void."
    remedy = "Wait for its outcome."

    payment_id: PaymentId

    def __str__(self) -> str:
        return f"A capture of payment '{self.payment_id}' is in progress."


@dataclass(kw_only=True, eq=False)
class ManuallyPaid(Conflict):
    """No provider was involved."""

    title = "The payment was recorded by hand"
    meaning = (
        "No provider has this money: it cannot be authorised, captured, voided, or refunded to its origin."
    )
    remedy = "Refund it as store credit, or by hand."

    payment_id: PaymentId

    def __str__(self) -> str:
        return f"Payment '{self.payment_id}' was recorded by hand."


@dataclass(kw_only=True, eq=False)
class WebhookTooEarly(Conflict):
    """It tells of what follows something that is not recorded yet."""

    title = "The webhook came too early"
    meaning = "The webhook is about what follows something that the log does not have yet."
    remedy = "Deliver it again later: nothing was recorded."

    payment_id: PaymentId

    def __str__(self) -> str:
        return f"A webhook about payment '{self.payment_id}' came before what it follows."


@dataclass(kw_only=True, eq=False)
class Declined(Unacceptable):
    """The method will not work, however often it is tried."""

    title = "The method was declined for good"
    meaning = "The provider declined this method with `facts.provider_code`, and says that trying again is of no use."
    remedy = "Use another method."

    payment_id: PaymentId
    provider_code: str

    def __str__(self) -> str:
        return f"The method of payment '{self.payment_id}' was declined: {self.provider_code}."


@dataclass(kw_only=True, eq=False)
class CardNumberGiven(Unacceptable):
    """The log has no card numbers."""

    title = "A card number was given"
    meaning = (
        "`facts.member` contains 13 to 19 digits that could be a card's number, which is never recorded."
    )
    remedy = "Send the payment provider's token; an id needs a letter."

    member: str

    def __str__(self) -> str:
        return f"'{self.member}' has the form of a card number."

    def places(self) -> Iterator[Place]:
        """Name the member."""
        yield Place((self.member,), "It has the form of a card number")


@dataclass(kw_only=True, eq=False)
class RefundDoesNotAddUp(Unacceptable):
    """Its parts are not its amount."""

    title = "The refund does not add up"
    meaning = "Lines and shipping add up to `facts.parts` minor units, the refund to `facts.amount`."
    remedy = "Send parts that add up: amounts of lines with their tax and after their promotions."

    amount: Minor
    parts: Minor

    def __str__(self) -> str:
        return f"Lines and shipping add up to {self.parts}, not to {self.amount}."


@dataclass(kw_only=True, eq=False)
class RefundBeyondOrder(Unacceptable):
    """Its parts were not all ordered, or went back before."""

    title = "The refund is for more than was ordered"
    meaning = (
        "The order does not have the lines that `facts.parts` names, or not so many pieces or so much money of them, or"
        " of shipping, that refunds of its payments did not give back before. Shipping is what its lines come to that"
        " are not kept in stock."
    )
    remedy = "Correct these parts, or refund the amount without any."

    order_id: OrderId
    parts: tuple[str, ...]

    def __str__(self) -> str:
        return f"Order '{self.order_id}' does not have that much to give back: {', '.join(self.parts)}."


@dataclass(kw_only=True, eq=False)
class InsufficientCredit(Conflict):
    """The customer has less."""

    title = "Not enough store credit"
    meaning = (
        "Of the customer's store credit `facts.available` minor units are neither held, spent nor expired."
    )
    remedy = "Hold no more than that, and pay the rest by another method."

    customer_id: CustomerId
    currency: Currency
    amount: Minor
    available: Minor

    def __str__(self) -> str:
        return f"Customer '{self.customer_id}' has {self.available} {self.currency}, not {self.amount}."


@dataclass(kw_only=True, eq=False)
class CreditIdTaken(Conflict):
    """The id belongs to another credit."""

    title = "The id belongs to another credit"
    meaning = "A credit is issued once; this id was used for another amount."
    remedy = "Choose another id for another credit."

    customer_id: CustomerId
    credit_id: CreditId

    def __str__(self) -> str:
        return f"Customer '{self.customer_id}' has another credit '{self.credit_id}'."


@dataclass(kw_only=True, eq=False)
class CreditHoldIdTaken(Conflict):
    """The id belongs to another hold."""

    title = "The id belongs to another hold"
    meaning = (
        "Credit is held once under an id; this one was used for another order or amount, or was released."
    )
    remedy = "Choose another id for another hold."

    customer_id: CustomerId
    hold_id: CreditHoldId

    def __str__(self) -> str:
        return f"Customer '{self.customer_id}' has another hold '{self.hold_id}'."


@dataclass(kw_only=True, eq=False)
class CreditHoldUnknown(Unknown):
    """Nothing was held under this id."""

    title = "There is no such hold"
    meaning = "No store credit of this customer was held under this id."
    remedy = "Check the ids: case matters."

    customer_id: CustomerId
    hold_id: CreditHoldId

    def __str__(self) -> str:
        return f"Customer '{self.customer_id}' has no hold '{self.hold_id}'."


@dataclass(kw_only=True, eq=False)
class CreditHoldSettled(Conflict):
    """It ended in another way."""

    title = "The hold has ended"
    meaning = "What was held is `facts.status` already: a hold is either spent or released."
    remedy = "Hold credit again, or issue what was spent in error."

    customer_id: CustomerId
    hold_id: CreditHoldId
    status: str

    def __str__(self) -> str:
        return f"Hold '{self.hold_id}' of customer '{self.customer_id}' is {self.status}."


@dataclass(kw_only=True, eq=False)
class NobodyToCredit(Conflict):
    """A guest has no store credit."""

    title = "Nobody can be credited"
    meaning = "The order has no customer, so there is no store credit to refund to."
    remedy = "Refund to where the money came from, or by hand."

    payment_id: PaymentId

    def __str__(self) -> str:
        return f"Payment '{self.payment_id}' has no customer."
