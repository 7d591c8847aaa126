"""Requests of pricing's commands: one of each that is accepted after `FACTS`, and one for each refusal."""

from typing import Any, Final

from domain.event import Event
from domain.ids import CouponId, PromotionId, RedemptionId
from tests.pricing_examples import (
    coupon_created,
    coupon_redeemed,
    price_set,
    promotion_defined,
    promotion_ended,
)

PRICE: Final = {"list_id": "new", "unit_price": "1.95", "currency": "GBP"}
RATE: Final = {"tax_category": "standard", "rate_bp": 2_000, "included": True}

PROMOTION: Final = {"currency": "GBP", "action": {"kind": "percent_bp", "percent_bp": 1_000}}
COUPON: Final = {"code": "new", "promotion_id": "spring"}
REDEMPTION: Final = {"order_id": "placed", "amount": 100}

PRICES_OF: Final = "/v1/products/{}/prices"

VALID: Final[dict[str, tuple[str, Any]]] = {
    "set_price": (PRICES_OF.format("85123A"), PRICE),
    "retire_price": ("/v1/products/85123A/price-retirements", {"price_id": "p-1"}),
    "choose_price_lists": ("/v1/channels/web/price-lists", {"lists": [{"list_id": "retail"}]}),
    "set_customer_group": ("/v1/customers/17850/group", {"group": "resellers"}),
    "set_tax_rate": ("/v1/tax-tables/GB/rates", RATE),
    "define_promotion": ("/v1/promotions", PROMOTION),
    "end_promotion": ("/v1/promotions/spring/end", {}),
    "create_coupon": ("/v1/coupons", COUPON),
    "redeem_coupon": ("/v1/coupons/spring10/redemptions", REDEMPTION),
    "release_redemption": ("/v1/redemptions/r-1/release", {"reason": "cancelled"}),
}

FACTS: Final[tuple[Event, ...]] = (
    price_set(),
    promotion_defined(),
    promotion_defined(promotion_id=PromotionId("over")),
    promotion_ended(promotion_id=PromotionId("over")),
    coupon_created(),
    coupon_created(code=CouponId("ONCE"), limit=1),
    coupon_created(code=CouponId("OVER"), promotion_id=PromotionId("over")),
    coupon_redeemed(),
    coupon_redeemed(code=CouponId("ONCE"), redemption_id=RedemptionId("r-2")),
)

REFUSED: Final[dict[tuple[str, str], tuple[str, Any]]] = {
    ("set_price", "product-unknown"): (PRICES_OF.format("none"), PRICE),
    ("set_price", "price-id-taken"): (PRICES_OF.format("85123A"), {**PRICE, "price_id": "p-1"}),
    ("set_price", "overlapping-price"): (PRICES_OF.format("85123A"), {**PRICE, "list_id": "retail"}),
    ("set_price", "empty-window"): (
        PRICES_OF.format("85123A"),
        {**PRICE, "valid_from": "2026-02-01T00:00:00Z", "valid_until": "2026-02-01T00:00:00Z"},
    ),
    ("define_promotion", "promotion-id-taken"): ("/v1/promotions", {**PROMOTION, "promotion_id": "spring"}),
    ("define_promotion", "malformed-promotion"): ("/v1/promotions", {**PROMOTION, "group": "any"}),
    ("define_promotion", "empty-window"): (
        "/v1/promotions",
        {**PROMOTION, "valid_until": "2020-01-01T00:00:00Z"},
    ),
    ("end_promotion", "promotion-unknown"): ("/v1/promotions/none/end", {}),
    ("create_coupon", "coupon-code-taken"): ("/v1/coupons", {**COUPON, "code": "spring 10"}),
    ("create_coupon", "promotion-unknown"): ("/v1/coupons", {**COUPON, "promotion_id": "none"}),
    ("redeem_coupon", "coupon-unknown"): ("/v1/coupons/none/redemptions", REDEMPTION),
    ("redeem_coupon", "coupon-exhausted"): ("/v1/coupons/once/redemptions", REDEMPTION),
    ("redeem_coupon", "coupon-not-applicable"): ("/v1/coupons/over/redemptions", REDEMPTION),
    ("redeem_coupon", "redemption-id-taken"): (
        "/v1/coupons/spring10/redemptions",
        {**REDEMPTION, "redemption_id": "r-1"},
    ),
    ("release_redemption", "redemption-unknown"): ("/v1/redemptions/none/release", {"reason": "staff"}),
    ("retire_price", "price-unknown"): ("/v1/products/85123A/price-retirements", {"price_id": "none"}),
}
