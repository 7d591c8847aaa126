"""A cart as promotions look at it: lines and shipping at the prices that its buyer was shown, without tax."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, Protocol

from domain.ids import CouponId, JurisdictionId, PromotionId, Sku, TaxCategoryId
from domain.money import Currency, Minor, UnitPrice
from domain.pricing.evaluation import evaluate
from domain.pricing.promotion import Promotion
from domain.pricing.quote import Discounts, Sale, SaleLine, Shipping
from domain.pricing.window import Window
from domain.promotion_terms import Action, Discount, LineDiscount, PromotionDiscount, Rule

_UNTAXED: Final = TaxCategoryId("untaxed")
_NOWHERE: Final = JurisdictionId("nowhere")
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


def basket(lines: Sequence[Priced], *, shipping: Minor | None, currency: Currency, at: datetime) -> Sale:
    """What promotions look at. Amounts are rounded half-even at the level of lines, as those of orders are."""
    return Sale(
        lines=tuple(
            SaleLine(
                sku=line.sku,
                quantity=line.quantity,
                unit_price=line.unit_price,
                price_id=None,
                tax_category=_UNTAXED,
            )
            for line in lines
        ),
        shipping=None if shipping is None else Shipping(amount=shipping, tax_category=_UNTAXED),
        currency=currency,
        jurisdiction=_NOWHERE,
        at=at,
    )


def by_line(
    taken: Discounts,
    lines: Sequence[Priced],
    *,
    shipping_line: int,
    coupon: tuple[PromotionId, CouponId] | None,
) -> Discount:
    """Discounts by the numbers of these lines, `shipping_line` being that of the shipping; `coupon` names its code."""
    promotion_id, code = coupon or (None, None)
    amounts = {line.line_id: amount for line, amount in zip(lines, taken.lines, strict=True)}
    amounts[shipping_line] = taken.shipping
    return Discount(
        lines=tuple(LineDiscount(line_id=number, amount=off) for number, off in amounts.items() if off),
        promotions=tuple(
            PromotionDiscount(
                promotion_id=each.promotion_id,
                code=code if each.promotion_id == promotion_id else None,
                amount=each.amount,
            )
            for each in taken.applied
        ),
    )


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
