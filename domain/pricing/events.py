"""The events of pricing: the only part of it that other packages may rely on.

A window reaches from its first moment up to, and without, its last; without a last moment it is open.
"""

from domain.event import Event, event_type
from domain.ids import JurisdictionId, PriceId, PriceListId, Sku, TaxCategoryId
from domain.moment import Moment
from domain.money import Currency, UnitPrice


@event_type("pricing.price_set.v1")
class PriceSet(Event, frozen=True, kw_only=True):
    """From `min_quantity` pieces on, a list has this price for a SKU while the window lasts."""

    sku: Sku
    price_id: PriceId
    list_id: PriceListId
    min_quantity: int
    unit_price: UnitPrice
    currency: Currency
    valid_from: Moment
    valid_until: Moment | None
    set_at: Moment


@event_type("pricing.price_retired.v1")
class PriceRetired(Event, frozen=True, kw_only=True):
    """The window of a price ends here; one that had not begun never begins."""

    sku: Sku
    price_id: PriceId
    list_id: PriceListId
    min_quantity: int
    retired_at: Moment


@event_type("pricing.tax_rate_set.v1")
class TaxRateSet(Event, frozen=True, kw_only=True):
    """A jurisdiction taxes a category so from a moment on; `included`: prices hold the tax already."""

    jurisdiction: JurisdictionId
    tax_category: TaxCategoryId
    rate_bp: int
    included: bool
    valid_from: Moment
    set_at: Moment
