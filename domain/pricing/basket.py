"""A cart as quotes and promotions look at it: lines and shipping at the prices that its buyer was shown."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, Protocol

from msgspec import Struct

from domain.ids import CouponId, JurisdictionId, PriceId, PromotionId, Sku, TaxCategoryId
from domain.money import Currency, Minor, UnitPrice
from domain.pricing.evaluation import evaluate
from domain.pricing.promotion import Promotion
from domain.pricing.quote import Quote, QuotedLine, QuotedShipping, Sale, SaleLine, Shipping
from domain.pricing.tax_table import STANDARD
from domain.pricing.window import Window
from domain.promotion_terms import Action, Discount, LineDiscount, PromotionDiscount, Rule
from domain.sale_terms import LineTax, SaleTax

_ITSELF: Final = PromotionId("itself")


class Priced(Protocol):
    """A line with its price, of a cart or of a view."""

    @property
    def line_id(self) -> int:
        """Its number."""

    @property
    def sku(self) -> Sku:
        """What it is of."""

    @property
    def quantity(self) -> int:
        """How many pieces."""

    @property
    def unit_price(self) -> UnitPrice:
        """What each costs."""


class SaleTerms(Struct, frozen=True, kw_only=True):
    """The prices of lists that a sale has, who taxes it, and how: what is in no category is standard.

    Without a jurisdiction nobody taxes it.
    """

    price_ids: Mapping[Sku, PriceId] = {}
    jurisdiction: JurisdictionId | None = None
    tax_categories: Mapping[Sku, TaxCategoryId] = {}

    def tax_category_of(self, sku: Sku) -> TaxCategoryId:
        """How a SKU is taxed."""
        return self.tax_categories.get(sku, STANDARD)


def basket(
    lines: Sequence[Priced],
    *,
    shipping: Shipping | None,
    currency: Currency,
    at: datetime,
    terms: SaleTerms = SaleTerms(),  # noqa: B008 - it is frozen
) -> Sale:
    """What is to be priced. Amounts are rounded half-even at the level of lines, as those of orders are."""
    return Sale(
        lines=tuple(
            SaleLine(
                sku=line.sku,
                quantity=line.quantity,
                unit_price=line.unit_price,
                price_id=terms.price_ids.get(line.sku),
                tax_category=terms.tax_category_of(line.sku),
            )
            for line in lines
        ),
        shipping=shipping,
        currency=currency,
        jurisdiction=terms.jurisdiction,
        at=at,
    )


def discount_of(
    quoted: Quote,
    lines: Sequence[Priced],
    *,
    shipping_line: int,
    coupon: tuple[PromotionId, CouponId] | None,
) -> Discount:
    """What is taken off these lines, `shipping_line` being that of the shipping; `coupon` names its code."""
    promotion_id, code = coupon or (None, None)
    parts = _by_line(quoted, lines, shipping_line=shipping_line)
    return Discount(
        lines=tuple(
            LineDiscount(line_id=number, amount=part.discount) for number, part in parts if part.discount
        ),
        promotions=tuple(
            PromotionDiscount(
                promotion_id=each.promotion_id,
                code=code if each.promotion_id == promotion_id else None,
                amount=each.amount,
            )
            for each in quoted.promotions
        ),
    )


def tax_of(quoted: Quote, lines: Sequence[Priced], *, shipping_line: int) -> SaleTax | None:
    """The tax of these lines, `shipping_line` being that of the shipping; None where nobody taxes the sale."""
    if quoted.jurisdiction is None:
        return None
    return SaleTax(
        jurisdiction=quoted.jurisdiction,
        amount=quoted.totals.tax,
        included=quoted.totals.tax_included,
        remainder=quoted.totals.tax_remainder,
        lines=tuple(
            LineTax(
                line_id=number,
                tax_category=part.tax_category,
                rate_bp=part.tax.rate_bp,
                included=part.tax.included,
                amount=part.tax.amount,
            )
            for number, part in _by_line(quoted, lines, shipping_line=shipping_line)
        ),
    )


def _by_line(
    quoted: Quote, lines: Sequence[Priced], *, shipping_line: int
) -> list[tuple[int, QuotedLine | QuotedShipping]]:
    """The parts of a quote of these lines, each with the number of its line."""
    parts: list[tuple[int, QuotedLine | QuotedShipping]] = [
        (line.line_id, part) for line, part in zip(lines, quoted.lines, strict=True)
    ]
    return parts if quoted.shipping is None else [*parts, (shipping_line, quoted.shipping)]


def takes_off(rule: Rule, action: Action, sale: Sale) -> Minor:
    """What a coupon takes off by its terms alone, in minor units: no other promotions, limits, budget or window."""
    alone = Promotion(
        promotion_id=_ITSELF,
        currency=sale.currency,
        rule=rule,
        action=action,
        stacking="combine",
        window=Window(sale.at, None),
    )
    taken = evaluate(sale, (alone,)).discounts
    return Minor(sum(taken.lines) + taken.shipping)
