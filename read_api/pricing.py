"""What can be asked about pricing: the prices of a product over time, and tax tables."""

from typing import Final

from projections.pricing.views import PriceTimeline, TaxRates, price_timeline, tax_rates
from read_api.reading.resource import Resource, only_row
from read_api.routing import ById, Documented, Queries

TIMELINE: Final = Resource(noun="price timeline", view=price_timeline, render=only_row)
TAX_TABLE: Final = Resource(noun="tax table", view=tax_rates, render=only_row)

_PRICES: Final = {
    "sku": "85123A",
    "prices": [
        {
            "price_id": "summer-85123A",
            "list_id": "retail",
            "min_quantity": 1,
            "unit_price": "1.95",
            "currency": "GBP",
            "valid_from": "2026-06-01T00:00:00Z",
            "valid_until": "2026-09-01T00:00:00Z",
            "retired_at": None,
        }
    ],
}
_RATES: Final = {
    "jurisdiction": "GB",
    "rates": [
        {
            "tax_category": "standard",
            "valid_from": "2011-01-04T00:00:00Z",
            "rate_bp": 2_000,
            "included": True,
        }
    ],
}

QUERIES: Final = Queries(
    by_id=(
        ById(
            "/prices/{sku}",
            "pricing:read",
            TIMELINE,
            Documented("get_prices", "Prices of a product over time", PriceTimeline, _PRICES, "85123A"),
        ),
        ById(
            "/tax-tables/{jurisdiction}",
            "pricing:read",
            TAX_TABLE,
            Documented("get_tax_table", "Tax table", TaxRates, _RATES, "GB"),
        ),
    )
)
