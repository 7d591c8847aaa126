"""What is taken off a cart: by promotions, and by its coupon, as the log has them when a decision is recorded."""

from datetime import datetime

from commands.coupons import coupon_in, discounts_in
from commands.decision import DecisionView
from domain.cart.cart import SHIPPING_LINE, Cart
from domain.cart.cart_coupon import CouponTerms
from domain.ids import CouponId
from domain.moment import in_utc
from domain.money import line_total
from domain.pricing.basket import basket, by_line
from domain.pricing.quote import Sale
from domain.promotion_terms import Discount


def discount_in(view: DecisionView, cart: Cart, *, now: datetime) -> Discount:
    """What is taken off a cart at its prices.

    Raises:
        CouponUnknown, CouponExhausted, CouponNotApplicable: its coupon cannot be used, or takes nothing off.
    """
    taken, promotion_id = discounts_in(
        view, _sale(cart, now=now), code=cart.coupon, customer_id=cart.customer_id
    )
    coupon = None if cart.coupon is None or promotion_id is None else (promotion_id, cart.coupon)
    return by_line(taken, cart.lines, shipping_line=SHIPPING_LINE, coupon=coupon)


def terms_in(view: DecisionView, cart: Cart, *, code: CouponId, now: datetime) -> CouponTerms:
    """The terms of a coupon that takes something off a cart.

    Raises:
        CouponUnknown, CouponExhausted, CouponNotApplicable: it does not.
    """
    discounts_in(view, _sale(cart, now=now), code=code, customer_id=cart.customer_id)
    _, promotion = coupon_in(view, code)
    return CouponTerms(promotion_id=promotion.promotion_id, rule=promotion.rule, action=promotion.action)


def _sale(cart: Cart, *, now: datetime) -> Sale:
    shipping = cart.shipping
    amount = (
        None if shipping is None else line_total(1, unit_price=shipping.unit_price, currency=cart.currency)
    )
    return basket(cart.lines, shipping=amount, currency=cart.currency, at=in_utc(now))
