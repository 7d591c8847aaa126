"""What is offered in the currency of a cart: by price lists, and by the catalogue."""

from collections.abc import Mapping

from msgspec import Struct

from domain.ids import PriceId, PriceListId, Sku
from domain.money import UnitPrice


class Offer(Struct, frozen=True, kw_only=True):
    """What a piece of a SKU costs now, in the currency of a cart and for as many as it has.

    Without a list it is the list price of the catalogue.
    """

    unit_price: UnitPrice
    stocked: bool
    list_id: PriceListId | None = None
    price_id: PriceId | None = None


Offers = Mapping[Sku, Offer]
"""What is offered in the currency of a cart; a SKU that is not offered is missing."""
