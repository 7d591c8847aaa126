from datetime import timedelta

import pytest
from msgspec.structs import replace

from counterfoil.testing.spec import given
from domain.ids import OrderId
from domain.money import Minor
from domain.pricing import coupon as coupons
from domain.pricing import redemption as redemptions
from domain.pricing.coupon import (
    Coupon,
    CouponCodeTaken,
    CouponExhausted,
    CouponNotApplicable,
    Redeemed,
    Uses,
    code_of,
)
from domain.pricing.promotion import PromotionUnknown, defined
from domain.pricing.redemption import Redemption, RedemptionIdTaken, RedemptionUnknown
from tests.pricing_examples import (
    CODE,
    LONG_AGO,
    NOW,
    SPRING,
    coupon_created,
    coupon_redeemed,
    promotion_defined,
    redemption_released,
)

COUPON = Coupon(CODE, SPRING, 10, None)
TENTH_OFF = defined(promotion_defined())
REDEMPTION = Redemption("r-1", CODE, SPRING, OrderId("536365"), "17850", Minor(195))


def redeem(
    case=None, *, coupon=COUPON, promotion=TENTH_OFF, uses=None, redemption=REDEMPTION, promised_at=None
):
    return (case or given()).when(
        redemptions.redeem,
        coupon=coupon,
        promotion=promotion,
        uses=uses or Uses(),
        redemption=redemption,
        now=NOW,
        promised_at=promised_at,
    )


@pytest.mark.parametrize("given_code", ["SPRING10", "spring10", "Spring 10"])
def test_a_code_is_the_same_however_it_is_written(given_code):
    assert CODE == code_of(given_code)


def test_a_code_is_given_to_one_coupon():
    create = {"coupon": COUPON, "promotion": TENTH_OFF, "now": NOW}

    given().when(coupons.create, **create).then(coupon_created())
    given(coupon_created()).when(coupons.create, **create).then_refused(CouponCodeTaken, coupon=CODE)
    given().when(coupons.create, **{**create, "promotion": None}).then_refused(PromotionUnknown)


def test_a_coupon_is_redeemed_up_to_its_limit():
    redeem(uses=Uses(of_coupon=Redeemed(9))).then(coupon_redeemed())
    redeem(uses=Uses(of_coupon=Redeemed(10))).then_refused(CouponExhausted, limit=10)


def test_a_customer_redeems_a_coupon_up_to_their_limit():
    once = replace(COUPON, limit=None, per_customer=1)

    redeem(coupon=once).then(coupon_redeemed())
    redeem(coupon=once, uses=Uses(of_customer=Redeemed(1))).then_refused(CouponExhausted, customer_id="17850")
    redeem(coupon=once, redemption=replace(REDEMPTION, customer_id=None)).then_refused(
        CouponNotApplicable, reason="no_customer"
    )


def test_coupons_take_off_no_more_than_the_budget_of_their_promotion():
    promotion = replace(TENTH_OFF, needs_coupon=True, budget=Minor(1_000))

    redeem(promotion=promotion, uses=Uses(of_promotion=Redeemed(5, 805))).then(coupon_redeemed())
    redeem(promotion=promotion, uses=Uses(of_promotion=Redeemed(5, 806))).then_refused(
        CouponNotApplicable, reason="cap_reached"
    )


def test_a_coupon_is_redeemed_while_its_promotion_is_valid():
    over = replace(TENTH_OFF, window=replace(TENTH_OFF.window, ends=LONG_AGO))

    redeem(promotion=over).then_refused(CouponNotApplicable, reason="outside_validity")
    redeem(promotion=replace(TENTH_OFF, is_ended=True)).then_refused(CouponNotApplicable, reason="inactive")


def test_a_coupon_is_redeemed_as_promised_after_its_promotion_was_over_but_not_after_it_was_ended():
    over = replace(TENTH_OFF, window=replace(TENTH_OFF.window, ends=NOW))
    promised = {"promised_at": NOW - timedelta(minutes=15)}

    redeem(promotion=over).then_refused(CouponNotApplicable, reason="outside_validity")
    redeem(promotion=over, **promised).then(coupon_redeemed())
    redeem(promotion=replace(over, is_ended=True), **promised).then_refused(
        CouponNotApplicable, reason="inactive"
    )


def test_a_redemption_is_made_once_and_released_once():
    release = {"redemption_id": "r-1", "reason": "cancelled", "now": NOW}

    redeem(given(coupon_redeemed())).then_refused(RedemptionIdTaken, redemption_id="r-1")
    given(coupon_redeemed()).when(redemptions.release, **release).then(redemption_released())
    given(coupon_redeemed(), redemption_released()).when(redemptions.release, **release).then()
    given().when(redemptions.release, **release).then_refused(RedemptionUnknown, redemption_id="r-1")


def test_a_released_redemption_counts_no_more():
    once = redemptions.redeemed(Redeemed(), coupon_redeemed())

    assert (Redeemed(1, 195), Redeemed()) == (once, redemptions.redeemed(once, redemption_released()))
