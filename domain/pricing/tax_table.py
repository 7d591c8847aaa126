"""The tax table of a jurisdiction: the rate of each category of goods, from a moment on.

Conflict      TooManyRates
Unacceptable  MissingTaxRate
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from msgspec import Struct

from domain.aggregate import Aggregate
from domain.event import Event
from domain.ids import JurisdictionId, TaxCategoryId
from domain.moment import in_utc
from domain.pricing.events import TaxRateSet
from domain.rejection import Conflict, Unacceptable

STANDARD: Final = TaxCategoryId("standard")
"""The category of what no other one is named for."""

RATE_BP_MAX: Final = 10_000
"""Basis points: as much tax as price."""

RATES_MAX: Final = 1_000
"""Rates in one table, former ones included."""


class TaxRate(Struct, frozen=True):
    """A rate in basis points. `included`: prices hold the tax already; else it is added."""

    rate_bp: int
    included: bool


class TaxTable(Struct, frozen=True):
    """The rates of a jurisdiction: of each category, by the moment from which they are valid."""

    jurisdiction: JurisdictionId
    rates: Mapping[TaxCategoryId, Mapping[datetime, TaxRate]]

    def applying(self, tax_category: TaxCategoryId, *, at: datetime) -> TaxRate | None:
        """The rate of a category at a moment: the newest that is valid by then."""
        rates = self.rates.get(tax_category, {})
        newest = max((valid_from for valid_from in rates if valid_from <= at), default=None)
        return None if newest is None else rates[newest]

    def taxes(self, at: datetime) -> bool:
        """Whether a rate of any category is valid by then: a table that is prepared for later taxes nothing yet."""
        return any(self.applying(category, at=at) is not None for category in self.rates)


@dataclass(kw_only=True, eq=False)
class TooManyRates(Conflict):
    """The table has as many rates as one may have."""

    title = "The tax table has too many rates"
    meaning = "A table has at most `facts.limit` rates, former ones included."
    remedy = "Correct a rate under its own moment instead of adding another one."

    jurisdiction: JurisdictionId
    limit: int = RATES_MAX

    def __str__(self) -> str:
        return f"The tax table of '{self.jurisdiction}' has {self.limit} rates."


@dataclass(kw_only=True, eq=False)
class MissingTaxRate(Unacceptable):
    """Nothing says how a category is taxed there, and a guess would be wrong."""

    title = "A tax rate is missing"
    meaning = "The jurisdiction has no rate for this category at that time, so there is no total. Zero is a rate, too."
    remedy = (
        "Set the rate in the tax table of the jurisdiction, or correct the jurisdiction, category or time."
    )

    jurisdiction: JurisdictionId
    tax_category: TaxCategoryId
    at: datetime

    def __str__(self) -> str:
        return f"The tax table of '{self.jurisdiction}' has no rate for '{self.tax_category}' at {self.at.isoformat()}."


def evolve(table: TaxTable | None, event: Event) -> TaxTable:
    """Return the table as it is after `event`."""
    match event:
        case TaxRateSet():
            rates = {} if table is None else table.rates
            of_category = {
                **rates.get(event.tax_category, {}),
                event.valid_from: TaxRate(event.rate_bp, event.included),
            }
            return TaxTable(event.jurisdiction, {**rates, event.tax_category: of_category})
    raise AssertionError(f"{type(event).__name__} is no event of a tax table")


TAX_TABLE: Final[Aggregate[TaxTable]] = Aggregate("tax_table", evolve, (TaxRateSet,))


def set_tax_rate(
    table: TaxTable | None,
    *,
    jurisdiction: JurisdictionId,
    tax_category: TaxCategoryId,
    rate_bp: int,
    included: bool,
    valid_from: datetime,
    now: datetime,
) -> list[Event]:
    """Say how a category is taxed from a moment on; nothing if the table says so. The same moment again corrects.

    Raises:
        TooManyRates: it is one too many.
    """
    assert 0 <= rate_bp <= RATE_BP_MAX, "a border let it in"
    rates = {} if table is None else table.rates
    known = rates.get(tax_category, {}).get(in_utc(valid_from))
    if known == TaxRate(rate_bp, included):
        return []
    if known is None and sum(map(len, rates.values())) >= RATES_MAX:
        raise TooManyRates(jurisdiction=jurisdiction)
    return [
        TaxRateSet(
            jurisdiction=jurisdiction,
            tax_category=tax_category,
            rate_bp=rate_bp,
            included=included,
            valid_from=in_utc(valid_from),
            set_at=in_utc(now),
        )
    ]


def required_rate(
    table: TaxTable | None, *, jurisdiction: JurisdictionId, tax_category: TaxCategoryId, at: datetime
) -> TaxRate:
    """The rate of a category at a moment.

    Raises:
        MissingTaxRate: the table has none.
    """
    rate = None if table is None else table.applying(tax_category, at=at)
    if rate is None:
        raise MissingTaxRate(jurisdiction=jurisdiction, tax_category=tax_category, at=in_utc(at))
    return rate
