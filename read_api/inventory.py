"""What can be asked about stock."""

from typing import Final

from fastapi import FastAPI

from projections.inventory.views import StockLevel, stock_level
from read_api.audit import Past
from read_api.documentation import row_schema
from read_api.reading.resource import Resource, only_row
from read_api.reads import Reads
from read_api.routing import Documented, serve_by_id

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


def install(app: FastAPI, *, reads: Reads, past: Past) -> None:
    """Serve stock by code."""
    documented = Documented("Stock of one code", row_schema(StockLevel), _EXAMPLE, "85123A")
    serve_by_id(app, "/stock/{sku}", STOCK, reads=reads, past=past, documented=documented)
