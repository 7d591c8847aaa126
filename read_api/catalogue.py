"""What can be asked about the catalogue."""

from typing import Final

from projections.catalogue.views import ProductPage, product_page
from read_api.reading.resource import Resource, only_row
from read_api.routing import ById, Documented, Queries

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


QUERIES: Final = Queries(
    by_id=(
        ById(
            "/products/{sku}",
            "catalogue:read",
            PRODUCT,
            Documented("get_product", "Product", ProductPage, _EXAMPLE, "85123A"),
        ),
    ),
)
