"""How movements of stock change its level. Any movement may be the first of a code."""

from typing import Final

from msgspec.structs import replace

from domain.inventory.events import (
    StockAdjusted,
    StockReceived,
    StockReleased,
    StockReserved,
    StockReturned,
    StockShipped,
)
from projections.inventory.views import StockLevel, stock_level


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


@stock_level.on(StockReleased)
def released(level: StockLevel | None, event: StockReleased) -> StockLevel:
    """A promise taken back makes the pieces available again."""
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


VIEWS: Final = (stock_level,)
