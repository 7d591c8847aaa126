"""What promotions take off a cart: a pure function of the cart before promotions.

Rules look at prices before any discount, so that no promotion makes another one, or itself, come and go. Discounts are
taken in order of priority, each off what is left, so nothing costs less than nothing. Lines are taken in an order of
their own, so theirs in the cart does not matter.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Literal, assert_never

from msgspec import Struct

from domain.ids import PromotionGroupId, PromotionId
from domain.money import Minor
from domain.pricing.promotion import WHOLE_BP, Promotion
from domain.pricing.quote import AppliedPromotion, Discounts, Sale, subtotals
from domain.pricing.rounding import share
from domain.promotion_terms import Action, Rule

Reason = Literal[
    "inactive", "outside_validity", "cart_mismatch", "cap_reached", "stopped", "beaten", "no_customer"
]
"""Why a promotion takes nothing off: it is ended, not valid now, for other carts, without budget, behind one that
stands alone, or less than another one of its group; or nobody says whose its coupon is."""


class Evaluation(Struct, frozen=True):
    """The discounts of a cart, and why promotions take nothing off."""

    discounts: Discounts
    refused: Mapping[PromotionId, Reason]


class _Takes(Struct, frozen=True):
    """What is taken off each line, and shipping."""

    lines: tuple[int, ...]
    shipping: int = 0

    @property
    def amount(self) -> int:
        return sum(self.lines) + self.shipping


def evaluate(
    sale: Sale,
    promotions: Iterable[Promotion],
    *,
    coupons: frozenset[PromotionId] = frozenset(),
    spent: Mapping[PromotionId, int] | None = None,
) -> Evaluation:
    """What these promotions take off a cart; `coupons` names those it has a coupon of, `spent` is of budgets."""
    order = sorted(range(len(sale.lines)), key=lambda index: _own_order(sale, index))
    sorted_sale = Sale(
        lines=tuple(sale.lines[index] for index in order),
        shipping=sale.shipping,
        currency=sale.currency,
        jurisdiction=sale.jurisdiction,
        at=sale.at,
        rounding=sale.rounding,
    )
    found = _Evaluating(sorted_sale, spent or {})
    wanted = (each for each in promotions if each.needs_coupon <= (each.promotion_id in coupons))
    found.apply(sorted(wanted, key=lambda each: (-each.priority, each.promotion_id)))
    taken = dict(zip(order, found.taken, strict=True))
    return Evaluation(
        Discounts(
            tuple(Minor(taken[index]) for index in range(len(order))),
            Minor(found.taken_shipping),
            tuple(found.applied),
        ),
        found.refused,
    )


def validity(promotion: Promotion, *, at: datetime) -> Reason | None:
    """Why a promotion is not valid at a moment; None: it is."""
    if promotion.is_ended:
        return "inactive"
    return None if promotion.window.holds(at) else "outside_validity"


def _own_order(sale: Sale, index: int) -> tuple[object, ...]:
    line = sale.lines[index]
    return (Decimal(line.unit_price), line.sku, line.quantity, line.tax_category, line.price_id or "")


class _Evaluating:
    """One evaluation: what is left of each line, and what was decided so far."""

    def __init__(self, sale: Sale, spent: Mapping[PromotionId, int]) -> None:
        self._sale = sale
        self._spent = spent
        self._whole = subtotals(sale)
        self.taken = [0] * len(sale.lines)
        self.taken_shipping = 0
        self.applied: list[AppliedPromotion] = []
        self.refused: dict[PromotionId, Reason] = {}

    def apply(self, promotions: Sequence[Promotion]) -> None:
        """Apply them in this order, as far as they stand together."""
        left = self._best(self._eligible(promotions))
        alone = False
        for promotion in left:
            exclusive = promotion.stacking == "exclusive"
            if alone or (exclusive and self.applied):
                self.refused[promotion.promotion_id] = "stopped"
                continue
            takes = self._capped(self._takes(promotion))
            if takes.amount == 0:
                self.refused[promotion.promotion_id] = "cart_mismatch"
                continue
            self.taken = [so_far + more for so_far, more in zip(self.taken, takes.lines, strict=True)]
            self.taken_shipping += takes.shipping
            self.applied.append(AppliedPromotion(promotion.promotion_id, Minor(takes.amount)))
            alone = exclusive

    def _eligible(self, promotions: Sequence[Promotion]) -> list[Promotion]:
        """Those that the cart before promotions may have."""
        found = []
        for promotion in promotions:
            reason = self._reason(promotion)
            if reason is None:
                found.append(promotion)
            else:
                self.refused[promotion.promotion_id] = reason
        return found

    def _reason(self, promotion: Promotion) -> Reason | None:
        invalid = validity(promotion, at=self._sale.at)
        if invalid is not None:
            return invalid
        if promotion.currency != self._sale.currency or not self._matches(promotion.rule):
            return "cart_mismatch"
        left = (
            None
            if promotion.budget is None
            else promotion.budget - self._spent.get(promotion.promotion_id, 0)
        )
        return "cap_reached" if left is not None and self._takes(promotion).amount > left else None

    def _best(self, promotions: Sequence[Promotion]) -> list[Promotion]:
        """Those that no other one of their group beats by what it takes off the cart before promotions."""
        best: dict[PromotionGroupId, Promotion] = {}
        for promotion in promotions:
            if promotion.group is not None:
                known = best.get(promotion.group)
                if known is None or self._takes(promotion).amount > self._takes(known).amount:
                    best[promotion.group] = promotion
        beaten = {each.promotion_id for each in promotions if each.group and best[each.group] is not each}
        self.refused.update(dict.fromkeys(beaten, "beaten"))
        return [each for each in promotions if each.promotion_id not in beaten]

    def _matching(self, rule: Rule) -> list[int]:
        return [n for n, line in enumerate(self._sale.lines) if not rule.skus or line.sku in rule.skus]

    def _matches(self, rule: Rule) -> bool:
        lines = self._matching(rule)
        amount = sum(self._whole[n] for n in lines)
        pieces = sum(self._sale.lines[n].quantity for n in lines)
        return bool(lines) and amount >= rule.min_amount and pieces >= rule.min_quantity

    def _takes(self, promotion: Promotion) -> _Takes:
        """What it would take off the cart before promotions."""
        lines, action = self._matching(promotion.rule), promotion.action
        match action.kind:
            case "percent_bp":
                assert action.percent_bp is not None, "a decision saw to it"
                return self._parts(dict.fromkeys(lines, (action.percent_bp, WHOLE_BP)))
            case "fixed":
                assert action.amount is not None, "a decision saw to it"
                return self._spread(action.amount, lines)
            case "free_shipping":
                shipping = self._sale.shipping
                return _Takes((0,) * len(self.taken), 0 if shipping is None else shipping.amount)
            case "bxgy":
                return self._parts(self._free_pieces(action, lines))
        assert_never(action.kind)

    def _parts(self, parts: Mapping[int, tuple[int, int]]) -> _Takes:
        """So many parts of each of these lines."""
        return _Takes(
            tuple(
                share(whole, *parts[n], rounding=self._sale.rounding) if n in parts else 0
                for n, whole in enumerate(self._whole)
            )
        )

    def _spread(self, amount: int, lines: Sequence[int]) -> _Takes:
        """An amount over lines by what they cost: whole parts first, the rest one by one to the largest remainders."""
        whole = sum(self._whole[n] for n in lines)
        amount = min(amount, whole)
        parts = {n: divmod(amount * self._whole[n], whole or 1) for n in lines}
        rest = amount - sum(part for part, _ in parts.values())
        dearer = set(sorted(lines, key=lambda n: (-parts[n][1], n))[:rest])
        return _Takes(tuple(parts[n][0] + (n in dearer) if n in parts else 0 for n in range(len(self.taken))))

    def _free_pieces(self, action: Action, lines: Sequence[int]) -> dict[int, tuple[int, int]]:
        """The cheapest pieces, so many of each `buy` + `get`: of each line the free ones and all."""
        assert action.buy is not None, "a decision saw to it"
        assert action.get is not None, "a decision saw to it"
        pieces = sum(self._sale.lines[n].quantity for n in lines)
        free = pieces // (action.buy + action.get) * action.get
        found = {}
        for n in lines:  # the cheapest come first
            quantity = self._sale.lines[n].quantity
            found[n] = (min(free, quantity), quantity)
            free -= found[n][0]
        return found

    def _capped(self, takes: _Takes) -> _Takes:
        """No more than what is left."""
        shipping = 0 if self._sale.shipping is None else self._sale.shipping.amount
        return _Takes(
            tuple(
                min(wanted, whole - taken)
                for wanted, whole, taken in zip(takes.lines, self._whole, self.taken, strict=True)
            ),
            min(takes.shipping, shipping - self.taken_shipping),
        )
