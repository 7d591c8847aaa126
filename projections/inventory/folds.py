"""How movements of stock change its level. Any movement may be the first of a code."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from msgspec.structs import replace

from domain.ids import LocationId
from domain.inventory.events import (
    BackorderAllocated,
    BackorderRecorded,
    BackorderReleased,
    LocationSet,
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
from projections.inventory.views import (
    LocatedStock,
    StockBackorder,
    StockLevel,
    StockLocation,
    StockReservation,
    located_stock,
    stock_backorders,
    stock_level,
    stock_locations,
    stock_reservations,
)
from projections.view import Key

Movement = (
    StockReceived
    | StockReturned
    | StockAdjusted
    | StockShipped
    | StockReserved
    | BackorderAllocated
    | StockReleased
    | ReservationLost
)
"""Pieces that come, go, or are promised to somebody."""

End = StockReleased | ReservationLost | StockShipped
"""Pieces that are not promised any more."""


@stock_level.on(StockReceived)
def received(level: StockLevel | None, event: StockReceived) -> StockLevel:
    """A delivery adds to what is on hand and available."""
    level = level or StockLevel(event.sku)
    return replace(
        level,
        on_hand=level.on_hand + event.quantity,
        available=level.available + event.quantity,
        received=level.received + event.quantity,
    )


@stock_level.on(StockAdjusted)
def adjusted(level: StockLevel | None, event: StockAdjusted) -> StockLevel:
    """A correction changes what is on hand and available, and counts as one."""
    level = level or StockLevel(event.sku)
    return replace(
        level,
        on_hand=level.on_hand + event.delta,
        available=level.available + event.delta,
        adjusted=level.adjusted + event.delta,
        adjustments=level.adjustments + 1,
    )


@stock_level.on(StockReserved, BackorderAllocated)
def reserved(level: StockLevel | None, event: StockReserved | BackorderAllocated) -> StockLevel:
    """A promise leaves the pieces on hand and takes them from what is available, also where they came in promised."""
    level = level or StockLevel(event.sku)
    return replace(
        level, reserved=level.reserved + event.quantity, available=level.available - event.quantity
    )


@stock_level.on(StockReleased, ReservationLost)
def released(level: StockLevel | None, event: StockReleased | ReservationLost) -> StockLevel:
    """A promise taken back makes the pieces available again; those that were lost, to the correction that follows."""
    level = level or StockLevel(event.sku)
    return replace(
        level, reserved=level.reserved - event.quantity, available=level.available + event.quantity
    )


@stock_level.on(StockShipped)
def shipped(level: StockLevel | None, event: StockShipped) -> StockLevel:
    """Promised pieces leave: they were not available before and are not on hand after."""
    level = level or StockLevel(event.sku)
    return replace(
        level,
        on_hand=level.on_hand - event.quantity,
        reserved=level.reserved - event.quantity,
        shipped=level.shipped + event.quantity,
    )


@stock_level.on(StockReturned)
def returned(level: StockLevel | None, event: StockReturned) -> StockLevel:
    """Credited pieces are on the shelf again."""
    level = level or StockLevel(event.sku)
    return replace(
        level,
        on_hand=level.on_hand + event.quantity,
        available=level.available + event.quantity,
        returned=level.returned + event.quantity,
    )


@stock_reservations.on(StockReserved)
def promised(reservation: StockReservation | None, event: StockReserved) -> StockReservation:
    """The order's whole demand, at once; once more, for what replaces a lost parcel that is not off the books."""
    return _more(reservation, event, since=event.reserved_at)


@stock_reservations.on(BackorderAllocated)
def arrived(reservation: StockReservation | None, event: BackorderAllocated) -> StockReservation:
    """What the order waited for, next to what was reserved for it from its beginning, which lies where it lay."""
    return _more(reservation, event, since=event.allocated_at)


def _more(
    reservation: StockReservation | None, event: StockReserved | BackorderAllocated, *, since: datetime
) -> StockReservation:
    if reservation is None:
        return StockReservation(
            sku=event.sku, order_id=event.order_id, quantity=event.quantity, reserved_at=since
        )
    return replace(reservation, quantity=reservation.quantity + event.quantity)


def _reserved_elsewhere(event: StockLocated) -> Iterator[Key]:
    if event.order_id is not None:
        yield event.sku, event.order_id


@stock_reservations.on(StockLocated, keys=_reserved_elsewhere)
def promised_elsewhere(reservation: StockReservation | None, event: StockLocated) -> StockReservation | None:
    """Where the pieces lie; nothing is reserved there of what was shipped or released."""
    if reservation is None:
        return None
    quantity = reservation.elsewhere.get(event.location_id, 0) + event.reserved
    elsewhere = {**reservation.elsewhere, event.location_id: quantity}
    return replace(reservation, elsewhere={each: left for each, left in elsewhere.items() if left})


def over(reservation: StockReservation | None, event: End) -> StockReservation | None:
    """What is left is that of a lost parcel that was replaced before its pieces were off the books."""
    if reservation is None or reservation.quantity <= event.quantity:
        return None
    return replace(reservation, quantity=reservation.quantity - event.quantity)


_ENDS: Final[tuple[type[End], ...]] = (StockReleased, ReservationLost, StockShipped)
for _end in _ENDS:
    stock_reservations.on(_end)(over)


def _at_main(event: Movement) -> Iterator[Key]:
    yield event.sku, MAIN


def _move(movement: type[Movement], *, on_hand: int = 0, reserved: int = 0) -> None:
    """Each movement is one of the main location, until the event after it says otherwise."""

    def moved(row: LocatedStock | None, event: Movement) -> LocatedStock:
        pieces = event.delta if isinstance(event, StockAdjusted) else event.quantity
        return _at(row or LocatedStock(event.sku, MAIN), on_hand=on_hand * pieces, reserved=reserved * pieces)

    located_stock.on(movement, keys=_at_main)(moved)


def _at(row: LocatedStock, *, on_hand: int, reserved: int) -> LocatedStock:
    on_hand, reserved = row.on_hand + on_hand, row.reserved + reserved
    return replace(row, on_hand=on_hand, reserved=reserved, available=on_hand - reserved)


_move(StockReceived, on_hand=1)
_move(StockReturned, on_hand=1)
_move(StockAdjusted, on_hand=1)
_move(StockShipped, on_hand=-1, reserved=-1)
_move(StockReserved, reserved=1)
_move(BackorderAllocated, reserved=1)
_move(StockReleased, reserved=-1)
_move(ReservationLost, reserved=-1)


def _there_and_not_here(event: StockLocated) -> Iterator[tuple[Key, tuple[LocationId, int]]]:
    yield (event.sku, event.location_id), (event.location_id, 1)
    yield (event.sku, MAIN), (MAIN, -1)


@located_stock.on_each(StockLocated, parts=_there_and_not_here)
def located(row: LocatedStock | None, event: StockLocated, part: tuple[LocationId, int]) -> LocatedStock:
    """What moved there did not move at the main location."""
    location_id, sign = part
    row = row or LocatedStock(event.sku, location_id)
    return _at(row, on_hand=sign * event.on_hand, reserved=sign * event.reserved)


@stock_locations.on(LocationSet)
def location_set(_location: StockLocation | None, event: LocationSet) -> StockLocation:
    """As it was set last."""
    return StockLocation(
        location_id=event.location_id, priority=event.priority, is_open=event.is_open, set_at=event.set_at
    )


@stock_backorders.on(BackorderRecorded)
def waits(_backorder: None, event: BackorderRecorded) -> StockBackorder:
    """What is not there of its demand."""
    return StockBackorder(
        sku=event.sku, order_id=event.order_id, quantity=event.quantity, recorded_at=event.recorded_at
    )


@stock_backorders.on(BackorderAllocated)
def partly(backorder: StockBackorder | None, event: BackorderAllocated) -> StockBackorder | None:
    """It waits for that much less."""
    if backorder is None or backorder.quantity <= event.quantity:
        return None
    return replace(backorder, quantity=backorder.quantity - event.quantity)


@stock_backorders.on(BackorderReleased)
def gave_up(_backorder: StockBackorder | None, _event: BackorderReleased) -> None:
    """It waits no more."""


VIEWS: Final = (stock_level, stock_reservations, stock_backorders, located_stock, stock_locations)
