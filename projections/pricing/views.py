"""Views of pricing: row types and their keys."""

from datetime import datetime

from msgspec import Struct

from domain.ids import JurisdictionId, PriceId, PriceListId, Sku, TaxCategoryId
from domain.money import Currency, UnitPrice
from domain.pricing.price import PRICES
from domain.pricing.tax_table import TAX_TABLE
from projections.view import KEYED, Row, View


class PriceEntry(Struct, frozen=True, kw_only=True):
    """A price of a list for orders of at least `min_quantity` pieces, in a window without its last moment."""

    price_id: PriceId
    list_id: PriceListId
    min_quantity: int
    unit_price: UnitPrice
    currency: Currency
    valid_from: datetime
    valid_until: datetime | None
    retired_at: datetime | None = None


class PriceTimeline(Row, frozen=True):
    """The prices of a product in all lists, by when they begin: former ones, those of now, and those to come."""

    sku: Sku
    prices: tuple[PriceEntry, ...]


class TaxRateEntry(Struct, frozen=True, kw_only=True):
    """The rate of a category from a moment on, in basis points; `included`: prices hold the tax already."""

    tax_category: TaxCategoryId
    valid_from: datetime
    rate_bp: int
    included: bool


class TaxRates(Row, frozen=True):
    """The tax table of a jurisdiction, by category and moment."""

    jurisdiction: JurisdictionId
    rates: tuple[TaxRateEntry, ...]


price_timeline = View(
    name="price_timeline",
    row=PriceTimeline,
    key=("sku",),
    shape=1,
    kind=KEYED,
    document="pricing:prices",
    category=PRICES.category,
)
tax_rates = View(
    name="tax_rates",
    row=TaxRates,
    key=("jurisdiction",),
    shape=1,
    kind=KEYED,
    document="pricing:tax_table",
    category=TAX_TABLE.category,
)
