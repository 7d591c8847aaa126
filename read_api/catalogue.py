"""What can be asked about the catalogue."""

from typing import Final

from projections.catalogue.views import ProductPage, product_page
from read_api.including import each_of
from read_api.lists.declaring import Listed, ListOf, Sort, by_day, by_value
from read_api.reading.resource import Resource, only_row
from read_api.routing import ById, Documented, Include, Queries
from runtime.http.principal import Browsable

PRODUCT: Final = Resource(noun="product", view=product_page, render=only_row, shared_s=60)

_EXAMPLE: Final = {
    "sku": "85123A",
    "title": "White hanging heart t-light holder",
    "stocked": True,
    "unit_price": "2.55",
    "currency": "GBP",
    "created_at": "2026-01-31T08:26:00Z",
    "price_changed_at": None,
}

PRODUCTS: Final = ListOf(
    path="/products",
    requires="catalogue:read",
    view=product_page,
    filters=(
        by_value(
            "stocked", "stocked", description="Only those that are kept in stock, or are not.", example=True
        ),
        *by_day("created_at", said="Created"),
    ),
    sorts=(
        Sort("sku", ("sku",), filters=("stocked",)),
        Sort("created_at", ("created_at", "sku"), filters=("stocked", "from", "to"), falling=True),
    ),
    documented=Listed(
        "list_products",
        "ProductsPage",
        "Products, by SKU or by when they were created",
        "Products that are created while paging never shift a page.",
        _EXAMPLE,
        example_ids=("85123A", "71053"),
    ),
)

PRODUCT_PAGES: Final = ById(
    "/products/{sku}",
    Browsable("catalogue:read", "pages of products are shown to everybody"),
    PRODUCT,
    Documented("get_product", "Product", ProductPage, _EXAMPLE, "85123A"),
)

QUERIES: Final = Queries(
    by_id=(PRODUCT_PAGES,),
    lists=(PRODUCTS,),
    includes=(
        Include(
            name="products",
            into="/orders/{order_id}",
            shown=PRODUCT_PAGES,
            ids=each_of("lines", "sku"),
            many=True,
        ),
    ),
)
