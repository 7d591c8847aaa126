"""The coupon of a cart: one at most, which the order redeems. Whether it takes anything off is not decided here."""

from collections.abc import Callable
from datetime import datetime

from msgspec import Struct

from domain.cart.cart import Cart, require_open
from domain.cart.cart_refusals import CartHasCoupon
from domain.cart.events import CouponApplied, CouponRemoved
from domain.event import Event
from domain.ids import CartId, CouponId, PromotionId
from domain.moment import in_utc
from domain.promotion_terms import Action, Rule


class CouponTerms(Struct, frozen=True, kw_only=True):
    """The promotion of a coupon: for which carts it is, and what it takes off."""

    promotion_id: PromotionId
    rule: Rule
    action: Action


def apply_coupon(
    cart: Cart | None,
    *,
    cart_id: CartId,
    code: CouponId,
    terms_of: Callable[[Cart], CouponTerms],
    now: datetime,
) -> list[Event]:
    """Have a coupon taken off what the cart costs; nothing if it has it. `terms_of` refuses one that takes nothing off.

    Raises:
        CartUnknown, CartIsClosed, CartFrozen: the cart does not change.
        CartHasCoupon: it has another one.
    """
    cart = require_open(cart, cart_id=cart_id)
    if cart.coupon == code:
        return []
    if cart.coupon is not None:
        raise CartHasCoupon(cart_id=cart_id, coupon=cart.coupon)
    terms = terms_of(cart)
    return [
        CouponApplied(
            cart_id=cart_id,
            code=code,
            promotion_id=terms.promotion_id,
            rule=terms.rule,
            action=terms.action,
            applied_at=in_utc(now),
        )
    ]


def remove_coupon(cart: Cart | None, *, cart_id: CartId, code: CouponId, now: datetime) -> list[Event]:
    """Do without a coupon; nothing if the cart does not have it.

    Raises:
        CartUnknown, CartIsClosed, CartFrozen: the cart does not change.
    """
    cart = require_open(cart, cart_id=cart_id)
    if cart.coupon != code:
        return []
    return [CouponRemoved(cart_id=cart_id, code=code, removed_at=in_utc(now))]
