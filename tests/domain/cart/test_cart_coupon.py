"""The coupon of a cart: one at most, kept until its buyer does without it."""

import pytest

from domain.cart import cart_coupon
from domain.cart.cart import CART as CARTS
from domain.cart.cart_refusals import CartHasCoupon, CartIsClosed, CartUnknown
from domain.ids import CouponId
from domain.promotion_terms import Rule
from tests.cart_examples import (
    CART,
    CODE,
    NOW,
    SPRING,
    TENTH,
    cart_closed,
    cart_opened,
    carts_merged,
    coupon_applied,
    coupon_removed,
    item_added,
)

TERMS = cart_coupon.CouponTerms(promotion_id=SPRING, rule=Rule(), action=TENTH)
APPLY = {"cart_id": CART, "code": CODE, "terms_of": lambda _: TERMS, "now": NOW}
REMOVE = {"cart_id": CART, "code": CODE, "now": NOW}


def cart(*events):
    state = CARTS.evolve(None, cart_opened())
    for event in events:
        state = CARTS.evolve(state, event)
    return state


with_it = cart(item_added(), coupon_applied())


def unasked(_):
    raise AssertionError("the terms of a coupon were asked for that is not applied")


def test_a_coupon_is_applied_with_the_terms_of_its_promotion_and_once():
    filled = cart(item_added())

    assert [coupon_applied()] == cart_coupon.apply_coupon(filled, **APPLY)
    assert [] == cart_coupon.apply_coupon(with_it, **{**APPLY, "terms_of": unasked})


def test_a_cart_has_one_coupon():
    for other in (CouponId("OTHER"), CouponId("NONE")):
        with pytest.raises(CartHasCoupon) as refused:
            cart_coupon.apply_coupon(with_it, **{**APPLY, "code": other, "terms_of": unasked})
        assert refused.value.coupon == CODE
    without = cart(item_added(), coupon_applied(), coupon_removed())
    assert [coupon_applied(code="OTHER")] == cart_coupon.apply_coupon(without, **{**APPLY, "code": "OTHER"})


def test_a_coupon_is_removed_once_and_another_one_stays():
    assert [coupon_removed()] == cart_coupon.remove_coupon(with_it, **REMOVE)
    for state, code in ((cart(), CODE), (with_it, "OTHER"), (cart(coupon_applied(), coupon_removed()), CODE)):
        assert [] == cart_coupon.remove_coupon(state, **{**REMOVE, "code": code})


def test_a_cart_into_which_another_one_is_merged_keeps_its_coupon():
    assert cart(item_added(), coupon_applied(), carts_merged()).coupon == CODE


@pytest.mark.parametrize(("state", "refusal"), [(None, CartUnknown), (cart(cart_closed()), CartIsClosed)])
def test_a_coupon_is_not_applied_to_or_removed_from_a_cart_that_does_not_change(state, refusal):
    with pytest.raises(refusal):
        cart_coupon.apply_coupon(state, **{**APPLY, "terms_of": unasked})
    with pytest.raises(refusal):
        cart_coupon.remove_coupon(state, **REMOVE)
