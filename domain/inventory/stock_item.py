"""A stock item: how many pieces of one code are in the house, and how many of them are promised.

No decision here can promise or remove a piece that is not available, so whatever order decisions come in,
`0 <= reserved <= on_hand` holds. Which order holds which promise is the order's business: the state stays two
numbers however long the history grows.

Pieces that are not there may be promised up to a limit, which is 0 until it is set: such orders wait in a queue, which
is no longer than the limit. What becomes available goes to them first, in the same append, the oldest first: so none
waits while a piece is available, and on hand - reserved - backordered is never below -limit when something is promised.

Refusals of inventory:

Conflict  NotStocked, InsufficientStock, NotReserved
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from typing import Final

from msgspec import Struct

from domain.aggregate import Aggregate
from domain.event import Event
from domain.ids import CreditNoteId, OrderId, Sku
from domain.inventory.events import (
    AdjustmentReason,
    BackorderAllocated,
    BackorderPolicySet,
    BackorderRecorded,
    BackorderReleased,
    BackorderReleaseReason,
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

BACKORDER_LIMIT_MAX: Final = 1_000
"""Pieces of one code that may be promised without being there: as many orders may get theirs in one append."""


class Backorder(Struct, frozen=True, gc=False):
    """Pieces that one order waits for."""

    order_id: OrderId
    quantity: int


class StockItem(Struct, frozen=True, gc=False):
    """Pieces of one code. `backorders` are the orders that wait for more, the oldest first."""

    sku: Sku
    on_hand: int
    reserved: int
    backorder_limit: int = 0
    backorders: tuple[Backorder, ...] = ()

    @property
    def available(self) -> int:
        """Pieces that nobody has been promised."""
        return self.on_hand - self.reserved

    @property
    def orderable(self) -> int:
        """Pieces that an order may be promised, those that are not there included."""
        room = self.backorder_limit - sum(each.quantity for each in self.backorders)
        return self.available + max(room, 0)

    def waiting(self, order_id: OrderId) -> int:
        """Pieces that an order waits for."""
        return sum(each.quantity for each in self.backorders if each.order_id == order_id)


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
    limit, queue = (0, ()) if item is None else (item.backorder_limit, item.backorders)
    match event:
        case StockReserved():
            return StockItem(event.sku, on_hand, reserved + event.quantity, limit, queue)
        case StockShipped():
            return StockItem(event.sku, on_hand - event.quantity, reserved - event.quantity, limit, queue)
        case StockReceived() | StockReturned():
            return StockItem(event.sku, on_hand + event.quantity, reserved, limit, queue)
        case StockAdjusted():
            return StockItem(event.sku, on_hand + event.delta, reserved, limit, queue)
        case StockReleased() | ReservationLost():
            return StockItem(event.sku, on_hand, reserved - event.quantity, limit, queue)
        case BackorderPolicySet():
            return StockItem(event.sku, on_hand, reserved, event.limit, queue)
        case BackorderRecorded():
            queue = (*queue, Backorder(event.order_id, event.quantity))
            return StockItem(event.sku, on_hand, reserved, limit, queue)
        case BackorderAllocated():
            queue = _less(queue, event)
            return StockItem(event.sku, on_hand, reserved + event.quantity, limit, queue)
        case BackorderReleased():
            return StockItem(event.sku, on_hand, reserved, limit, _less(queue, event))
    raise AssertionError(f"{type(event).__name__} is no event of a stock item")


def _less(
    queue: tuple[Backorder, ...], event: BackorderAllocated | BackorderReleased
) -> tuple[Backorder, ...]:
    """Those that wait after one order got, or gave up, some of its pieces."""
    return tuple(
        left
        for each in queue
        if (
            left := Backorder(each.order_id, each.quantity - event.quantity)
            if each.order_id == event.order_id
            else each
        ).quantity
        > 0
    )


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
        BackorderPolicySet,
        BackorderRecorded,
        BackorderAllocated,
        BackorderReleased,
    ),
    snapshot_every=1_000,
)


def receive(item: StockItem | None, *, sku: Sku, quantity: int, reference: str, now: datetime) -> list[Event]:
    """Take a delivery in; orders that wait get theirs of it.

    Raises:
        QuantityOutOfRange: the quantity is not between 1 and `QUANTITY_MAX`.
    """
    quantity = validate_quantity(quantity)
    received = StockReceived(sku=sku, quantity=quantity, reference=reference, received_at=in_utc(now))
    return _allocated(item, [received], now=now)


def adjust(
    item: StockItem | None, *, sku: Sku, delta: int, reason: AdjustmentReason, note: str, now: datetime
) -> list[Event]:
    """Correct the books by `delta` pieces; a correction by 0 changes nothing. Orders that wait get what there is more.

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
    adjusted = StockAdjusted(sku=sku, delta=delta, reason=reason, note=note, adjusted_at=in_utc(now))
    return _allocated(item, [adjusted], now=now)


def set_backorder_limit(item: StockItem | None, *, sku: Sku, limit: int, now: datetime) -> list[Event]:
    """Say how many pieces may be promised that are not there; orders that wait for more go on waiting."""
    assert 0 <= limit <= BACKORDER_LIMIT_MAX, "the border refuses any other"
    if limit == (0 if item is None else item.backorder_limit):
        return []
    return [BackorderPolicySet(sku=sku, limit=limit, set_at=in_utc(now))]


def reserve(
    item: StockItem | None, *, sku: Sku, order_id: OrderId, quantity: int, now: datetime
) -> list[Event]:
    """Promise pieces that are there to an order: its whole demand for this code at once, never line by line.

    Raises:
        InsufficientStock: not that many are available.
    """
    assert quantity > 0, "an order that demands nothing of a code reserves nothing"
    _require_available(item, sku=sku, quantity=quantity)
    return [StockReserved(sku=sku, order_id=order_id, quantity=quantity, reserved_at=in_utc(now))]


def promise(
    item: StockItem | None, *, sku: Sku, order_id: OrderId, quantity: int, now: datetime
) -> list[Event]:
    """Reserve for an order what is there of its whole demand for this code, and have it wait for the rest.

    Raises:
        InsufficientStock: not that many are available, nor within the limit of backorders.
    """
    available, orderable = (0, 0) if item is None else (item.available, item.orderable)
    if quantity <= available:
        return reserve(item, sku=sku, order_id=order_id, quantity=quantity, now=now)
    if quantity > orderable:
        raise InsufficientStock(sku=sku, requested=quantity, available=orderable)
    reserved = reserve(item, sku=sku, order_id=order_id, quantity=available, now=now) if available else []
    waits = BackorderRecorded(
        sku=sku, order_id=order_id, quantity=quantity - available, recorded_at=in_utc(now)
    )
    return [*reserved, waits]


def release(
    item: StockItem | None,
    *,
    sku: Sku,
    order_id: OrderId,
    quantity: int,
    reason: ReleaseReason,
    now: datetime,
) -> list[Event]:
    """Take back what an order was promised, there or not; orders that wait get what becomes available.

    Raises:
        NotReserved: not that many are promised.
    """
    ended = _waits_no_more(item, sku=sku, order_id=order_id, reason=reason, now=now)
    reserved = quantity - sum(each.quantity for each in ended)
    if not reserved:
        return [*ended]
    _require_reserved(item, sku=sku, quantity=reserved)
    released = StockReleased(
        sku=sku, order_id=order_id, quantity=reserved, reason=reason, released_at=in_utc(now)
    )
    return _allocated(item, [*ended, released], now=now)


def lose(item: StockItem | None, *, sku: Sku, order_id: OrderId, quantity: int, now: datetime) -> list[Event]:
    """Take back what an order was promised, because it is not there; the books are corrected with it (`adjust`).

    An order that waited for more waits in the queue no longer: what it has lost is reserved again at once.

    Raises:
        NotReserved: not that many are promised.
    """
    _require_reserved(item, sku=sku, quantity=quantity)
    lost = ReservationLost(sku=sku, order_id=order_id, quantity=quantity, lost_at=in_utc(now))
    return [lost, *_waits_no_more(item, sku=sku, order_id=order_id, reason="lost", now=now)]


def ship(item: StockItem | None, *, sku: Sku, order_id: OrderId, quantity: int, now: datetime) -> list[Event]:
    """Let promised pieces leave the house.

    Raises:
        NotReserved: not that many are promised.
    """
    _require_reserved(item, sku=sku, quantity=quantity)
    return [StockShipped(sku=sku, order_id=order_id, quantity=quantity, shipped_at=in_utc(now))]


def return_(
    item: StockItem | None,
    *,
    sku: Sku,
    credit_note_id: CreditNoteId,
    quantity: int,
    disposition: Disposition,
    now: datetime,
) -> list[Event]:
    """Put credited pieces back on the shelf; a code that was never received may return as well."""
    assert quantity > 0, "a credit note without pieces of a code returns none"
    returned = StockReturned(
        sku=sku,
        credit_note_id=credit_note_id,
        quantity=quantity,
        disposition=disposition,
        returned_at=in_utc(now),
    )
    return _allocated(item, [returned], now=now)


def _allocated(item: StockItem | None, events: Sequence[Event], *, now: datetime) -> list[Event]:
    """The events, and what orders that wait get of the pieces that are available after them."""
    if item is None or not item.backorders:
        return [*events]
    after = reduce(evolve, events, item)
    assert after is not None, "there are events"
    available, allocated = after.available, list(events)
    for waiting in after.backorders:
        quantity = min(waiting.quantity, available)
        if quantity == 0:
            break
        available -= quantity
        allocated.append(
            BackorderAllocated(
                sku=after.sku, order_id=waiting.order_id, quantity=quantity, allocated_at=in_utc(now)
            )
        )
    return allocated


def _waits_no_more(
    item: StockItem | None, *, sku: Sku, order_id: OrderId, reason: BackorderReleaseReason, now: datetime
) -> list[BackorderReleased]:
    quantity = 0 if item is None else item.waiting(order_id)
    if not quantity:
        return []
    return [
        BackorderReleased(
            sku=sku, order_id=order_id, quantity=quantity, reason=reason, released_at=in_utc(now)
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
