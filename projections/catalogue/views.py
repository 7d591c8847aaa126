"""Views of the catalogue."""

from datetime import datetime

from domain.catalogue.product import PRODUCT
from domain.ids import Sku
from domain.money import Currency, UnitPrice
from domain.text import Title
from projections.view import KEYED, Row, View


class ProductPage(Row, frozen=True):
    """A product as a shop shows it. Without a list price, `unit_price` and `currency` are None."""

    sku: Sku
    title: Title
    stocked: bool
    unit_price: UnitPrice | None
    currency: Currency | None
    created_at: datetime
    price_changed_at: datetime | None


product_page = View(
    name="product_page",
    row=ProductPage,
    key=("sku",),
    shape=1,
    kind=KEYED,
    document="catalogue:product",
    category=PRODUCT.category,
)
