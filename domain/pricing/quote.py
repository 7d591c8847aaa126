"""A quote: what a cart costs. A pure function of the cart, its discounts, a tax table and a way of rounding.

Every amount is a whole number of minor units from where it is first rounded, so totals are sums and nothing else:
grand = items + shipping - discount + tax - tax_included.

Unacceptable  PriceMissing, MissingTaxRate, AmountTooLarge
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import Final

from msgspec import Struct

from domain.ids import JurisdictionId, PriceId, PriceListId, PromotionId, Sku, TaxCategoryId
from domain.money import Currency, Minor, UnitPrice, within_limit
from domain.pricing.rounding import Rounding, amount_of, share, share_of_pieces
from domain.pricing.tax_table import TaxRate, TaxTable, required_rate
from domain.rejection import Place, Unacceptable


class SaleLine(Struct, frozen=True, kw_only=True):
    """A line with its price, before promotions. `price_id` None: the list price of the catalogue."""

    sku: Sku
    quantity: int
    unit_price: UnitPrice
    price_id: PriceId | None
    tax_category: TaxCategoryId


class Shipping(Struct, frozen=True, kw_only=True):
    """What sending costs, before promotions."""

    amount: Minor
    tax_category: TaxCategoryId


class Sale(Struct, frozen=True, kw_only=True):
    """What is to be priced: lines and shipping in one currency, where and when it is sold.

    Without a jurisdiction nothing is taxed.
    """

    lines: tuple[SaleLine, ...]
    shipping: Shipping | None
    currency: Currency
    jurisdiction: JurisdictionId | None
    at: datetime
    rounding: Rounding = Rounding()


class QuotedTax(Struct, frozen=True):
    """The tax of a line or of shipping. `included`: the price holds it already."""

    rate_bp: int
    included: bool
    amount: Minor


_UNTAXED: Final = QuotedTax(rate_bp=0, included=True, amount=Minor(0))


class QuotedLine(Struct, frozen=True, kw_only=True):
    """A line of a quote: total = subtotal - discount, and tax that is not included."""

    line_id: int
    sku: Sku
    quantity: int
    unit_price: UnitPrice
    price_id: PriceId | None
    tax_category: TaxCategoryId
    subtotal: Minor
    discount: Minor
    tax: QuotedTax
    total: Minor


class QuotedShipping(Struct, frozen=True, kw_only=True):
    """Shipping in a quote: total = amount - discount, and tax that is not included."""

    amount: Minor
    discount: Minor
    tax_category: TaxCategoryId
    tax: QuotedTax
    total: Minor


class QuoteTotals(Struct, frozen=True, kw_only=True):
    """Sums. `tax_included` is the part of `tax` that prices hold already.

    The tax of each line is rounded: `tax_remainder` is by how many minor units their sum exceeds the tax of all lines
    together, rounded once. It is below zero where it is less.
    """

    items: Minor
    shipping: Minor
    discount: Minor
    tax: Minor
    tax_included: Minor
    tax_remainder: int
    grand: Minor


class AppliedPromotion(Struct, frozen=True):
    """What a promotion takes off, in minor units."""

    promotion_id: PromotionId
    amount: Minor


class Quote(Struct, frozen=True, kw_only=True):
    """What a cart costs, with all that is needed to repeat the calculation."""

    at: datetime
    currency: Currency
    jurisdiction: JurisdictionId | None
    rounding: Rounding
    lines: tuple[QuotedLine, ...]
    shipping: QuotedShipping | None
    promotions: tuple[AppliedPromotion, ...]
    totals: QuoteTotals


class Discounts(Struct, frozen=True):
    """Discounts in minor units: of each line in order, and of shipping; none is more than what it is taken off.

    `applied` says of which promotions they are.
    """

    lines: tuple[Minor, ...]
    shipping: Minor = Minor(0)
    applied: tuple[AppliedPromotion, ...] = ()


@dataclass(kw_only=True, eq=False)
class PriceMissing(Unacceptable):
    """Neither the list nor the catalogue has a price for a line."""

    title = "A line has no price"
    meaning = (
        "Neither the price list nor the catalogue has a price of the SKU in this currency, for so many pieces, at that"
        " time."
    )
    remedy = "Set a price in the list, or a list price of the product, in the currency of the quote."

    line: int
    sku: Sku
    list_id: PriceListId | None
    currency: Currency

    def __str__(self) -> str:
        return f"{self._missing}."

    def places(self) -> Iterator[Place]:
        """Name the line."""
        yield Place(("lines", self.line, "sku"), self._missing)

    @property
    def _missing(self) -> str:
        return f"'{self.sku}' has no price in {self.currency}"


def subtotals(cart: Sale) -> tuple[Minor, ...]:
    """The amount of each line before promotions."""
    return tuple(
        amount_of(line.quantity, unit_price=line.unit_price, currency=cart.currency, rounding=cart.rounding)
        for line in cart.lines
    )


def quote(cart: Sale, *, discounts: Discounts | None = None, tax_table: TaxTable | None) -> Quote:
    """What the cart costs after these discounts.

    Raises:
        MissingTaxRate: nothing says how a line is taxed.
        AmountTooLarge: one document may not carry that much.
        MalformedUnitPrice, UnknownCurrency: a line cannot be priced.
    """
    discounts = discounts or Discounts(tuple(Minor(0) for _ in cart.lines))
    lines = tuple(
        _line(ordinal, line, subtotal=subtotal, discount=discount, cart=cart, tax_table=tax_table)
        for ordinal, (line, subtotal, discount) in enumerate(
            zip(cart.lines, subtotals(cart), discounts.lines, strict=True), start=1
        )
    )
    shipping = _shipping(cart, discount=discounts.shipping, tax_table=tax_table)
    return Quote(
        at=cart.at,
        currency=cart.currency,
        jurisdiction=cart.jurisdiction,
        rounding=cart.rounding,
        lines=lines,
        shipping=shipping,
        promotions=discounts.applied,
        totals=_totals(lines, shipping, cart=cart),
    )


def _line(
    line_id: int,
    line: SaleLine,
    *,
    subtotal: Minor,
    discount: Minor,
    cart: Sale,
    tax_table: TaxTable | None,
) -> QuotedLine:
    net = Minor(subtotal - discount)
    tax = _tax(net, line.tax_category, pieces=line.quantity, cart=cart, tax_table=tax_table)
    return QuotedLine(
        line_id=line_id,
        sku=line.sku,
        quantity=line.quantity,
        unit_price=line.unit_price,
        price_id=line.price_id,
        tax_category=line.tax_category,
        subtotal=subtotal,
        discount=discount,
        tax=tax,
        total=_with_tax(net, tax),
    )


def _shipping(cart: Sale, *, discount: Minor, tax_table: TaxTable | None) -> QuotedShipping | None:
    shipping = cart.shipping
    if shipping is None:
        return None
    net = Minor(shipping.amount - discount)
    tax = _tax(net, shipping.tax_category, pieces=1, cart=cart, tax_table=tax_table)
    return QuotedShipping(
        amount=shipping.amount,
        discount=discount,
        tax_category=shipping.tax_category,
        tax=tax,
        total=_with_tax(net, tax),
    )


def _tax(
    net: Minor, tax_category: TaxCategoryId, *, pieces: int, cart: Sale, tax_table: TaxTable | None
) -> QuotedTax:
    assert net >= 0, "a discount takes off no more than there is"
    if cart.jurisdiction is None:
        return _UNTAXED
    rate = required_rate(tax_table, jurisdiction=cart.jurisdiction, tax_category=tax_category, at=cart.at)
    amount = share_of_pieces(net, rate.rate_bp, _parts(rate), pieces=pieces, rounding=cart.rounding)
    return QuotedTax(rate.rate_bp, rate.included, amount)


def _parts(rate: TaxRate | QuotedTax) -> int:
    """The basis points that an amount stands for: its own 10,000, and those of the tax that it holds."""
    return 10_000 + rate.rate_bp if rate.included else 10_000


def _with_tax(net: Minor, tax: QuotedTax) -> Minor:
    return net if tax.included else Minor(net + tax.amount)


def _remainder(parts: Sequence[QuotedLine | QuotedShipping], *, rounding: Rounding) -> int:
    """By how much the tax of parts, each rounded, exceeds that of all of them, rounded once."""
    exact = sum(
        (Fraction(_net(part) * part.tax.rate_bp, _parts(part.tax)) for part in parts), start=Fraction()
    )
    at_once = share(1, exact.numerator, exact.denominator, rounding=rounding)
    return sum(part.tax.amount for part in parts) - at_once


def _net(part: QuotedLine | QuotedShipping) -> int:
    """What is taxed: the amount after its discount."""
    return part.total - (0 if part.tax.included else part.tax.amount)


def _totals(lines: Sequence[QuotedLine], shipping: QuotedShipping | None, *, cart: Sale) -> QuoteTotals:
    parts = [*lines, *(() if shipping is None else (shipping,))]
    items, sending = sum(line.subtotal for line in lines), 0 if shipping is None else shipping.amount
    # Also of what is taken off again: views add up discounts as they do totals.
    within_limit(items + sending, currency=cart.currency)
    return QuoteTotals(
        items=Minor(items),
        shipping=Minor(sending),
        discount=Minor(sum(part.discount for part in parts)),
        tax=Minor(sum(part.tax.amount for part in parts)),
        tax_included=Minor(sum(part.tax.amount for part in parts if part.tax.included)),
        tax_remainder=_remainder(parts, rounding=cart.rounding),
        grand=within_limit(sum(part.total for part in parts), currency=cart.currency),
    )
