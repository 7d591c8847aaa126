"""The events of ordering: the only part of it that other packages may rely on.

A fold of these sees one event and one row, so the later events of an order repeat what a fold needs of the
earlier ones. `units` are pieces, `total` is in minor units of `currency`; `skus` are sorted by sku, with one
entry per SKU.
"""

from typing import Annotated, Any, Final, Literal

from msgspec import Struct

from domain.event import Event, event_type, upcasts
from domain.ids import CreditNoteId, CustomerId, OrderId, PaymentId, Sku, customer_tag
from domain.moment import Moment
from domain.money import Currency, Minor, UnitPrice
from domain.promotion_terms import LineDiscount, PromotionDiscount
from domain.sale_terms import LinePrice, SaleTax
from domain.sealed import Sealed
from domain.text import Country, MethodRef, Personal

CancellationReason = Literal["customer", "declined", "fraud", "inventory", "staff", "expired", "other"]

RejectionReason = Literal["stock", "undecided"]
"""Stock did not suffice, or nobody had decided by the time that orders are given."""

HoldReason = Literal["payment", "stock", "fraud", "manual"]
"""Its amount is not held, its stock is gone, it may be fraud, or somebody wants it so."""

_UNTIL_ERASED: Final = "until the customer is erased"

CONTACT_NAME: Final = Personal("name", purpose="who takes the parcel of an order", kept=_UNTIL_ERASED)
CONTACT_EMAIL: Final = Personal("email", purpose="to write about an order", kept=_UNTIL_ERASED)
DELIVERY_ADDRESS: Final = Personal("address", purpose="where the parcel of an order goes", kept=_UNTIL_ERASED)


class OrderLine(Struct, frozen=True, kw_only=True, gc=False):
    """One line as sold: the price is the quoted one, whatever the catalogue says later.

    `total` is after discounts, and has the tax that is added to the price.
    """

    line_id: int
    sku: Sku
    quantity: int
    unit_price: UnitPrice
    total: Minor
    stocked: bool


class CreditLine(Struct, frozen=True, kw_only=True, gc=False):
    """One line as credited: quantity and total are positive, and reduce what was sold."""

    line_id: int
    sku: Sku
    quantity: int
    unit_price: UnitPrice
    total: Minor
    stocked: bool


class SkuTotal(Struct, frozen=True, kw_only=True, gc=False):
    """All lines of one SKU taken together."""

    sku: Sku
    units: int
    total: Minor
    stocked: bool


class Shortage(Struct, frozen=True, kw_only=True, gc=False):
    """A SKU of which an order wants more pieces than are available."""

    sku: Sku
    requested: int
    available: int


class ShippedSku(Struct, frozen=True, kw_only=True, gc=False):
    """Pieces of one stocked SKU that left with an order."""

    sku: Sku
    quantity: int


class Contact(Struct, frozen=True, kw_only=True, gc=False):
    """Who is written to about an order and where the parcel goes, sealed under the key of the order's customer."""

    name: Annotated[Sealed | None, CONTACT_NAME] = None
    email: Annotated[Sealed | None, CONTACT_EMAIL] = None
    address: Annotated[Sealed | None, DELIVERY_ADDRESS] = None


class OrderRounding(Struct, frozen=True, kw_only=True, gc=False):
    """How amounts finer than the minor unit became whole: which way half of one went, and the amount it was done to."""

    mode: Literal["half_even", "half_up", "half_down"]
    level: Literal["line", "unit"]


ROUNDED_BY_LINE: Final = OrderRounding(mode="half_even", level="line")
"""As every order was rounded before orders said so."""


class PaymentTerms(Struct, frozen=True, kw_only=True, gc=False):
    """The method that pays an order. Its payment has the id of the order."""

    method_ref: MethodRef


@event_type("ordering.order_placed.v1")
class OrderPlacedV1(Event, frozen=True, kw_only=True):
    """Somebody wants this: when this was recorded no order had contact data."""

    order_id: OrderId
    customer_id: CustomerId | None
    placed_at: Moment
    country: Country
    currency: Currency
    lines: tuple[OrderLine, ...]
    total: Minor


def _customer(order: "OrderPlaced") -> tuple[str, ...]:
    return () if order.customer_id is None else (customer_tag(order.customer_id),)


@event_type("ordering.order_placed.v2", tags=_customer)
class OrderPlacedV2(Event, frozen=True, kw_only=True):
    """Somebody wants this: when this was recorded no order said how it is paid, nor how its amounts were rounded."""

    order_id: OrderId
    customer_id: CustomerId | None
    contact: Contact | None
    placed_at: Moment
    country: Country
    currency: Currency
    lines: tuple[OrderLine, ...]
    total: Minor


@upcasts(OrderPlacedV1)
def _placed_without_contact(old: OrderPlacedV1) -> OrderPlacedV2:
    return OrderPlacedV2(
        order_id=old.order_id,
        customer_id=old.customer_id,
        contact=None,
        placed_at=old.placed_at,
        country=old.country,
        currency=old.currency,
        lines=old.lines,
        total=old.total,
    )


@event_type("ordering.order_placed.v3", tags=_customer)
class OrderPlaced(Event, frozen=True, kw_only=True):
    """Somebody wants this. `placed_at` is when they said so, which may lie years before it was recorded.

    It has the tag of its customer. Only a registered customer's order has contact data. One without `payment` is paid
    elsewhere, or not at all. `discounts` are what was taken off lines, whose totals are after that, by `promotions`:
    both are the same amount. `prices` say of which lists unit prices are. The `tax` is that of each line after its
    discounts, rounded as `rounding` says; it is null where nobody taxed the order. The total is the sum of the lines',
    and what is paid.
    """

    order_id: OrderId
    customer_id: CustomerId | None
    contact: Contact | None
    placed_at: Moment
    country: Country
    currency: Currency
    lines: tuple[OrderLine, ...]
    total: Minor
    rounding: OrderRounding
    payment: PaymentTerms | None
    discounts: tuple[LineDiscount, ...] = ()
    promotions: tuple[PromotionDiscount, ...] = ()
    prices: tuple[LinePrice, ...] = ()
    tax: SaleTax | None = None


@upcasts(OrderPlacedV2)
def _placed_without_payment(old: OrderPlacedV2) -> OrderPlaced:
    return OrderPlaced(
        order_id=old.order_id,
        customer_id=old.customer_id,
        contact=old.contact,
        placed_at=old.placed_at,
        country=old.country,
        currency=old.currency,
        lines=old.lines,
        total=old.total,
        rounding=ROUNDED_BY_LINE,
        payment=None,
    )


@event_type("ordering.order_confirmed.v1")
class OrderConfirmed(Event, frozen=True, kw_only=True):
    """All stocked pieces are reserved: from now on the order counts as a sale."""

    order_id: OrderId
    customer_id: CustomerId | None
    placed_at: Moment
    country: Country
    currency: Currency
    lines: int
    skus: tuple[SkuTotal, ...]
    units: int
    total: Minor
    confirmed_at: Moment


@event_type("ordering.order_rejected.v1")
class OrderRejectedV1(Event, frozen=True, kw_only=True):
    """Stock did not suffice: when this was recorded there was no other reason."""

    order_id: OrderId
    missing: tuple[Shortage, ...]
    rejected_at: Moment


@event_type("ordering.order_rejected.v2")
class OrderRejected(Event, frozen=True, kw_only=True):
    """Nothing was reserved. `missing` names what is short if the reason is stock, and nothing otherwise."""

    order_id: OrderId
    reason: RejectionReason
    missing: tuple[Shortage, ...]
    rejected_at: Moment


@upcasts(OrderRejectedV1)
def _rejected_for_want_of_stock(old: OrderRejectedV1) -> OrderRejected:
    return OrderRejected(
        order_id=old.order_id, reason="stock", missing=old.missing, rejected_at=old.rejected_at
    )


@event_type("ordering.order_cancelled.v1")
class OrderCancelled(Event, frozen=True, kw_only=True):
    """The order will not be shipped. It was a sale (and is one no longer) only if `was_confirmed`."""

    order_id: OrderId
    reason: CancellationReason
    was_confirmed: bool
    customer_id: CustomerId | None
    placed_at: Moment
    country: Country
    currency: Currency
    lines: int
    skus: tuple[SkuTotal, ...]
    units: int
    total: Minor
    cancelled_at: Moment


@event_type("ordering.order_shipped.v1")
class OrderShipped(Event, frozen=True, kw_only=True):
    """The parcel has left. `skus` names only what is stocked."""

    order_id: OrderId
    skus: tuple[ShippedSku, ...]
    shipped_at: Moment


@event_type("ordering.order_held.v1")
class OrderHeld(Event, frozen=True, kw_only=True):
    """The order is not shipped while it is held. It may be held for several reasons, each of which is lifted."""

    order_id: OrderId
    reason: HoldReason
    held_at: Moment


@event_type("ordering.hold_lifted.v1")
class HoldLifted(Event, frozen=True, kw_only=True):
    """The order is not held for this reason any more."""

    order_id: OrderId
    reason: HoldReason
    lifted_at: Moment


@event_type("ordering.order_stock_lost.v1")
class OrderStockLost(Event, frozen=True, kw_only=True):
    """What was reserved of a SKU for the order is gone: nothing is, until it is replaced."""

    order_id: OrderId
    sku: Sku
    quantity: int
    lost_at: Moment


@event_type("ordering.order_stock_replaced.v1")
class OrderStockReplaced(Event, frozen=True, kw_only=True):
    """The order's whole demand for a SKU is reserved again, in the same append."""

    order_id: OrderId
    sku: Sku
    quantity: int
    replaced_at: Moment


@event_type("ordering.order_backordered.v1")
class OrderBackordered(Event, frozen=True, kw_only=True):
    """The order waits for so many pieces of a SKU: the rest of its demand is reserved."""

    order_id: OrderId
    sku: Sku
    quantity: int
    backordered_at: Moment


@event_type("ordering.backorder_filled.v1")
class BackorderFilled(Event, frozen=True, kw_only=True):
    """So many of the pieces that the order waits for are reserved for it."""

    order_id: OrderId
    sku: Sku
    quantity: int
    filled_at: Moment


@event_type("ordering.dispatch_overdue.v1")
class DispatchOverdue(Event, frozen=True, kw_only=True):
    """The order could be sent since `waiting_since`, and was not: warehouse and buyer are written to."""

    order_id: OrderId
    reminder: int
    waiting_since: Moment
    noted_at: Moment


def _order(event: Any) -> str:
    return f"order-{event.order_id}"


PaymentNeed = Literal["declined", "action_required", "not_collected"]
"""Its method was declined, the buyer has to confirm it, or the order has left and its money was not taken."""


class ReleasedSku(Struct, frozen=True, kw_only=True, gc=False):
    """Pieces of one stocked SKU that are not reserved for an order any more."""

    sku: Sku
    quantity: int


@event_type("ordering.purchase_begun.v1", partition=_order)
class PurchaseBegun(Event, frozen=True, kw_only=True):
    """All stocked pieces of an order are promised, and the provider is to hold its amount, both in the same append."""

    order_id: OrderId
    payment_id: PaymentId
    currency: Currency
    amount: Minor
    begun_at: Moment


@event_type("ordering.payment_needed.v1", partition=_order)
class PaymentNeeded(Event, frozen=True, kw_only=True):
    """Somebody has to see to the money of an order. `attempt` counts authorisations, or times it was not collected."""

    order_id: OrderId
    payment_id: PaymentId
    reason: PaymentNeed
    attempt: int
    needed_at: Moment


@event_type("ordering.payment_added.v1", partition=_order)
class PaymentAdded(Event, frozen=True, kw_only=True):
    """Another payment pays for the order, whose own was voided: its amount is held, or came in."""

    order_id: OrderId
    payment_id: PaymentId
    added_at: Moment


@event_type("ordering.payment_expiry_scheduled.v1", partition=_order)
class PaymentExpiryScheduled(Event, frozen=True, kw_only=True):
    """Of several payments that pay for the order, whose own was voided, the first is not held any more then."""

    order_id: OrderId
    expires_at: Moment
    scheduled_at: Moment


@event_type("ordering.purchase_unwound.v1", partition=_order)
class PurchaseUnwound(Event, frozen=True, kw_only=True):
    """The order is off: what was reserved for it is `released`, and its payment is to collect nothing.

    Or its parcel was lost and is refunded: nothing of its stock is released then.
    """

    order_id: OrderId
    payment_id: PaymentId
    released: tuple[ReleasedSku, ...]
    unwound_at: Moment


def order_tag(order_id: OrderId) -> str:
    """The tag of what belongs to an order without being in its stream."""
    return f"order:{order_id}"


@event_type(
    "ordering.credit_note_issued.v1",
    tags=lambda note: () if note.order_id is None else (order_tag(note.order_id),),
)
class CreditNoteIssued(Event, frozen=True, kw_only=True):
    """Money was given back for pieces that came back, with or without an order named."""

    credit_note_id: CreditNoteId
    order_id: OrderId | None
    customer_id: CustomerId | None
    issued_at: Moment
    country: Country
    currency: Currency
    lines: tuple[CreditLine, ...]
    skus: tuple[SkuTotal, ...]
    units: int
    total: Minor
