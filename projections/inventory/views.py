"""Views of stock."""

from datetime import datetime

from msgspec import field

from domain.ids import LocationId, OrderId, Sku
from domain.inventory.stock_item import STOCK
from projections.view import DEFERRED, KEYED, Row, View, Worklist


class StockLevel(Row, frozen=True):
    """Pieces of one code, and how they came about.

    on_hand = received + adjusted + returned - shipped, and available = on_hand - reserved, after every event.
    `adjusted` is the sum of all corrections, up and down; `adjustments` is how many there were.
    """

    sku: Sku
    on_hand: int = 0
    reserved: int = 0
    available: int = 0
    received: int = 0
    adjusted: int = 0
    adjustments: int = 0
    shipped: int = 0
    returned: int = 0


class StockReservation(Row, frozen=True):
    """Pieces of one SKU that are reserved for one order, which is neither shipped nor off.

    `elsewhere` are those of them that do not lie at the main location, by location.
    """

    sku: Sku
    order_id: OrderId
    quantity: int
    reserved_at: datetime
    elsewhere: dict[LocationId, int] = field(default_factory=dict)


class LocatedStock(Row, frozen=True):
    """Pieces of one SKU at one location; available = on_hand - reserved."""

    sku: Sku
    location_id: LocationId
    on_hand: int = 0
    reserved: int = 0
    available: int = 0


class StockLocation(Row, frozen=True):
    """A location that was set: orders are planned over the open ones, the lowest priority first."""

    location_id: LocationId
    priority: int
    is_open: bool
    set_at: datetime


class StockBackorder(Row, frozen=True):
    """Pieces of one SKU that one order waits for."""

    sku: Sku
    order_id: OrderId
    quantity: int
    recorded_at: datetime


stock_level = View(
    name="stock_level",
    row=StockLevel,
    key=("sku",),
    shape=1,
    kind=KEYED,
    document="inventory:stock",
    category=STOCK.category,
)
located_stock = View(
    name="located_stock",
    row=LocatedStock,
    key=("sku", "location_id"),
    shape=1,
    kind=DEFERRED,
)
stock_locations = View(
    name="stock_locations", row=StockLocation, key=("location_id",), shape=1, kind=DEFERRED
)
stock_reservations = Worklist(
    name="stock_reservations", row=StockReservation, key=("sku", "order_id"), shape=1, kind=DEFERRED
)
"""As many rows as orders wait for their parcel, times SKUs: what is shipped leaves nothing."""

stock_backorders = Worklist(
    name="stock_backorders", row=StockBackorder, key=("sku", "order_id"), shape=1, kind=DEFERRED
)
"""As many rows as orders wait for pieces that are not there."""
