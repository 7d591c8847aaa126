"""Taxes as decisions of several contexts read them: the tax table of a country, and the tax categories of SKUs."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from commands.decision import DecisionView, Tagged
from domain.catalogue.events import VariantAdded, variant_tag
from domain.catalogue.listing import LISTING
from domain.ids import JurisdictionId, ListingId, Sku, TaxCategoryId, is_id
from domain.pricing.tax_table import STANDARD, TAX_TABLE, TaxTable

VARIANTS: Final[Tagged[ListingId | None]] = Tagged(
    (VariantAdded,), None, lambda holder, event: holder or event.listing_id
)
"""The listing that an SKU is a variant of."""


def tax_table_in(view: DecisionView, country: str, *, at: datetime) -> TaxTable | None:
    """The tax table that is called like a country; None where there is none, or it taxes nothing by then."""
    if not is_id(country):
        return None
    table = view.current(TAX_TABLE, JurisdictionId(country))
    return table if table is not None and table.taxes(at) else None


def tax_categories_in(view: DecisionView, skus: Iterable[Sku]) -> dict[Sku, TaxCategoryId]:
    """The tax categories of SKUs: those of their listings; what is no variant of a listing is standard."""
    wanted = tuple(dict.fromkeys(skus))
    for sku in wanted:
        view.prefetch_tagged(VARIANTS, variant_tag(sku))
    listings = {sku: view.tagged(VARIANTS, variant_tag(sku)) for sku in wanted}
    view.prefetch(LISTING, [listing_id for listing_id in listings.values() if listing_id is not None])
    return {sku: _category_in(view, listing_id) for sku, listing_id in listings.items()}


def _category_in(view: DecisionView, listing_id: ListingId | None) -> TaxCategoryId:
    listing = None if listing_id is None else view.current(LISTING, listing_id)
    return STANDARD if listing is None else TaxCategoryId(listing.content.tax_category)
