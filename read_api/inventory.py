"""What can be asked about stock."""

from typing import Final

from projections.inventory.views import StockLevel, stock_level
from read_api.lists.declaring import Listed, ListOf, Sort, by_number
from read_api.reading.resource import Resource, only_row
from read_api.routing import ById, Documented, Queries

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

QUERIES: Final = Queries(
    by_id=(
        ById(
            "/stock/{sku}",
            "inventory:read",
            STOCK,
            Documented("get_stock", "Stock of one code", StockLevel, _EXAMPLE, "85123A"),
        ),
    ),
    lists=(STOCK_LEVELS,),
)
