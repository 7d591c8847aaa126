"""How the events of pricing change what can be asked about it."""

from typing import Final

from msgspec.structs import replace

from domain.pricing.events import PriceRetired, PriceSet, TaxRateSet
from projections.pricing.views import (
    PriceEntry,
    PriceTimeline,
    TaxRateEntry,
    TaxRates,
    price_timeline,
    tax_rates,
)


@price_timeline.on(PriceSet)
def priced(timeline: PriceTimeline | None, event: PriceSet) -> PriceTimeline:
    """A price joins those that begin before and after it."""
    entry = PriceEntry(
        price_id=event.price_id,
        list_id=event.list_id,
        min_quantity=event.min_quantity,
        unit_price=event.unit_price,
        currency=event.currency,
        valid_from=event.valid_from,
        valid_until=event.valid_until,
    )
    known = () if timeline is None else timeline.prices
    return PriceTimeline(event.sku, tuple(sorted((*known, entry), key=lambda each: each.valid_from)))


@price_timeline.on(PriceRetired)
def retired(timeline: PriceTimeline, event: PriceRetired) -> PriceTimeline:
    """Its window ends then, and not before it begins."""
    return replace(
        timeline,
        prices=tuple(
            replace(each, valid_until=max(each.valid_from, event.retired_at), retired_at=event.retired_at)
            if each.price_id == event.price_id
            else each
            for each in timeline.prices
        ),
    )


@tax_rates.on(TaxRateSet)
def taxed(table: TaxRates | None, event: TaxRateSet) -> TaxRates:
    """A rate takes the place of one of the same moment."""
    entry = TaxRateEntry(
        tax_category=event.tax_category,
        valid_from=event.valid_from,
        rate_bp=event.rate_bp,
        included=event.included,
    )
    known = {(each.tax_category, each.valid_from): each for each in (() if table is None else table.rates)}
    known[entry.tax_category, entry.valid_from] = entry
    return TaxRates(event.jurisdiction, tuple(known[key] for key in sorted(known)))


VIEWS: Final = (price_timeline, tax_rates)
"""Views of pricing."""
