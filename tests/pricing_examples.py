"""Events of pricing to begin a test with: one ordinary case of each, in which a test changes only what it is about."""

from datetime import UTC, datetime
from typing import Any, Final

from msgspec.structs import replace

from domain.aggregate import Aggregate
from domain.event import Event
from domain.ids import JurisdictionId, PriceId, PriceListId, Sku, TaxCategoryId
from domain.money import Currency, UnitPrice
from domain.pricing.events import PriceRetired, PriceSet, TaxRateSet
from domain.pricing.price import PRICES
from domain.pricing.tax_table import TAX_TABLE

NOW: Final = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SKU: Final = Sku("85123A")
RETAIL: Final = PriceListId("retail")
BRITAIN: Final = JurisdictionId("GB")
STANDARD: Final = TaxCategoryId("standard")
GBP: Final = Currency("GBP")
LONG_AGO: Final = datetime(2011, 1, 4, tzinfo=UTC)


def price_set(**changes: Any) -> PriceSet:
    example = PriceSet(
        sku=SKU,
        price_id=PriceId("p-1"),
        list_id=RETAIL,
        min_quantity=1,
        unit_price=UnitPrice("1.95"),
        currency=GBP,
        valid_from=LONG_AGO,
        valid_until=None,
        set_at=NOW,
    )
    return replace(example, **changes)


def price_retired(**changes: Any) -> PriceRetired:
    example = PriceRetired(sku=SKU, price_id=PriceId("p-1"), list_id=RETAIL, min_quantity=1, retired_at=NOW)
    return replace(example, **changes)


def tax_rate_set(**changes: Any) -> TaxRateSet:
    example = TaxRateSet(
        jurisdiction=BRITAIN,
        tax_category=STANDARD,
        rate_bp=2_000,
        included=True,
        valid_from=LONG_AGO,
        set_at=NOW,
    )
    return replace(example, **changes)


def stream_of(event: Event) -> tuple[Aggregate[Any], str]:
    """The aggregate that an event of pricing belongs to, and its id."""
    match event:
        case PriceSet() | PriceRetired():
            return PRICES, event.sku
        case TaxRateSet():
            return TAX_TABLE, event.jurisdiction
    raise AssertionError(f"{type(event).__name__} is no event of pricing")


ONE_OF_EACH: Final[tuple[Event, ...]] = (price_set(), price_retired(), tax_rate_set())
