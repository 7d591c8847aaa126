"""Where the prices of a sale come from and how it is taxed, as events of several contexts say it."""

from msgspec import Struct

from domain.ids import JurisdictionId, PriceId, PriceListId, TaxCategoryId
from domain.money import Minor


class LinePrice(Struct, frozen=True, kw_only=True, gc=False):
    """The price list that the price of a line is from. A line that is missing has the list price of the catalogue."""

    line_id: int
    list_id: PriceListId
    price_id: PriceId


class LineTax(Struct, frozen=True, kw_only=True, gc=False):
    """The tax of a line, in minor units. `included`: what the line costs holds it already; else it is added."""

    line_id: int
    tax_category: TaxCategoryId
    rate_bp: int
    included: bool
    amount: Minor

    @property
    def added(self) -> Minor:
        """What the line costs more because of it."""
        return Minor(0) if self.included else self.amount


class SaleTax(Struct, frozen=True, kw_only=True):
    """The tax of all lines: each is rounded by itself, and `amount` is their sum.

    `included` is the part of it that prices hold already. `remainder` is by how many minor units the amount exceeds the
    tax of all lines together, rounded once: below zero where it is less.
    """

    jurisdiction: JurisdictionId
    amount: Minor
    included: Minor
    remainder: int
    lines: tuple[LineTax, ...]
