"""Lines of orders and credit notes: what was asked for, priced, and summed per SKU.

Unacceptable  LineCountOutOfRange, UnknownSku, NoListPrice
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Final, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from domain.ids import Sku
from domain.money import Currency, Minor, UnitPrice, line_total, within_limit
from domain.ordering.events import CreditLine, OrderLine, SkuTotal
from domain.promotion_terms import LineDiscount
from domain.quantity import validate_quantity
from domain.rejection import Place, Unacceptable
from domain.sale_terms import LinePrice, LineTax, SaleTax

LINES_MAX: Final = 2_000
"""Lines in one order or credit note."""

L = TypeVar("L", OrderLine, CreditLine)


class LineRequest(Struct, frozen=True, kw_only=True):
    """One line as asked for. `stocked` is what the catalogue says of the SKU, `discount` is in minor units.

    `price` is the list that the unit price is from, `tax` that of what is left after the discount. The line gets a
    number of its own, whatever theirs is.
    """

    sku: Sku
    quantity: int
    unit_price: UnitPrice
    stocked: bool
    discount: Minor = Minor(0)
    price: LinePrice | None = None
    tax: LineTax | None = None


@dataclass(kw_only=True, eq=False)
class LineCountOutOfRange(Unacceptable):
    """There is no line, or there are more than one document may carry."""

    title = "Too few or too many lines"
    meaning = "A document has at least one line and at most `facts.limit`."
    remedy = "Split the document."

    lines: int
    limit: int = LINES_MAX

    def __str__(self) -> str:
        return f"Between 1 and {self.limit} lines are needed, and {self.lines} were given."


@dataclass(kw_only=True, eq=False)
class UnknownSku(Unacceptable):
    """Lines, by index, name what no product is called."""

    title = "A line names a code that no product has"
    meaning = "Every line of an order or a credit note names the SKU of a product. Nothing was done."
    remedy = "Create the products first, or correct the lines that `errors` points at: case matters."

    skus: Mapping[int, Sku]

    def __str__(self) -> str:
        return f"{len(self.skus)} lines name a code that no product has."

    def facts(self) -> dict[str, object]:
        """Return each SKU once: which lines name it is said by `places`."""
        return {"skus": sorted(set(self.skus.values()))}

    def places(self) -> Iterator[Place]:
        """Name every line."""
        for index, sku in self.skus.items():
            yield Place(("lines", index, "sku"), f"No product has the code '{sku}'")


@dataclass(kw_only=True, eq=False)
class NoListPrice(Unacceptable):
    """A line, by index, names no price, and neither does the catalogue in that currency."""

    title = "A line has no price"
    meaning = "The line names no unit price, and the product has no list price in the currency of the order."
    remedy = "Set a unit price in the line, or a list price of the product in this currency."

    line: int
    sku: Sku
    currency: Currency

    def __str__(self) -> str:
        return f"{self._missing}, and the line names none."

    def places(self) -> Iterator[Place]:
        """Name the line."""
        yield Place(("lines", self.line, "unit_price"), self._missing)

    @property
    def _missing(self) -> str:
        return f"'{self.sku}' has no list price in {self.currency}"


def priced(requests: Sequence[LineRequest], *, line: type[L], currency: Currency) -> tuple[L, ...]:
    """Number the lines from 1 in the order given, and price each, after its discount and with the tax that is added.

    Repeated SKUs stay separate lines.

    Raises:
        LineCountOutOfRange: there are none, or more than `LINES_MAX`.
        QuantityOutOfRange, MalformedUnitPrice, UnknownCurrency: a line cannot be priced.
    """
    if not 1 <= len(requests) <= LINES_MAX:
        raise LineCountOutOfRange(lines=len(requests))
    return tuple(
        [
            line(
                line_id=ordinal,
                sku=request.sku,
                quantity=validate_quantity(request.quantity),
                unit_price=request.unit_price,
                total=_total(request, currency=currency),
                stocked=request.stocked,
            )
            for ordinal, request in enumerate(requests, start=1)
        ]
    )


def _total(request: LineRequest, *, currency: Currency) -> Minor:
    whole = line_total(request.quantity, unit_price=request.unit_price, currency=currency)
    assert 0 <= request.discount <= whole, "a discount takes off no more than there is"
    return Minor(whole - request.discount + (0 if request.tax is None else request.tax.added))


def discounts_of(requests: Sequence[LineRequest]) -> tuple[LineDiscount, ...]:
    """What is taken off lines, by their numbers."""
    return tuple(
        LineDiscount(line_id=ordinal, amount=request.discount)
        for ordinal, request in enumerate(requests, start=1)
        if request.discount
    )


def prices_of(requests: Sequence[LineRequest]) -> tuple[LinePrice, ...]:
    """The lists that unit prices are from, by the numbers of lines."""
    return tuple(
        replace(request.price, line_id=ordinal)
        for ordinal, request in enumerate(requests, start=1)
        if request.price is not None
    )


def tax_of(requests: Sequence[LineRequest], tax: SaleTax | None) -> SaleTax | None:
    """The tax of lines, by their numbers."""
    if tax is None:
        return None
    taxes = tuple(
        replace(request.tax, line_id=ordinal)
        for ordinal, request in enumerate(requests, start=1)
        if request.tax is not None
    )
    assert sum(each.amount for each in taxes) == tax.amount, "the tax of an order is that of its lines"
    return replace(tax, lines=taxes)


def grand_total(lines: Iterable[OrderLine | CreditLine], *, currency: Currency) -> Minor:
    """Sum of the rounded line totals.

    Raises:
        AmountTooLarge: one document may not carry that much.
    """
    return within_limit(sum(line.total for line in lines), currency=currency)


def per_sku(lines: Iterable[OrderLine | CreditLine]) -> tuple[SkuTotal, ...]:
    """Take the lines of each SKU together, sorted by SKU."""
    totals: dict[Sku, SkuTotal] = {}
    for line in lines:
        so_far = totals.get(line.sku)
        totals[line.sku] = SkuTotal(
            sku=line.sku,
            units=line.quantity if so_far is None else so_far.units + line.quantity,
            total=line.total if so_far is None else Minor(so_far.total + line.total),
            stocked=line.stocked,
        )
    return tuple(sorted(totals.values(), key=attrgetter("sku")))
