"""Promotions: carts that a rule is for cost less while a window lasts.

Conflict      PromotionIdTaken
Unknown       PromotionUnknown
Unacceptable  MalformedPromotion
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from domain.aggregate import Aggregate
from domain.event import Event
from domain.ids import PromotionGroupId, PromotionId
from domain.moment import in_utc
from domain.money import Currency, Minor, validate_currency
from domain.pricing.events import PromotionDefined, PromotionEnded, Stacking
from domain.pricing.window import Window
from domain.promotion_terms import Action, Rule
from domain.rejection import Conflict, Unacceptable, Unknown

WHOLE_BP: Final = 10_000
"""Basis points of all there is."""


class Promotion(Struct, frozen=True, kw_only=True):
    """A promotion; the higher its priority, the earlier it comes."""

    promotion_id: PromotionId
    currency: Currency
    rule: Rule
    action: Action
    stacking: Stacking
    group: PromotionGroupId | None = None
    priority: int = 0
    needs_coupon: bool = False
    budget: Minor | None = None
    window: Window
    is_ended: bool = False


@dataclass(kw_only=True, eq=False)
class PromotionIdTaken(Conflict):
    """The id belongs to a promotion already."""

    title = "The id belongs to a promotion already"
    meaning = "A promotion is defined once, and does not change: it is ended, and another one defined."
    remedy = "Choose another id. To repeat a request whose answer was lost, send it with its first key."

    promotion_id: PromotionId

    def __str__(self) -> str:
        return f"There is a promotion '{self.promotion_id}' already."


@dataclass(kw_only=True, eq=False)
class PromotionUnknown(Unknown):
    """The promotion does not exist."""

    title = "There is no such promotion"
    meaning = "The command names a promotion that was never defined."
    remedy = "Check the id: case matters."

    promotion_id: PromotionId

    def __str__(self) -> str:
        return f"There is no promotion '{self.promotion_id}'."


@dataclass(kw_only=True, eq=False)
class MalformedPromotion(Unacceptable):
    """Its parts do not fit together."""

    title = "The parts of the promotion do not fit together"
    meaning = (
        "An action has what its kind needs and nothing else, a group belongs to `best_in_group`, and a budget to "
        "promotions that need a coupon."
    )
    remedy = "Correct the member that the detail names."

    promotion_id: PromotionId
    fault: str

    def __str__(self) -> str:
        return f"Promotion '{self.promotion_id}': {self.fault}."


def evolve(promotion: Promotion | None, event: Event) -> Promotion:
    """Return the promotion as it is after `event`."""
    match event:
        case PromotionDefined():
            return defined(event)
        case PromotionEnded():
            assert promotion is not None, "a promotion ends that was never defined"
            return replace(promotion, is_ended=True)
    raise AssertionError(f"{type(event).__name__} is no event of a promotion")


def defined(event: PromotionDefined) -> Promotion:
    """The promotion that an event defines."""
    return Promotion(
        promotion_id=event.promotion_id,
        currency=event.currency,
        rule=event.rule,
        action=event.action,
        stacking=event.stacking,
        group=event.group,
        priority=event.priority,
        needs_coupon=event.needs_coupon,
        budget=event.budget,
        window=Window(event.valid_from, event.valid_until),
    )


PROMOTION: Final[Aggregate[Promotion]] = Aggregate("promotion", evolve, (PromotionDefined, PromotionEnded))

Unended = Mapping[PromotionId, Promotion]
"""The promotions that were not ended, by id."""


def unended(promotions: Unended, event: PromotionDefined | PromotionEnded) -> Unended:
    """The promotions that are not ended, after an event of any of them."""
    others = {known: each for known, each in promotions.items() if known != event.promotion_id}
    return {**others, event.promotion_id: defined(event)} if isinstance(event, PromotionDefined) else others


def define(known: Promotion | None, promotion: Promotion, *, now: datetime) -> list[Event]:
    """Have carts cost less from now on.

    Raises:
        PromotionIdTaken: there is one of this id.
        MalformedPromotion, UnknownCurrency: it is none.
    """
    if known is not None:
        raise PromotionIdTaken(promotion_id=promotion.promotion_id)
    if fault := _fault(promotion):
        raise MalformedPromotion(promotion_id=promotion.promotion_id, fault=fault)
    return [
        PromotionDefined(
            promotion_id=promotion.promotion_id,
            currency=validate_currency(promotion.currency),
            rule=promotion.rule,
            action=promotion.action,
            stacking=promotion.stacking,
            group=promotion.group,
            priority=promotion.priority,
            needs_coupon=promotion.needs_coupon,
            budget=promotion.budget,
            valid_from=promotion.window.begins,
            valid_until=promotion.window.ends,
            defined_at=in_utc(now),
        )
    ]


def end(promotion: Promotion | None, *, promotion_id: PromotionId, now: datetime) -> list[Event]:
    """End a promotion; nothing if it is.

    Raises:
        PromotionUnknown: there is none of this id.
    """
    if promotion is None:
        raise PromotionUnknown(promotion_id=promotion_id)
    return [] if promotion.is_ended else [PromotionEnded(promotion_id=promotion_id, ended_at=in_utc(now))]


_NEEDED: Final[Mapping[str, frozenset[str]]] = {
    "percent_bp": frozenset({"percent_bp"}),
    "fixed": frozenset({"amount"}),
    "free_shipping": frozenset(),
    "bxgy": frozenset({"buy", "get"}),
}


def _fault(promotion: Promotion) -> str:
    action = promotion.action
    given = {name for name in ("percent_bp", "amount", "buy", "get") if getattr(action, name) is not None}
    needed = _NEEDED[action.kind]
    if given != needed:
        return f"an action {action.kind} has {' and '.join(sorted(needed)) or 'nothing'} besides its kind"
    if (promotion.group is not None) is not (promotion.stacking == "best_in_group"):
        return "a group belongs to best_in_group"
    if promotion.budget is not None and not promotion.needs_coupon:
        return "a budget is counted by coupons"
    return ""
