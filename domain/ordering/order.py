"""An order: placed, confirmed or rejected by what stock allows, shipped; cancelled at any time before that.

One that nobody decides in time is rejected too. Until it is shipped an order may be held, for several reasons at once
(`holding`): its status stays, and it is not shipped before each of them is lifted.

        ┌─▶ rejected
placed ─┼─▶ confirmed ─┬─▶ shipped
        └──────────────┴─▶ cancelled

Asking again for what already holds decides nothing. Refusals:

Conflict  OrderIdTaken, AlreadyConfirmed, AlreadyRejected, AlreadyShipped, AlreadyCancelled, NotConfirmed, OrderIsHeld
Unknown   OrderUnknown
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, assert_never

from msgspec import Struct
from msgspec.structs import replace

from domain.aggregate import Aggregate
from domain.event import Event
from domain.ids import CustomerId, OrderId, Sku
from domain.moment import in_utc
from domain.money import Currency, Minor
from domain.ordering.events import (
    ROUNDED_BY_LINE,
    BackorderFilled,
    CancellationReason,
    Contact,
    DispatchOverdue,
    HoldLifted,
    HoldReason,
    OrderBackordered,
    OrderCancelled,
    OrderConfirmed,
    OrderHeld,
    OrderLine,
    OrderPlaced,
    OrderRejected,
    OrderShipped,
    OrderStockLost,
    OrderStockReplaced,
    PaymentTerms,
    ShippedSku,
    Shortage,
    SkuTotal,
)
from domain.ordering.lines import LineRequest, discounts_of, grand_total, per_sku, priced, prices_of, tax_of
from domain.promotion_terms import PromotionDiscount, of_coupon
from domain.rejection import Conflict, Unknown
from domain.sale_terms import SaleTax


class Status(StrEnum):
    """Where an order stands."""

    PLACED = "placed"
    CONFIRMED = "confirmed"
    REJECTED = "rejected"
    CANCELLED = "cancelled"
    SHIPPED = "shipped"


class Order(Struct, frozen=True, kw_only=True):
    """The state that decisions need and later events repeat. `units` are the pieces of all lines.

    `reachable`: its contact data has an address of e-mail. `redeems`: it uses a coupon. `holds`: why it is not to be
    shipped. `lost`: the SKUs of which nothing is reserved any more. `backordered`: pieces that it waits for, by SKU.
    `payment_lifted_at`: when its hold for `payment` was last lifted.
    `waiting_since`: when it was confirmed, or its last hold lifted. `reminders`: how often it was overdue since.
    """

    order_id: OrderId
    status: Status
    customer_id: CustomerId | None
    placed_at: datetime
    country: str
    currency: Currency
    lines: tuple[OrderLine, ...]
    skus: tuple[SkuTotal, ...]
    units: int
    total: Minor
    payment: PaymentTerms | None = None
    shipped_at: datetime | None = None
    reachable: bool = False
    redeems: bool = False
    holds: tuple[HoldReason, ...] = ()
    lost: tuple[Sku, ...] = ()
    backordered: Mapping[Sku, int] = {}
    waiting_since: datetime | None = None
    payment_lifted_at: datetime | None = None
    reminders: int = 0


class Buyer(Struct, frozen=True, kw_only=True):
    """What a buyer says besides the lines: whom to write to, under the key of the registered customer; how to pay.

    `promotions` are by which the lines are cheaper, `tax` is that of the lines.
    """

    contact: Contact | None = None
    payment: PaymentTerms | None = None
    promotions: tuple[PromotionDiscount, ...] = ()
    tax: SaleTax | None = None


@dataclass(kw_only=True, eq=False)
class OrderUnknown(Unknown):
    """No order has this id."""

    title = "There is no such order"
    meaning = "The command addresses an order that was never placed."
    remedy = "Check the id: case matters."

    order_id: OrderId

    def __str__(self) -> str:
        return f"There is no order '{self.order_id}'."


@dataclass(kw_only=True, eq=False)
class OrderIdTaken(Conflict):
    """The id belongs to an order already."""

    title = "The id belongs to an order already"
    meaning = "An order is placed once."
    remedy = "Choose another id. To repeat a request whose answer was lost, send it with its first key."

    order_id: OrderId

    def __str__(self) -> str:
        return f"There is an order '{self.order_id}' already."


@dataclass(kw_only=True, eq=False)
class AlreadyConfirmed(Conflict):
    """Its stock is reserved; it cannot be rejected any more, only cancelled."""

    title = "The order is confirmed already"
    meaning = "Its stock is reserved, so it cannot be rejected any more."
    remedy = "Cancel the order instead."

    order_id: OrderId
    status: Status

    def __str__(self) -> str:
        return f"Order '{self.order_id}' is confirmed already."


@dataclass(kw_only=True, eq=False)
class AlreadyRejected(Conflict):
    """Nothing is left to confirm or cancel."""

    title = "The order was rejected"
    meaning = "Stock did not suffice, or the decision took too long; there is nothing to cancel or to ship."
    remedy = "Place a new order."

    order_id: OrderId
    status: Status = Status.REJECTED

    def __str__(self) -> str:
        return f"Order '{self.order_id}' was rejected."


@dataclass(kw_only=True, eq=False)
class AlreadyCancelled(Conflict):
    """It was called off before stock was checked."""

    title = "The order is cancelled"
    meaning = "The order was cancelled before."
    remedy = "Place a new order."

    order_id: OrderId
    status: Status = Status.CANCELLED

    def __str__(self) -> str:
        return f"Order '{self.order_id}' is cancelled."


@dataclass(kw_only=True, eq=False)
class AlreadyShipped(Conflict):
    """The parcel has left; the way back is a credit note."""

    title = "The order has been shipped"
    meaning = "The parcel has left, so the order cannot be cancelled any more."
    remedy = "Issue a credit note for returned pieces."

    order_id: OrderId
    shipped_at: datetime | None
    status: Status = Status.SHIPPED

    def __str__(self) -> str:
        return f"Order '{self.order_id}' has been shipped; what comes back is credited."


@dataclass(kw_only=True, eq=False)
class NotConfirmed(Conflict):
    """Only a confirmed order is shipped, or loses its stock."""

    title = "The order is not confirmed"
    meaning = "Only a confirmed order can be shipped, or lose its stock. `facts.status` has its status."
    remedy = "Wait until a placed order is confirmed; name none that is shipped, rejected or cancelled."

    order_id: OrderId
    status: Status

    def __str__(self) -> str:
        return f"Order '{self.order_id}' is {self.status}; this needs a confirmed order."


@dataclass(kw_only=True, eq=False)
class OrderIsHeld(Conflict):
    """It waits for somebody."""

    title = "The order is held"
    meaning = (
        "The order is not shipped while it is held, or its amount is not. `facts.reasons` says what for."
    )
    remedy = (
        "See to the reasons, and lift each hold; that of a payment is lifted once the amount is held again."
    )

    order_id: OrderId
    reasons: tuple[HoldReason, ...]

    def __str__(self) -> str:
        return f"Order '{self.order_id}' is held: {', '.join(self.reasons)}."


def evolve(order: Order | None, event: Event) -> Order:
    """Return the order as it is after `event`."""
    if isinstance(event, OrderPlaced):
        return _placed(event)
    assert order is not None, "an event about an order before it was placed"
    match event:
        case OrderConfirmed():
            return replace(order, status=Status.CONFIRMED, waiting_since=event.confirmed_at)
        case OrderShipped():
            return replace(order, status=Status.SHIPPED, shipped_at=event.shipped_at)
        case OrderCancelled():
            return replace(order, status=Status.CANCELLED)
        case OrderRejected():
            return replace(order, status=Status.REJECTED)
    return _held(order, event)


def _held(order: Order, event: Event) -> Order:
    """The order after an event about what it waits for."""
    match event:
        case OrderHeld():
            return replace(order, holds=(*order.holds, event.reason))
        case HoldLifted():
            holds = tuple(each for each in order.holds if each != event.reason)
            paid_at = event.lifted_at if event.reason == "payment" else order.payment_lifted_at
            return replace(order, holds=holds, waiting_since=event.lifted_at, payment_lifted_at=paid_at)
        case DispatchOverdue():
            return replace(order, reminders=event.reminder)
        case OrderStockLost():
            backordered = _waiting(order, event.sku, -order.backordered.get(event.sku, 0))
            return replace(order, lost=(*order.lost, event.sku), backordered=backordered)
        case OrderStockReplaced():
            return replace(order, lost=tuple(each for each in order.lost if each != event.sku))
        case OrderBackordered():
            return replace(order, backordered=_waiting(order, event.sku, event.quantity))
        case BackorderFilled():
            return replace(order, backordered=_waiting(order, event.sku, -event.quantity))
    raise AssertionError(f"{type(event).__name__} is no event of an order")


def _waiting(order: Order, sku: Sku, pieces: int) -> Mapping[Sku, int]:
    """What the order waits for after so many pieces more, or fewer, of a SKU."""
    after = {**order.backordered, sku: order.backordered.get(sku, 0) + pieces}
    return {each: quantity for each, quantity in after.items() if quantity > 0}


ORDER: Final[Aggregate[Order]] = Aggregate(
    "order",
    evolve,
    (
        OrderPlaced,
        OrderConfirmed,
        OrderRejected,
        OrderCancelled,
        OrderShipped,
        OrderHeld,
        HoldLifted,
        OrderStockLost,
        OrderStockReplaced,
        OrderBackordered,
        BackorderFilled,
        DispatchOverdue,
    ),
    cached=False,
)
"""Not cached: fulfilment writes every order too."""


def _placed(event: OrderPlaced) -> Order:
    return Order(
        order_id=event.order_id,
        status=Status.PLACED,
        customer_id=event.customer_id,
        placed_at=event.placed_at,
        country=event.country,
        currency=event.currency,
        lines=event.lines,
        skus=per_sku(event.lines),
        units=sum(line.quantity for line in event.lines),
        total=event.total,
        reachable=event.contact is not None and event.contact.email is not None,
        payment=event.payment,
        redeems=of_coupon(event.promotions) is not None,
    )


def known(order: Order | None, *, order_id: OrderId) -> Order:
    """The order that a command addresses.

    Raises:
        OrderUnknown: there is none.
    """
    if order is None:
        raise OrderUnknown(order_id=order_id)
    return order


def place(
    order: Order | None,
    *,
    order_id: OrderId,
    customer_id: CustomerId | None,
    placed_at: datetime,
    country: str,
    currency: Currency,
    lines: Sequence[LineRequest],
    buyer: Buyer = Buyer(),  # noqa: B008 - it is frozen
) -> list[Event]:
    """Order the lines, at the prices given. With a method the order waits for its payment, if it costs anything.

    Raises:
        OrderIdTaken: there is an order with this id.
        LineCountOutOfRange, QuantityOutOfRange, MalformedUnitPrice, UnknownCurrency, AmountTooLarge: the
            lines cannot be ordered as they stand.
    """
    if order is not None:
        raise OrderIdTaken(order_id=order_id)
    ordered = priced(lines, line=OrderLine, currency=currency)
    total = grand_total(ordered, currency=currency)
    discounts = discounts_of(lines)
    by_promotions = sum(each.amount for each in buyer.promotions)
    assert sum(each.amount for each in discounts) == by_promotions, (
        "a promotion takes off what lines cost less"
    )
    return [
        OrderPlaced(
            order_id=order_id,
            customer_id=customer_id,
            contact=buyer.contact,
            placed_at=in_utc(placed_at),
            country=country,
            currency=currency,
            lines=ordered,
            total=total,
            rounding=ROUNDED_BY_LINE,
            payment=None if total == 0 else buyer.payment,
            discounts=discounts,
            promotions=buyer.promotions,
            prices=prices_of(lines),
            tax=tax_of(lines, buyer.tax),
        )
    ]


def confirm(order: Order | None, *, order_id: OrderId, now: datetime) -> list[Event]:
    """Make the order a sale: its stock is reserved in the same append.

    Raises:
        OrderUnknown, AlreadyRejected, AlreadyCancelled: there is nothing to confirm (any more).
    """
    order = known(order, order_id=order_id)
    match order.status:
        case Status.PLACED:
            return [OrderConfirmed(**_sale(order), confirmed_at=in_utc(now))]
        case Status.CONFIRMED | Status.SHIPPED:
            return []
        case Status.REJECTED:
            raise AlreadyRejected(order_id=order_id)
        case Status.CANCELLED:
            raise AlreadyCancelled(order_id=order_id)
    assert_never(order.status)


def reject(
    order: Order | None, *, order_id: OrderId, missing: Sequence[Shortage], now: datetime
) -> list[Event]:
    """Turn the order down for want of stock, naming every code that is short.

    Raises:
        OrderUnknown, AlreadyConfirmed, AlreadyCancelled: there is nothing to reject (any more).
    """
    order = known(order, order_id=order_id)
    match order.status:
        case Status.PLACED:
            short = tuple(missing)
            return [OrderRejected(order_id=order_id, reason="stock", missing=short, rejected_at=in_utc(now))]
        case Status.REJECTED:
            return []
        case Status.CONFIRMED | Status.SHIPPED:
            raise AlreadyConfirmed(order_id=order_id, status=order.status)
        case Status.CANCELLED:
            raise AlreadyCancelled(order_id=order_id)
    assert_never(order.status)


def reject_undecided(order: Order | None, *, order_id: OrderId, now: datetime) -> list[Event]:
    """Turn down an order that nobody decided in time; one that is decided stays as it is.

    One that is paid is cancelled: its stock may be reserved, and its amount held.

    Raises:
        OrderUnknown: there is no such order.
    """
    order = known(order, order_id=order_id)
    if order.status is not Status.PLACED:
        return []
    if order.payment is not None:
        return [_cancelled(order, reason="expired", now=now)]
    return [OrderRejected(order_id=order_id, reason="undecided", missing=(), rejected_at=in_utc(now))]


def cancel(
    order: Order | None, *, order_id: OrderId, reason: CancellationReason, now: datetime
) -> list[Event]:
    """Call off an order that has not been shipped.

    Raises:
        OrderUnknown: there is no such order.
        AlreadyShipped: the parcel has left; the way back is a credit note.
        AlreadyRejected: there is nothing left to call off.
    """
    order = known(order, order_id=order_id)
    match order.status:
        case Status.PLACED | Status.CONFIRMED:
            return [_cancelled(order, reason=reason, now=now)]
        case Status.CANCELLED:
            return []
        case Status.SHIPPED:
            raise AlreadyShipped(order_id=order_id, shipped_at=order.shipped_at)
        case Status.REJECTED:
            raise AlreadyRejected(order_id=order_id)
    assert_never(order.status)


def ship(order: Order | None, *, order_id: OrderId, now: datetime) -> list[Event]:
    """Send a confirmed order off.

    Raises:
        OrderUnknown: there is no such order.
        NotConfirmed: it is not confirmed, or no longer.
        OrderIsHeld: it waits for somebody.
    """
    order = known(order, order_id=order_id)
    match order.status:
        case Status.CONFIRMED if order.holds:
            raise OrderIsHeld(order_id=order_id, reasons=order.holds)
        case Status.CONFIRMED:
            skus = tuple(ShippedSku(sku=each.sku, quantity=each.units) for each in order.skus if each.stocked)
            return [OrderShipped(order_id=order_id, skus=skus, shipped_at=in_utc(now))]
        case Status.SHIPPED:
            return []
        case Status.PLACED | Status.REJECTED | Status.CANCELLED:
            raise NotConfirmed(order_id=order_id, status=order.status)
    assert_never(order.status)


def _cancelled(order: Order, *, reason: CancellationReason, now: datetime) -> OrderCancelled:
    was_confirmed = order.status is Status.CONFIRMED
    return OrderCancelled(
        **_sale(order), reason=reason, was_confirmed=was_confirmed, cancelled_at=in_utc(now)
    )


def _sale(order: Order) -> dict[str, Any]:
    """What sums need of an order, which its later events repeat."""
    return {
        "order_id": order.order_id,
        "customer_id": order.customer_id,
        "placed_at": order.placed_at,
        "country": order.country,
        "currency": order.currency,
        "lines": len(order.lines),
        "skus": order.skus,
        "units": order.units,
        "total": order.total,
    }
