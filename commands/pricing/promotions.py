"""Commands of promotions and coupons."""

from typing import Annotated, Final

from pydantic import ConfigDict, Field

from commands.coupons import coupon_in, uses_in
from commands.decision import DecisionView
from commands.documentation import Caller
from commands.payloads import Currency, Id, Moment, Payload, Quantity
from commands.pricing.prices import router
from commands.recording import Answer
from commands.routing import command
from domain.event import Event
from domain.ids import (
    CouponId,
    CustomerId,
    OrderId,
    PromotionGroupId,
    PromotionId,
    RedemptionId,
    Sku,
)
from domain.money import AMOUNT_MAX, Minor
from domain.pricing import coupon as coupons
from domain.pricing import promotion as promotions
from domain.pricing import redemption as redemptions
from domain.pricing.coupon import (
    COUPON,
    LIMIT_MAX,
    Coupon,
    CouponCodeTaken,
    CouponExhausted,
    CouponNotApplicable,
    CouponUnknown,
)
from domain.pricing.events import (
    ReleaseReason,
    Stacking,
)
from domain.pricing.promotion import (
    PROMOTION,
    WHOLE_BP,
    MalformedPromotion,
    Promotion,
    PromotionIdTaken,
    PromotionUnknown,
)
from domain.pricing.redemption import REDEMPTION, Redemption, RedemptionIdTaken, RedemptionUnknown
from domain.pricing.window import EmptyWindow, window
from domain.promotion_terms import Action, ActionKind, Rule

SKUS_MAX: Final = 1_000
"""SKUs that one promotion may name."""

PRIORITY_MAX: Final = 1_000_000

Amount = Annotated[int, Field(ge=0, le=AMOUNT_MAX)]


class PromotionRule(Payload):
    """The carts that it is for, before promotions, and the lines that it takes something off."""

    skus: Annotated[list[Id], Field(max_length=SKUS_MAX)] = Field(default=[], description="All when absent.")
    min_amount: Amount = Field(default=0, description="Minor units that those lines cost at least.")
    min_quantity: Quantity = Field(default=1, description="Pieces that those lines have at least.")


class PromotionAction(Payload):
    """What it takes off; each kind has members of its own."""

    kind: ActionKind
    percent_bp: Annotated[int, Field(ge=1, le=WHOLE_BP)] | None = Field(
        default=None, description="Of `percent_bp`: basis points."
    )
    amount: Annotated[int, Field(ge=1, le=AMOUNT_MAX)] | None = Field(
        default=None, description="Of `fixed`: minor units."
    )
    buy: Quantity | None = Field(default=None, description="Of `bxgy`: pieces that are paid.")
    get: Quantity | None = Field(default=None, description="Of `bxgy`: the cheapest pieces, which are not.")


class DefinePromotion(Payload):
    """Carts that cost less."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "promotion_id": "spring-sale",
                "currency": "GBP",
                "rule": {"min_amount": 2_000},
                "action": {"kind": "percent_bp", "percent_bp": 1_000},
                "stacking": "combine",
                "valid_from": "2026-01-01T00:00:00Z",
            }
        }
    )

    promotion_id: Id | None = Field(default=None, description="A UUID is made up when absent.")
    currency: Currency
    rule: PromotionRule = PromotionRule()
    action: PromotionAction
    stacking: Stacking = "combine"
    group: Id | None = Field(default=None, description="Of `best_in_group`.")
    priority: Annotated[int, Field(ge=-PRIORITY_MAX, le=PRIORITY_MAX)] = Field(
        default=0, description="The highest comes first."
    )
    needs_coupon: bool = Field(default=False, description="Only carts with a coupon of it have it.")
    budget: Amount | None = Field(default=None, description="What its coupons may take off in all.")
    valid_from: Moment | None = Field(default=None, description="Now when absent.")
    valid_until: Moment | None = Field(default=None, description="No part of the window; open when absent.")


class EndPromotion(Payload):
    """Nothing needs to be said."""

    model_config = ConfigDict(json_schema_extra={"example": {}})


class CreateCoupon(Payload):
    """A code that lets carts have a promotion."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"code": "SPRING10", "promotion_id": "spring", "limit": 100, "per_customer": 1}
        }
    )

    code: Id = Field(description="Case and spaces do not matter.")
    promotion_id: Id
    limit: Annotated[int, Field(ge=1, le=LIMIT_MAX)] | None = None
    per_customer: Annotated[int, Field(ge=1, le=LIMIT_MAX)] | None = None


class RedeemCoupon(Payload):
    """The order that uses it, and what it takes off there."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"order_id": "536365", "customer_id": "17850", "amount": 195}}
    )

    redemption_id: Id | None = Field(default=None, description="A UUID is made up when absent.")
    order_id: Id
    customer_id: Id | None = None
    amount: Amount = Field(description="Minor units.")


class ReleaseRedemption(Payload):
    """Why the order does not use the coupon after all."""

    model_config = ConfigDict(json_schema_extra={"example": {"reason": "cancelled"}})

    reason: ReleaseReason


@command(
    router,
    "/promotions",
    requires="pricing:write",
    refusals=(PromotionIdTaken, MalformedPromotion, EmptyWindow),
)
async def define_promotion(body: DefinePromotion, caller: Caller) -> Answer:
    """Have carts cost less while a window lasts. Promotions look at carts before promotions, so none undoes another."""
    promotion_id = PromotionId(body.promotion_id or caller.new_id())

    def decide(known: Promotion | None, _: DecisionView) -> list[Event]:
        return promotions.define(known, _promotion(promotion_id, body, caller), now=caller.now)

    return await caller.execute(PROMOTION, promotion_id, decide, creates=True)


def _promotion(promotion_id: PromotionId, body: DefinePromotion, caller: Caller) -> Promotion:
    return Promotion(
        promotion_id=promotion_id,
        currency=body.currency,
        rule=Rule(
            skus=tuple(Sku(sku) for sku in body.rule.skus),
            min_amount=Minor(body.rule.min_amount),
            min_quantity=body.rule.min_quantity,
        ),
        action=Action(
            kind=body.action.kind,
            percent_bp=body.action.percent_bp,
            amount=None if body.action.amount is None else Minor(body.action.amount),
            buy=body.action.buy,
            get=body.action.get,
        ),
        stacking=body.stacking,
        group=None if body.group is None else PromotionGroupId(body.group),
        priority=body.priority,
        needs_coupon=body.needs_coupon,
        budget=None if body.budget is None else Minor(body.budget),
        window=window(valid_from=body.valid_from or caller.now, valid_until=body.valid_until),
    )


@command(router, "/promotions/{promotion_id}/end", requires="pricing:write", refusals=(PromotionUnknown,))
async def end_promotion(promotion_id: PromotionId, body: EndPromotion, caller: Caller) -> Answer:  # noqa: ARG001 - an empty body
    """End a promotion; orders placed before keep their discounts."""
    return await caller.execute(
        PROMOTION,
        promotion_id,
        lambda promotion, _: promotions.end(promotion, promotion_id=promotion_id, now=caller.now),
    )


@command(router, "/coupons", requires="pricing:write", refusals=(CouponCodeTaken, PromotionUnknown))
async def create_coupon(body: CreateCoupon, caller: Caller) -> Answer:
    """Let carts have a promotion by a code, so many times."""
    coupon = Coupon(coupons.code_of(body.code), PromotionId(body.promotion_id), body.limit, body.per_customer)
    return await caller.execute(
        COUPON,
        coupon.code,
        lambda known, view: coupons.create(
            known, coupon, promotion=view.known(PROMOTION, coupon.promotion_id), now=caller.now
        ),
        creates=True,
    )


@command(
    router,
    "/coupons/{code}/redemptions",
    requires="coupons:redeem",
    refusals=(CouponUnknown, CouponExhausted, CouponNotApplicable, RedemptionIdTaken),
    problems=("too-many-tagged",),
)
async def redeem_coupon(code: CouponId, body: RedeemCoupon, caller: Caller) -> Answer:
    """Have an order use a coupon. However many redeem at once, its limits and the budget of its promotion hold."""
    redemption_id = RedemptionId(body.redemption_id or caller.new_id())
    customer_id = None if body.customer_id is None else CustomerId(body.customer_id)

    def decide(known: Redemption | None, view: DecisionView) -> list[Event]:
        coupon, promotion = coupon_in(view, coupons.code_of(code))
        return redemptions.redeem(
            known,
            coupon,
            promotion,
            uses_in(view, coupon, promotion, customer_id=customer_id),
            redemption=Redemption(
                redemption_id,
                coupon.code,
                coupon.promotion_id,
                OrderId(body.order_id),
                customer_id,
                Minor(body.amount),
            ),
            now=caller.now,
        )

    return await caller.execute(REDEMPTION, redemption_id, decide, creates=True)


@command(
    router,
    "/redemptions/{redemption_id}/release",
    requires="coupons:redeem",
    refusals=(RedemptionUnknown,),
)
async def release_redemption(redemption_id: RedemptionId, body: ReleaseRedemption, caller: Caller) -> Answer:
    """Have a redemption count no more, since its order does not use the coupon."""
    return await caller.execute(
        REDEMPTION,
        redemption_id,
        lambda redemption, _: redemptions.release(
            redemption, redemption_id=redemption_id, reason=body.reason, now=caller.now
        ),
    )
