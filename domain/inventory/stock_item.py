"""A stock item: how many pieces of one code are in the house, and how many of them are promised.

No decision here can promise or remove a piece that is not available, so whatever order decisions come in,
`0 <= reserved <= on_hand` holds. Which order holds which promise is the order's business: the state stays two
numbers however long the history grows.

Pieces that are not there may be promised up to a limit, which is 0 until it is set: such orders wait in a queue, which
is no longer than the limit. What becomes available goes to them first, in the same append, the oldest first: so none
waits while a piece is available, and on hand - reserved - backordered is never below -limit when something is promised.

Pieces lie at locations; those that are said to lie nowhere else lie at the main one. What holds for all holds at each
location. Decisions take the open `locations`, in the order in which orders are planned over them.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from domain.aggregate import Aggregate
from domain.event import Event
from domain.ids import CreditNoteId, LocationId, OrderId, Sku
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
    StockLocated,
    StockReceived,
    StockReleased,
    StockReserved,
    StockReturned,
    StockShipped,
)
from domain.inventory.locations import MAIN
from domain.inventory.stock_refusals import InsufficientStock, NotReserved
from domain.moment import in_utc
from domain.quantity import QUANTITY_MAX, QuantityOutOfRange, validate_quantity

BACKORDER_LIMIT_MAX: Final = 1_000
"""Pieces of one code that may be promised without being there: as many orders may get theirs in one append."""


class Backorder(Struct, frozen=True, gc=False):
    """Pieces that one order waits for."""

    order_id: OrderId
    quantity: int


class Pieces(Struct, frozen=True, gc=False):
    """Pieces at one location."""

    on_hand: int = 0
    reserved: int = 0

    @property
    def available(self) -> int:
        """Pieces that nobody has been promised."""
        return self.on_hand - self.reserved


class StockItem(Struct, frozen=True, gc=False):
    """Pieces of one code, at all locations. `backorders` are the orders that wait for more, the oldest first.

    `elsewhere` are those of them that do not lie at the main location; `reserved_elsewhere` says for whom.
    """

    sku: Sku
    on_hand: int
    reserved: int
    backorder_limit: int = 0
    backorders: tuple[Backorder, ...] = ()
    elsewhere: Mapping[LocationId, Pieces] = {}
    reserved_elsewhere: Mapping[OrderId, Mapping[LocationId, int]] = {}

    @property
    def available(self) -> int:
        """Pieces that nobody has been promised."""
        return self.on_hand - self.reserved

    def at(self, location_id: LocationId) -> Pieces:
        """The pieces at one location."""
        if location_id != MAIN:
            return self.elsewhere.get(location_id, Pieces())
        on_hand, reserved = self.on_hand, self.reserved
        for each in self.elsewhere.values():
            on_hand, reserved = on_hand - each.on_hand, reserved - each.reserved
        return Pieces(on_hand, reserved)

    def available_at(self, locations: Sequence[LocationId]) -> int:
        """Pieces at these locations that nobody has been promised."""
        return sum(self.at(each).available for each in locations)

    def orderable(self, locations: Sequence[LocationId]) -> int:
        """Pieces that an order may be promised of these locations, those that are not there included."""
        room = self.backorder_limit - sum(each.quantity for each in self.backorders)
        return self.available_at(locations) + max(room, 0)

    def waiting(self, order_id: OrderId) -> int:
        """Pieces that an order waits for."""
        return sum(each.quantity for each in self.backorders if each.order_id == order_id)


def evolve(item: StockItem | None, event: Event) -> StockItem:
    """Return the stock as it is after `event`; before its first movement a code has no pieces."""
    match event:
        case StockReserved():
            return _moved(item, event.sku, reserved=event.quantity)
        case StockShipped():
            return _moved(item, event.sku, on_hand=-event.quantity, reserved=-event.quantity)
        case StockReceived() | StockReturned():
            return _moved(item, event.sku, on_hand=event.quantity)
        case StockAdjusted():
            return _moved(item, event.sku, on_hand=event.delta)
        case StockReleased() | ReservationLost():
            return _moved(item, event.sku, reserved=-event.quantity)
        case StockLocated():
            return _placed(_moved(item, event.sku), event)
    return _queued(item, event)


def _queued(item: StockItem | None, event: Event) -> StockItem:
    """The stock after an event about what is not there."""
    match event:
        case BackorderPolicySet():
            return replace(_moved(item, event.sku), backorder_limit=event.limit)
        case BackorderRecorded():
            before = _moved(item, event.sku)
            waits = Backorder(event.order_id, event.quantity)
            return replace(before, backorders=(*before.backorders, waits))
        case BackorderAllocated():
            after = _moved(item, event.sku, reserved=event.quantity)
            return replace(after, backorders=_less(after.backorders, event))
        case BackorderReleased():
            after = _moved(item, event.sku)
            return replace(after, backorders=_less(after.backorders, event))
    raise AssertionError(f"{type(event).__name__} is no event of a stock item")


def _moved(item: StockItem | None, sku: Sku, *, on_hand: int = 0, reserved: int = 0) -> StockItem:
    if item is None:
        return StockItem(sku, on_hand, reserved)
    return replace(item, on_hand=item.on_hand + on_hand, reserved=item.reserved + reserved)


def _placed(item: StockItem, event: StockLocated) -> StockItem:
    """The stock with what was said about the location of its last movement."""
    before = item.at(event.location_id)
    there = Pieces(before.on_hand + event.on_hand, before.reserved + event.reserved)
    elsewhere = {**item.elsewhere, event.location_id: there}
    if event.order_id is None or not event.reserved:
        return replace(item, elsewhere=elsewhere)
    of_order = dict(item.reserved_elsewhere.get(event.order_id, {}))
    of_order[event.location_id] = of_order.get(event.location_id, 0) + event.reserved
    left = {each: quantity for each, quantity in of_order.items() if quantity}
    others = {each: pieces for each, pieces in item.reserved_elsewhere.items() if each != event.order_id}
    reserved = {**others, event.order_id: left} if left else others
    return replace(item, elsewhere=elsewhere, reserved_elsewhere=reserved)


def _less(
    queue: tuple[Backorder, ...], event: BackorderAllocated | BackorderReleased
) -> tuple[Backorder, ...]:
    """Those that wait after one order got, or gave up, some of its pieces."""
    left = (
        Backorder(each.order_id, each.quantity - event.quantity) if each.order_id == event.order_id else each
        for each in queue
    )
    return tuple(each for each in left if each.quantity > 0)


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
        StockLocated,
    ),
    snapshot_every=1_000,
)


ONE_PLACE: Final = (MAIN,)
"""The locations of a shop that has set none."""


def receive(
    item: StockItem | None,
    *,
    sku: Sku,
    quantity: int,
    reference: str,
    at: LocationId = MAIN,
    locations: Sequence[LocationId] = ONE_PLACE,
    now: datetime,
) -> list[Event]:
    """Take a delivery in; orders that wait get theirs of it.

    Raises:
        QuantityOutOfRange: the quantity is not between 1 and `QUANTITY_MAX`.
    """
    quantity = validate_quantity(quantity)
    received = StockReceived(sku=sku, quantity=quantity, reference=reference, received_at=in_utc(now))
    there = _located(sku, at, on_hand=quantity, now=now)
    return _allocated(item, [received, *there], locations=locations, now=now)


def adjust(
    item: StockItem | None,
    *,
    sku: Sku,
    delta: int,
    reason: AdjustmentReason,
    note: str,
    at: LocationId = MAIN,
    locations: Sequence[LocationId] = ONE_PLACE,
    now: datetime,
) -> list[Event]:
    """Correct the books by `delta` pieces; a correction by 0 changes nothing. Orders that wait get what there is more.

    Raises:
        InsufficientStock: it would remove pieces that are promised or not there, at that location.
        QuantityOutOfRange: the delta is beyond `QUANTITY_MAX` up or down.
    """
    if abs(delta) > QUANTITY_MAX:
        raise QuantityOutOfRange(quantity=delta)
    if delta == 0:
        return []
    if delta < 0:
        _require_available(item, sku=sku, quantity=-delta, locations=(at,))
    adjusted = StockAdjusted(sku=sku, delta=delta, reason=reason, note=note, adjusted_at=in_utc(now))
    there = _located(sku, at, on_hand=delta, now=now)
    return _allocated(item, [adjusted, *there], locations=locations, now=now)


def set_backorder_limit(item: StockItem | None, *, sku: Sku, limit: int, now: datetime) -> list[Event]:
    """Say how many pieces may be promised that are not there; orders that wait for more go on waiting."""
    assert 0 <= limit <= BACKORDER_LIMIT_MAX, "the border refuses any other"
    if limit == (0 if item is None else item.backorder_limit):
        return []
    return [BackorderPolicySet(sku=sku, limit=limit, set_at=in_utc(now))]


def reserve(
    item: StockItem | None,
    *,
    sku: Sku,
    order_id: OrderId,
    quantity: int,
    locations: Sequence[LocationId] = ONE_PLACE,
    now: datetime,
) -> list[Event]:
    """Promise pieces that are there to an order: its whole demand for this code at once, never line by line.

    Orders that wait are served before. A location that has them all comes first, and if none has, one after the other.

    Raises:
        InsufficientStock: not that many are available then.
    """
    assert quantity > 0, "an order that demands nothing of a code reserves nothing"
    served = _allocated(item, [], locations=locations, now=now)
    item = item and _after(item, served)
    _require_available(item, sku=sku, quantity=quantity, locations=locations)
    reserved = StockReserved(sku=sku, order_id=order_id, quantity=quantity, reserved_at=in_utc(now))
    return [*served, reserved, *_taken(item, sku, order_id, quantity=quantity, locations=locations, now=now)]


def promise(
    item: StockItem | None,
    *,
    sku: Sku,
    order_id: OrderId,
    quantity: int,
    locations: Sequence[LocationId] = ONE_PLACE,
    now: datetime,
) -> list[Event]:
    """Reserve for an order what is there of its whole demand for this code, and have it wait for the rest.

    Orders that wait are served before it, should a location have been opened that has pieces.

    Raises:
        InsufficientStock: not that many are available, nor within the limit of backorders.
    """
    served = _allocated(item, [], locations=locations, now=now)
    item = item and _after(item, served)
    available = 0 if item is None else item.available_at(locations)
    orderable = 0 if item is None else item.orderable(locations)
    if quantity > orderable:
        raise InsufficientStock(sku=sku, requested=quantity, available=orderable)
    there = min(quantity, available)
    promised = [*served]
    if there:
        promised.append(StockReserved(sku=sku, order_id=order_id, quantity=there, reserved_at=in_utc(now)))
        promised += _taken(item, sku, order_id, quantity=there, locations=locations, now=now)
    if there < quantity:
        rest = quantity - there
        promised.append(BackorderRecorded(sku=sku, order_id=order_id, quantity=rest, recorded_at=in_utc(now)))
    return promised


def release(
    item: StockItem | None,
    *,
    sku: Sku,
    order_id: OrderId,
    quantity: int,
    reason: ReleaseReason,
    locations: Sequence[LocationId] = ONE_PLACE,
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
    there = _given_back(item, sku, order_id, now=now)
    return _allocated(item, [*ended, released, *there], locations=locations, now=now)


def lose(item: StockItem | None, *, sku: Sku, order_id: OrderId, quantity: int, now: datetime) -> list[Event]:
    """Take back what an order was promised, because it is not there; the books are corrected with it (`adjust`).

    An order that waited for more waits in the queue no longer: what it has lost is reserved again at once.

    Raises:
        NotReserved: not that many are promised.
    """
    _require_reserved(item, sku=sku, quantity=quantity)
    lost = ReservationLost(sku=sku, order_id=order_id, quantity=quantity, lost_at=in_utc(now))
    ended = _waits_no_more(item, sku=sku, order_id=order_id, reason="lost", now=now)
    return [lost, *_given_back(item, sku, order_id, now=now), *ended]


def ship(item: StockItem | None, *, sku: Sku, order_id: OrderId, quantity: int, now: datetime) -> list[Event]:
    """Let promised pieces leave the house.

    Raises:
        NotReserved: not that many are promised.
    """
    _require_reserved(item, sku=sku, quantity=quantity)
    shipped = StockShipped(sku=sku, order_id=order_id, quantity=quantity, shipped_at=in_utc(now))
    return [shipped, *_given_back(item, sku, order_id, leave=True, now=now)]


def return_(
    item: StockItem | None,
    *,
    sku: Sku,
    credit_note_id: CreditNoteId,
    quantity: int,
    disposition: Disposition,
    locations: Sequence[LocationId] = ONE_PLACE,
    now: datetime,
) -> list[Event]:
    """Put credited pieces back on the shelf of the main location; a code that was never received may return as well."""
    assert quantity > 0, "a credit note without pieces of a code returns none"
    returned = StockReturned(
        sku=sku,
        credit_note_id=credit_note_id,
        quantity=quantity,
        disposition=disposition,
        returned_at=in_utc(now),
    )
    return _allocated(item, [returned], locations=locations, now=now)


def _located(
    sku: Sku,
    location_id: LocationId,
    *,
    order_id: OrderId | None = None,
    on_hand: int = 0,
    reserved: int = 0,
    now: datetime,
) -> list[Event]:
    """Where a movement takes place; of the main location nothing is said."""
    if location_id == MAIN:
        return []
    return [
        StockLocated(
            sku=sku,
            location_id=location_id,
            order_id=order_id,
            on_hand=on_hand,
            reserved=reserved,
            located_at=in_utc(now),
        )
    ]


def _taken(
    item: StockItem | None,
    sku: Sku,
    order_id: OrderId,
    *,
    quantity: int,
    locations: Sequence[LocationId],
    now: datetime,
) -> Iterator[Event]:
    """Where pieces are reserved for an order: at one location if one has them all, else at one after the other."""
    assert item is not None, "they are available"
    whole = [each for each in locations if item.at(each).available >= quantity][:1]
    for location_id in whole or locations:
        taken = min(quantity, item.at(location_id).available)
        quantity -= taken
        if taken:
            yield from _located(sku, location_id, order_id=order_id, reserved=taken, now=now)


def _given_back(
    item: StockItem | None, sku: Sku, order_id: OrderId, *, leave: bool = False, now: datetime
) -> Iterator[Event]:
    """Where nothing is reserved for an order any more; its pieces stay there, or leave."""
    reserved = {} if item is None else item.reserved_elsewhere.get(order_id, {})
    for location_id, quantity in reserved.items():
        on_hand = -quantity if leave else 0
        yield from _located(sku, location_id, order_id=order_id, on_hand=on_hand, reserved=-quantity, now=now)


def _allocated(
    item: StockItem | None, events: Sequence[Event], *, locations: Sequence[LocationId], now: datetime
) -> list[Event]:
    """The events, and what orders that wait get of the pieces that are available after them."""
    allocated = list(events)
    if item is None or not item.backorders:
        return allocated
    after = _after(item, events)
    for waiting in after.backorders:
        quantity = min(waiting.quantity, after.available_at(locations))
        if quantity == 0:
            break
        gets = BackorderAllocated(
            sku=after.sku, order_id=waiting.order_id, quantity=quantity, allocated_at=in_utc(now)
        )
        there = _taken(after, after.sku, waiting.order_id, quantity=quantity, locations=locations, now=now)
        served = [gets, *there]
        allocated.extend(served)
        after = _after(after, served)
    return allocated


def _after(item: StockItem, events: Sequence[Event]) -> StockItem:
    for event in events:
        item = evolve(item, event)
    return item


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


def _require_available(
    item: StockItem | None, *, sku: Sku, quantity: int, locations: Sequence[LocationId]
) -> None:
    available = 0 if item is None else item.available_at(locations)
    if quantity > available:
        raise InsufficientStock(sku=sku, requested=quantity, available=available)


def _require_reserved(item: StockItem | None, *, sku: Sku, quantity: int) -> None:
    assert quantity > 0, "nothing is neither released nor shipped"
    reserved = 0 if item is None else item.reserved
    if quantity > reserved:
        raise NotReserved(sku=sku, requested=quantity, reserved=reserved)
