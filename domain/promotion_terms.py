"""What a promotion is for and takes off, as events of several contexts say it."""

from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

from domain.ids import CouponId, PromotionId, Sku
from domain.money import Minor

ActionKind = Literal["percent_bp", "fixed", "free_shipping", "bxgy"]
"""A part of the price, an amount, shipping, or the cheapest pieces of each so many."""


class Rule(Struct, frozen=True, kw_only=True):
    """The carts that a promotion is for, before promotions, and the lines that it takes something off.

    No SKUs: all lines. Those lines together cost at least `min_amount` minor units, and have `min_quantity` pieces.
    """

    skus: tuple[Sku, ...] = ()
    min_amount: Minor = Minor(0)
    min_quantity: int = 1


class Action(Struct, frozen=True, kw_only=True):
    """What a promotion takes off: basis points, minor units, shipping, or `get` of each `buy` + `get` pieces."""

    kind: ActionKind
    percent_bp: int | None = None
    amount: Minor | None = None
    buy: int | None = None
    get: int | None = None


class LineDiscount(Struct, frozen=True, kw_only=True, gc=False):
    """What is taken off a line, in minor units."""

    line_id: int
    amount: Minor


class PromotionDiscount(Struct, frozen=True, kw_only=True, gc=False):
    """What a promotion takes off, in minor units; `code` is that of the coupon that it needs."""

    promotion_id: PromotionId
    code: CouponId | None
    amount: Minor


def of_coupon(promotions: Iterable[PromotionDiscount]) -> PromotionDiscount | None:
    """Of the promotions of one sale the one that needs a coupon, of which a sale has one at most; None: it has none."""
    return next((each for each in promotions if each.code is not None), None)


class Discount(Struct, frozen=True, kw_only=True):
    """What is taken off, by line and by promotion: both are the same amount. Lines without a discount are missing."""

    lines: tuple[LineDiscount, ...] = ()
    promotions: tuple[PromotionDiscount, ...] = ()

    @property
    def amount(self) -> Minor:
        """All of it, in minor units."""
        return Minor(sum(line.amount for line in self.lines))
