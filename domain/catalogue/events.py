"""The events of the catalogue: the only part of it that other packages may rely on."""

from domain.event import Event, event_type
from domain.ids import Sku
from domain.moment import Moment
from domain.money import Currency, UnitPrice
from domain.text import Title


@event_type("catalogue.product_created.v1")
class ProductCreated(Event, frozen=True, kw_only=True):
    """A code can be sold from now on. Only a stocked product is counted, reserved and shipped."""

    sku: Sku
    title: Title
    stocked: bool
    unit_price: UnitPrice | None
    currency: Currency | None
    created_at: Moment


@event_type("catalogue.price_changed.v1")
class PriceChanged(Event, frozen=True, kw_only=True):
    """The list price is another. `previous` is None if there was none or it was in another currency."""

    sku: Sku
    unit_price: UnitPrice
    currency: Currency
    previous: UnitPrice | None
    changed_at: Moment
