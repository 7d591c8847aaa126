"""What can be asked about the catalogue."""

from typing import Final

from fastapi import FastAPI

from projections.catalogue.views import ProductPage, product_page
from read_api.audit import Past
from read_api.documentation import row_schema
from read_api.reading.resource import Resource, only_row
from read_api.reads import Reads
from read_api.routing import Documented, serve_by_id

PRODUCT: Final = Resource(noun="product", view=product_page, render=only_row)

_EXAMPLE: Final = {
    "sku": "85123A",
    "title": "White hanging heart t-light holder",
    "stocked": True,
    "unit_price": "2.55",
    "currency": "GBP",
    "created_at": "2026-01-31T08:26:00Z",
    "price_changed_at": None,
}


def install(app: FastAPI, *, reads: Reads, past: Past) -> None:
    """Serve products by code."""
    documented = Documented("Product", row_schema(ProductPage), _EXAMPLE, "85123A")
    serve_by_id(app, "/products/{sku}", PRODUCT, reads=reads, past=past, documented=documented)
