"""Row types and keys of orders and sales.

An order counts as a sale once it is confirmed, on its placed_at day in UTC, and is taken out again if it is
cancelled later. A credit note counts on its issued_at day. Sums never mix currencies; a row of zeros only is no row.
"""

from datetime import date, datetime
from typing import Annotated, Literal

from msgspec import Struct

from domain.ids import CustomerId, OrderId, PaymentId, Sku
from domain.money import Currency, Minor
from domain.ordering.events import (
    CONTACT_EMAIL,
    CONTACT_NAME,
    DELIVERY_ADDRESS,
    ROUNDED_BY_LINE,
    CancellationReason,
    HoldReason,
    OrderLine,
    OrderRounding,
    RejectionReason,
    Shortage,
)
from domain.ordering.order import ORDER
from domain.promotion_terms import LineDiscount, PromotionDiscount
from domain.sale_terms import LinePrice, SaleTax
from domain.sealed import Sealed
from domain.shipping.events import CarrierNumber
from domain.text import Country
from projections.view import DEFERRED, GLOBAL, KEYED, Row, View

Status = Literal["placed", "confirmed", "rejected", "cancelled", "shipped"]

PaymentAxis = Literal["none", "pending", "partial", "authorised", "captured", "refunded"]
"""Where the payments of an order stand together; `partial`: less than its total is held, or captured."""

FulfilmentAxis = Literal["none", "unfulfilled", "held", "overdue", "shipped", "lost"]
"""Where its parcel stands; `none`: there is and will be none; `held`: it is not to be sent yet; `overdue`: it should
have left; `lost`: it does not arrive, and its buyer has nothing for it yet.
"""

Step = Literal[
    "placed",
    "confirmed",
    "rejected",
    "cancelled",
    "shipped",
    "held",
    "hold_lifted",
    "stock_lost",
    "stock_replaced",
    "backordered",
    "backorder_filled",
    "dispatch_overdue",
    "payment_requested",
    "payment_action_required",
    "payment_declined",
    "payment_authorised",
    "payment_expired",
    "payment_voided",
    "payment_captured",
    "capture_failed",
    "refund_succeeded",
    "refund_failed",
    "refund_reversed",
    "chargeback_opened",
    "chargeback_won",
    "chargeback_lost",
    "credit_held",
    "credit_spent",
    "credit_released",
    "credit_returned",
    "label_bought",
    "label_refused",
    "parcel_lost",
    "loss_claimed",
    "loss_refunded",
    "loss_replaced",
]
"""One thing that became of an order, its payments or its parcel."""


class OrderDetails(Row, frozen=True, kw_only=True):
    """One order with its lines and what became of it. `missing` says of what stock did not suffice."""

    order_id: OrderId
    status: Status
    customer_id: CustomerId | None
    country: Country
    currency: Currency
    placed_at: datetime
    total: Minor
    units: int
    lines: tuple[OrderLine, ...]
    confirmed_at: datetime | None = None
    cancelled_at: datetime | None = None
    cancellation_reason: CancellationReason | None = None
    shipped_at: datetime | None = None
    rejected_at: datetime | None = None
    rejection_reason: RejectionReason | None = None
    missing: tuple[Shortage, ...] | None = None


class OrderContact(Row, frozen=True, kw_only=True):
    """Who is written to about one order, and where its parcel goes. An order without contact data is in no row."""

    order_id: OrderId
    customer_id: CustomerId | None
    name: Annotated[Sealed | None, CONTACT_NAME]
    email: Annotated[Sealed | None, CONTACT_EMAIL]
    address: Annotated[Sealed | None, DELIVERY_ADDRESS]


class OrderSummary(Row, frozen=True, kw_only=True):
    """One entry in a list of orders. `lines` is how many there are."""

    order_id: OrderId
    customer_id: CustomerId | None
    status: Status
    placed_at: datetime
    country: Country
    currency: Currency
    total: Minor
    lines: int


class TimelineStep(Struct, frozen=True, kw_only=True):
    """One step, and when it was. `amount` is in minor units, `payment_id` says of which payment.

    `hold` says what an order was held for, `sku` of what its stock was lost, or replaced, and `tracking` under which
    number the carrier has the parcel.
    """

    step: Step
    at: datetime
    amount: Minor | None = None
    payment_id: PaymentId | None = None
    hold: HoldReason | None = None
    sku: Sku | None = None
    tracking: CarrierNumber | None = None


class OrderHistory(Row, frozen=True, kw_only=True):
    """What became of one order, its payments and its parcel: three axes, and the steps in the order of the log.

    `held` is what a provider holds and did not take, `captured` what was taken, `returned` what of that went back,
    `disputed` what a bank took until it decides, and `asked` counts requests that no provider has answered. Of store
    credit `credit_held` is what is kept for it, `credit_spent` what paid for it, and `credit_returned` what of that is
    its customer's again; `payment` takes both together. The `total`
    is after `discounts`, which were taken off lines by `promotions`, and has the `tax`, rounded as `rounding` says, as
    far as prices do not hold it. `prices` say of which lists unit prices are. `holds` are the reasons for which the
    order is not to be shipped.
    """

    order_id: OrderId
    customer_id: CustomerId | None
    status: Status
    payment: PaymentAxis
    fulfilment: FulfilmentAxis
    placed_at: datetime
    country: Country
    currency: Currency
    total: Minor
    held: Minor = Minor(0)
    captured: Minor = Minor(0)
    returned: Minor = Minor(0)
    disputed: Minor = Minor(0)
    asked: int = 0
    credit_held: Minor = Minor(0)
    credit_spent: Minor = Minor(0)
    credit_returned: Minor = Minor(0)
    discounts: tuple[LineDiscount, ...] = ()
    promotions: tuple[PromotionDiscount, ...] = ()
    prices: tuple[LinePrice, ...] = ()
    tax: SaleTax | None = None
    rounding: OrderRounding = ROUNDED_BY_LINE
    holds: tuple[HoldReason, ...] = ()
    timeline: tuple[TimelineStep, ...]


class CustomerTotals(Row, frozen=True, kw_only=True):
    """Purchases and credits of one customer, in one currency. Anonymous orders are in no row."""

    customer_id: CustomerId
    currency: Currency
    orders: int = 0
    lines: int = 0
    units: int = 0
    revenue: int = 0
    credit_notes: int = 0
    credited: int = 0


class SkuSales(Row, frozen=True, kw_only=True):
    """Sales and credits of one SKU, in one currency. `orders` counts the orders with it."""

    sku: Sku
    currency: Currency
    orders: int = 0
    units: int = 0
    revenue: int = 0
    credited_units: int = 0
    credited: int = 0


class SalesDay(Row, frozen=True, kw_only=True):
    """Sales and credits of one UTC day to one country, in one currency."""

    day: date
    country: Country
    currency: Currency
    orders: int = 0
    lines: int = 0
    units: int = 0
    revenue: int = 0
    credit_notes: int = 0
    credit_lines: int = 0
    credited: int = 0


class OrderActivity(Row, frozen=True, kw_only=True):
    """Orders of one quarter of an hour, which begins `at`, in one currency; totals are in minor units.

    Every zone begins its days at a quarter of an hour in UTC, so days of any zone are sums of these.
    """

    at: datetime
    currency: Currency
    placed: int = 0
    placed_total: int = 0
    confirmed: int = 0
    confirmed_total: int = 0
    cancelled: int = 0
    cancelled_total: int = 0


order_details = View(
    name="order_details",
    row=OrderDetails,
    key=("order_id",),
    shape=1,
    kind=KEYED,
    document="ordering:order",
    category=ORDER.category,
)
order_contact = View(
    name="order_contact", row=OrderContact, key=("order_id",), shape=1, kind=KEYED, category=ORDER.category
)
"""Apart from `order_details`, whose bytes go through as they are and are revalidated and cached."""
order_summary = View(
    name="order_summary", row=OrderSummary, key=("order_id",), shape=1, kind=KEYED, category=ORDER.category
)
order_history = View(
    name="order_history",
    row=OrderHistory,
    key=("order_id",),
    shape=1,
    kind=DEFERRED,
    document="ordering:history",
    category=ORDER.category,
)
"""A view of its own, and no new shape of those above: they answer as they did until an operator rebuilds them."""
customer_totals = View(
    name="customer_totals", row=CustomerTotals, key=("customer_id", "currency"), shape=1, kind=GLOBAL
)
order_activity = View(name="order_activity", row=OrderActivity, key=("at", "currency"), shape=1, kind=GLOBAL)
sku_sales = View(name="sku_sales", row=SkuSales, key=("sku", "currency"), shape=1, kind=GLOBAL)
sales_daily = View(name="sales_daily", row=SalesDay, key=("day", "country", "currency"), shape=1, kind=GLOBAL)
