"""What can be asked about stock."""

from typing import Final

from projections.inventory.views import (
    StockLevel,
    located_stock,
    stock_backorders,
    stock_level,
    stock_locations,
    stock_reservations,
)
from read_api.including import each_of
from read_api.lists.declaring import Listed, ListOf, Sort, by_number, by_value
from read_api.reading.resource import Resource, only_row
from read_api.routing import ById, Documented, Include, Queries

STOCK: Final = Resource(noun="stock item", view=stock_level, render=only_row)

_EXAMPLE: Final = {
    "sku": "85123A",
    "on_hand": 120,
    "reserved": 6,
    "available": 114,
    "received": 132,
    "adjusted": -2,
    "adjustments": 1,
    "shipped": 10,
    "returned": 0,
}

STOCK_LEVELS: Final = ListOf(
    path="/stock",
    requires="inventory:read",
    view=stock_level,
    filters=by_number("available", said="pieces available", example=5),
    sorts=(
        Sort("sku", ("sku",)),
        Sort("available", ("available", "sku"), filters=("available_min", "available_max")),
    ),
    documented=Listed(
        "list_stock",
        "StockPage",
        "Stock, by SKU or by how much is available",
        "What runs out first comes first with `sort=available`.",
        _EXAMPLE,
        example_ids=("85123A", "71053"),
    ),
)

RESERVATIONS: Final = ListOf(
    path="/stock-reservations",
    requires="orders:read",
    view=stock_reservations,
    filters=(by_value("sku", "sku", description="Only of this SKU.", example="85123A"),),
    sorts=(Sort("reserved_at", ("reserved_at", "sku", "order_id"), filters=("sku",)),),
    documented=Listed(
        "list_stock_reservations",
        "StockReservationsPage",
        "Pieces that are reserved for orders, the oldest reservation first",
        "Which orders are to be held where pieces of a SKU are lost.",
        {
            "sku": "85123A",
            "order_id": "536365",
            "quantity": 6,
            "reserved_at": "2026-01-31T08:26:01Z",
            "elsewhere": {"north": 2},
        },
    ),
)

BACKORDERS: Final = ListOf(
    path="/stock-backorders",
    requires="orders:read",
    view=stock_backorders,
    filters=(by_value("sku", "sku", description="Only of this SKU.", example="85123A"),),
    sorts=(Sort("recorded_at", ("recorded_at", "sku", "order_id"), filters=("sku",)),),
    documented=Listed(
        "list_stock_backorders",
        "StockBackordersPage",
        "Pieces that orders wait for, the order that waits longest first",
        "What comes in goes to the oldest order first.",
        {"sku": "85123A", "order_id": "536365", "quantity": 2, "recorded_at": "2026-01-31T08:26:01Z"},
    ),
)

LOCATED: Final = ListOf(
    path="/located-stock",
    requires="inventory:read",
    view=located_stock,
    filters=(by_value("sku", "sku", description="Only of this SKU.", example="85123A"),),
    sorts=(Sort("sku", ("sku", "location_id"), filters=("sku",)),),
    documented=Listed(
        "list_located_stock",
        "LocatedStockPage",
        "Stock by SKU and location",
        "Where the pieces of a SKU lie. What no other location has is at `main`.",
        {"sku": "85123A", "location_id": "north", "on_hand": 40, "reserved": 6, "available": 34},
    ),
)

LOCATIONS: Final = ListOf(
    path="/locations",
    requires="inventory:read",
    view=stock_locations,
    sorts=(Sort("location_id", ("location_id",)),),
    documented=Listed(
        "list_locations",
        "LocationsPage",
        "Locations that stock lies in",
        "`main` is there from the beginning, open and with priority 0, and listed once it was set.",
        {"location_id": "north", "priority": 10, "is_open": True, "set_at": "2026-01-31T08:26:01Z"},
        example_ids=("north", "south"),
    ),
)

STOCK_ITEMS: Final = ById(
    "/stock/{sku}",
    "inventory:read",
    STOCK,
    Documented("get_stock", "Stock of one code", StockLevel, _EXAMPLE, "85123A"),
)

QUERIES: Final = Queries(
    by_id=(STOCK_ITEMS,),
    lists=(STOCK_LEVELS, RESERVATIONS, BACKORDERS, LOCATED, LOCATIONS),
    includes=(
        Include(
            name="stock", into="/orders/{order_id}", shown=STOCK_ITEMS, ids=each_of("lines", "sku"), many=True
        ),
    ),
)
