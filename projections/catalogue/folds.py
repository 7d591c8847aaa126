"""How the events of the catalogue change what can be asked about it."""

from typing import Final

from msgspec.structs import replace

from domain.catalogue.events import PriceChanged, ProductCreated
from projections.catalogue import listing_folds, search_folds
from projections.catalogue.views import ProductPage, product_page


@product_page.on(ProductCreated)
def created(_page: None, event: ProductCreated) -> ProductPage:
    """A product begins its page."""
    return ProductPage(
        sku=event.sku,
        title=event.title,
        stocked=event.stocked,
        unit_price=event.unit_price,
        currency=event.currency,
        created_at=event.created_at,
        price_changed_at=None,
    )


@product_page.on(PriceChanged)
def price_changed(page: ProductPage, event: PriceChanged) -> ProductPage:
    """Only the newest price is shown; the earlier ones are in the stream."""
    return replace(
        page, unit_price=event.unit_price, currency=event.currency, price_changed_at=event.changed_at
    )


VIEWS: Final = (product_page, *listing_folds.VIEWS, *search_folds.VIEWS)
