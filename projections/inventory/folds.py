"""How movements of stock change its level. Any movement may be the first of a code."""

from typing import Final

from msgspec.structs import replace

from domain.event import Event
from domain.inventory.events import (
    BackorderAllocated,
    BackorderRecorded,
    BackorderReleased,
    ReservationLost,
    StockAdjusted,
    StockReceived,
    StockReleased,
    StockReserved,
    StockReturned,
    StockShipped,
)
from projections.inventory.views import (
    StockBackorder,
    StockLevel,
    StockReservation,
    stock_backorders,
    stock_level,
    stock_reservations,
)


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


@stock_level.on(StockReserved)
def reserved(level: StockLevel | None, event: StockReserved) -> StockLevel:
    """A promise leaves the pieces on hand and takes them from what is available."""
    level = level or StockLevel(event.sku)
    return replace(
        level, reserved=level.reserved + event.quantity, available=level.available - event.quantity
    )


@stock_level.on(BackorderAllocated)
def allocated(level: StockLevel | None, event: BackorderAllocated) -> StockLevel:
    """Pieces that came in are promised already."""
    level = level or StockLevel(event.sku)
    return replace(
        level, reserved=level.reserved + event.quantity, available=level.available - event.quantity
    )


@stock_level.on(StockReleased)
def released(level: StockLevel | None, event: StockReleased) -> StockLevel:
    """A promise taken back makes the pieces available again."""
    level = level or StockLevel(event.sku)
    return replace(
        level, reserved=level.reserved - event.quantity, available=level.available + event.quantity
    )


@stock_level.on(ReservationLost)
def promise_lost(level: StockLevel | None, event: ReservationLost) -> StockLevel:
    """It makes the pieces available to the correction that follows."""
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
def promised(_reservation: None, event: StockReserved) -> StockReservation:
    """The order's whole demand, at once."""
    return StockReservation(
        sku=event.sku, order_id=event.order_id, quantity=event.quantity, reserved_at=event.reserved_at
    )


@stock_reservations.on(BackorderAllocated)
def arrived(reservation: StockReservation | None, event: BackorderAllocated) -> StockReservation:
    """What the order waited for, next to what was reserved for it from its beginning."""
    return StockReservation(
        sku=event.sku,
        order_id=event.order_id,
        quantity=event.quantity + (0 if reservation is None else reservation.quantity),
        reserved_at=event.allocated_at if reservation is None else reservation.reserved_at,
    )


def over(_reservation: StockReservation, _event: Event) -> StockReservation | None:
    """Nothing is reserved for the order any more: what ends a reservation ends all of it."""
    return None


for _end in (StockReleased, ReservationLost, StockShipped):
    stock_reservations.on(_end)(over)


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


VIEWS: Final = (stock_level, stock_reservations, stock_backorders)
