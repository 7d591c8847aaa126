"""A stock item: how many pieces of one code are in the house, and how many of them are promised.

No decision here can promise or remove a piece that is not available, so whatever order decisions come in,
`0 <= reserved <= on_hand` holds. Which order holds which promise is the order's business: the state stays two
numbers however long the history grows.

Refusals of inventory:

Conflict  NotStocked, InsufficientStock, NotReserved
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from msgspec import Struct

from domain.aggregate import Aggregate
from domain.event import Event
from domain.ids import CreditNoteId, OrderId, Sku
from domain.inventory.events import (
    AdjustmentReason,
    Disposition,
    ReleaseReason,
    ReservationLost,
    StockAdjusted,
    StockReceived,
    StockReleased,
    StockReserved,
    StockReturned,
    StockShipped,
)
from domain.moment import in_utc
from domain.quantity import QUANTITY_MAX, QuantityOutOfRange, validate_quantity
from domain.rejection import Conflict


class StockItem(Struct, frozen=True, gc=False):
    """Pieces of one code."""

    sku: Sku
    on_hand: int
    reserved: int

    @property
    def available(self) -> int:
        """Pieces that nobody has been promised."""
        return self.on_hand - self.reserved


@dataclass(kw_only=True, eq=False)
class NotStocked(Conflict):
    """It is a service: there is nothing to count."""

    title = "The product is not kept in stock"
    meaning = "The product is a service, which has no stock to receive or to correct."
    remedy = "Name a product that is stocked."

    sku: Sku

    def __str__(self) -> str:
        return f"'{self.sku}' is not kept in stock."


@dataclass(kw_only=True, eq=False)
class InsufficientStock(Conflict):
    """Fewer pieces are available than asked for."""

    title = "Not enough pieces are available"
    meaning = "The command needs more pieces than are available: the others are reserved, or not on hand."
    remedy = (
        "Take at most `facts.available` pieces, receive more, or cancel an order that has some reserved; what is lost"
        " of reserved pieces is written off with the orders that they were for."
    )

    sku: Sku
    requested: int
    available: int

    def __str__(self) -> str:
        return f"Of '{self.sku}', {self.requested} were asked for and {self.available} are available."


@dataclass(kw_only=True, eq=False)
class NotReserved(Conflict):
    """More pieces would be released or shipped than are reserved."""

    title = "More pieces than are reserved"
    meaning = "The command releases or ships more pieces than are reserved."
    remedy = "Release or ship at most `facts.reserved` pieces."

    sku: Sku
    requested: int
    reserved: int

    def __str__(self) -> str:
        return f"Of '{self.sku}', {self.requested} were asked for and {self.reserved} are reserved."


def evolve(item: StockItem | None, event: Event) -> StockItem:
    """Return the stock as it is after `event`; before its first movement a code has no pieces."""
    on_hand, reserved = (0, 0) if item is None else (item.on_hand, item.reserved)
    match event:
        case StockReserved():
            return StockItem(event.sku, on_hand, reserved + event.quantity)
        case StockShipped():
            return StockItem(event.sku, on_hand - event.quantity, reserved - event.quantity)
        case StockReceived() | StockReturned():
            return StockItem(event.sku, on_hand + event.quantity, reserved)
        case StockAdjusted():
            return StockItem(event.sku, on_hand + event.delta, reserved)
        case StockReleased() | ReservationLost():
            return StockItem(event.sku, on_hand, reserved - event.quantity)
    raise AssertionError(f"{type(event).__name__} is no event of a stock item")


STOCK: Final[Aggregate[StockItem]] = Aggregate(
    "stock",
    evolve,
    (
        StockReceived,
        StockAdjusted,
        StockReserved,
        StockReleased,
        ReservationLost,
        StockShipped,
        StockReturned,
    ),
    snapshot_every=1_000,
)


def receive(
    _item: StockItem | None, *, sku: Sku, quantity: int, reference: str, now: datetime
) -> list[Event]:
    """Take a delivery in.

    Raises:
        QuantityOutOfRange: the quantity is not between 1 and `QUANTITY_MAX`.
    """
    quantity = validate_quantity(quantity)
    return [StockReceived(sku=sku, quantity=quantity, reference=reference, received_at=in_utc(now))]


def adjust(
    item: StockItem | None, *, sku: Sku, delta: int, reason: AdjustmentReason, note: str, now: datetime
) -> list[Event]:
    """Correct the books by `delta` pieces; a correction by 0 changes nothing.

    Raises:
        InsufficientStock: it would remove pieces that are promised or not there.
        QuantityOutOfRange: the delta is beyond `QUANTITY_MAX` up or down.
    """
    if abs(delta) > QUANTITY_MAX:
        raise QuantityOutOfRange(quantity=delta)
    if delta == 0:
        return []
    if delta < 0:
        _require_available(item, sku=sku, quantity=-delta)
    return [StockAdjusted(sku=sku, delta=delta, reason=reason, note=note, adjusted_at=in_utc(now))]


def reserve(
    item: StockItem | None, *, sku: Sku, order_id: OrderId, quantity: int, now: datetime
) -> list[Event]:
    """Promise pieces to an order: its whole demand for this code at once, never line by line.

    Raises:
        InsufficientStock: not that many are available.
    """
    assert quantity > 0, "an order that demands nothing of a code reserves nothing"
    _require_available(item, sku=sku, quantity=quantity)
    return [StockReserved(sku=sku, order_id=order_id, quantity=quantity, reserved_at=in_utc(now))]


def release(
    item: StockItem | None,
    *,
    sku: Sku,
    order_id: OrderId,
    quantity: int,
    reason: ReleaseReason,
    now: datetime,
) -> list[Event]:
    """Take back what an order was promised.

    Raises:
        NotReserved: not that many are promised.
    """
    _require_reserved(item, sku=sku, quantity=quantity)
    return [
        StockReleased(sku=sku, order_id=order_id, quantity=quantity, reason=reason, released_at=in_utc(now))
    ]


def lose(item: StockItem | None, *, sku: Sku, order_id: OrderId, quantity: int, now: datetime) -> list[Event]:
    """Take back what an order was promised, because it is not there; the books are corrected with it (`adjust`).

    Raises:
        NotReserved: not that many are promised.
    """
    _require_reserved(item, sku=sku, quantity=quantity)
    return [ReservationLost(sku=sku, order_id=order_id, quantity=quantity, lost_at=in_utc(now))]


def ship(item: StockItem | None, *, sku: Sku, order_id: OrderId, quantity: int, now: datetime) -> list[Event]:
    """Let promised pieces leave the house.

    Raises:
        NotReserved: not that many are promised.
    """
    _require_reserved(item, sku=sku, quantity=quantity)
    return [StockShipped(sku=sku, order_id=order_id, quantity=quantity, shipped_at=in_utc(now))]


def return_(
    _item: StockItem | None,
    *,
    sku: Sku,
    credit_note_id: CreditNoteId,
    quantity: int,
    disposition: Disposition,
    now: datetime,
) -> list[Event]:
    """Put credited pieces back on the shelf; a code that was never received may return as well."""
    assert quantity > 0, "a credit note without pieces of a code returns none"
    return [
        StockReturned(
            sku=sku,
            credit_note_id=credit_note_id,
            quantity=quantity,
            disposition=disposition,
            returned_at=in_utc(now),
        )
    ]


def _require_available(item: StockItem | None, *, sku: Sku, quantity: int) -> None:
    available = 0 if item is None else item.available
    if quantity > available:
        raise InsufficientStock(sku=sku, requested=quantity, available=available)


def _require_reserved(item: StockItem | None, *, sku: Sku, quantity: int) -> None:
    assert quantity > 0, "nothing is neither released nor shipped"
    reserved = 0 if item is None else item.reserved
    if quantity > reserved:
        raise NotReserved(sku=sku, requested=quantity, reserved=reserved)
