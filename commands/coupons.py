"""Coupons as decisions of several contexts read them: with their promotions, and with how often they were redeemed.

That is read by tag, so an append fails if a coupon was redeemed meanwhile, and limits and budgets hold under any race.
"""

from datetime import datetime
from typing import Final

from commands.decision import Appended, DecisionView, Tagged, events_of
from domain.ids import CouponId, CustomerId, OrderId, PromotionId, customer_tag
from domain.pricing import promotion as promotions
from domain.pricing import redemption as redemptions
from domain.pricing.coupon import (
    COUPON,
    Coupon,
    CouponNotApplicable,
    CouponUnknown,
    Redeemed,
    Uses,
    require_usable,
)
from domain.pricing.evaluation import evaluate
from domain.pricing.events import (
    PROMOTIONS_TAG,
    CouponRedeemed,
    PromotionDefined,
    PromotionEnded,
    RedemptionReleased,
    ReleaseReason,
    coupon_tag,
    promotion_tag,
)
from domain.pricing.promotion import PROMOTION, Promotion, Unended
from domain.pricing.quote import Discounts, Sale
from domain.pricing.redemption import REDEMPTION, redemption_of

UNENDED: Final[Tagged[Unended]] = Tagged((PromotionDefined, PromotionEnded), {}, promotions.unended)
"""The promotions that were not ended."""

REDEEMED: Final[Tagged[Redeemed]] = Tagged(
    (CouponRedeemed, RedemptionReleased), Redeemed(), redemptions.redeemed
)
"""The redemptions that count, of a coupon, a promotion, or a customer."""


def coupon_in(view: DecisionView, code: CouponId) -> tuple[Coupon, Promotion]:
    """A coupon with its promotion, as they are.

    Raises:
        CouponUnknown: there is no such coupon.
    """
    coupon = view.known(COUPON, code)  # what is said of it never changes
    if coupon is None:
        raise CouponUnknown(coupon=code)
    promotion = view.current(PROMOTION, coupon.promotion_id)
    assert promotion is not None, "a coupon is of a promotion"
    return coupon, promotion


def uses_in(
    view: DecisionView, coupon: Coupon, promotion: Promotion, *, customer_id: CustomerId | None
) -> Uses:
    """The redemptions so far, as far as limits and budget have to know: the append fails if there is a newer one."""
    questions: dict[str, tuple[str, ...]] = {}
    if coupon.limit is not None:
        questions["of_coupon"] = (coupon_tag(coupon.code),)
    if coupon.per_customer is not None and customer_id is not None:
        questions["of_customer"] = (customer_tag(customer_id), coupon_tag(coupon.code))
    if promotion.budget is not None:
        questions["of_promotion"] = (promotion_tag(promotion.promotion_id),)
    for tags in questions.values():
        view.prefetch_tagged(REDEEMED, *tags)
    return Uses(**{name: view.tagged(REDEEMED, *tags) for name, tags in questions.items()})


def discounts_in(
    view: DecisionView, sale: Sale, *, code: CouponId | None, customer_id: CustomerId | None
) -> tuple[Discounts, PromotionId | None]:
    """What promotions take off now, that of the coupon included, and which one that is.

    Raises:
        CouponUnknown, CouponExhausted, CouponNotApplicable: the coupon cannot be used, or takes nothing off.
    """
    view.prefetch_tagged(UNENDED, PROMOTIONS_TAG)
    if code is None:
        return evaluate(sale, view.tagged(UNENDED, PROMOTIONS_TAG).values()).discounts, None
    coupon, promotion = coupon_in(view, code)
    uses = uses_in(view, coupon, promotion, customer_id=customer_id)
    require_usable(coupon, promotion, uses, customer_id=customer_id, at=sale.at)
    evaluation = evaluate(
        sale,
        view.tagged(UNENDED, PROMOTIONS_TAG).values(),
        coupons=frozenset((coupon.promotion_id,)),
        spent={coupon.promotion_id: uses.of_promotion.amount},
    )
    if (reason := evaluation.refused.get(coupon.promotion_id)) is not None:
        raise CouponNotApplicable(coupon=coupon.code, reason=reason)
    return evaluation.discounts, coupon.promotion_id


def released_in(
    view: DecisionView, order_id: OrderId, *, reason: ReleaseReason, now: datetime
) -> tuple[Appended, ...]:
    """The release of the coupon that an order was placed with; nothing if there is none, or it was released."""
    redemption_id = redemption_of(order_id)
    redemption = view.current(REDEMPTION, redemption_id)
    if redemption is None or redemption.order_id != order_id:
        return ()
    released = redemptions.release(redemption, redemption_id=redemption_id, reason=reason, now=now)
    return events_of(REDEMPTION, redemption_id, released)
