"""Coupons: codes that let carts have a promotion, so many times.

Conflict      CouponCodeTaken, CouponExhausted
Unknown       CouponUnknown
Unacceptable  CouponNotApplicable
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from msgspec import Struct

from domain.aggregate import Aggregate
from domain.event import Event
from domain.ids import CouponId, CustomerId, PromotionId
from domain.moment import in_utc
from domain.pricing.evaluation import Reason, validity
from domain.pricing.events import CouponCreated
from domain.pricing.promotion import Promotion, PromotionUnknown
from domain.rejection import Conflict, Unacceptable, Unknown

LIMIT_MAX: Final = 5_000
"""Redemptions of one coupon that a limit may allow: a decision reads all of them."""


class Coupon(Struct, frozen=True):
    """A coupon. Without a limit, it is None."""

    code: CouponId
    promotion_id: PromotionId
    limit: int | None
    per_customer: int | None


class Redeemed(Struct, frozen=True):
    """How many redemptions were not released, and what they took off."""

    times: int = 0
    amount: int = 0


class Uses(Struct, frozen=True):
    """Redemptions so far: of the coupon, of the coupon by this customer, and of its promotion."""

    of_coupon: Redeemed = Redeemed()
    of_customer: Redeemed = Redeemed()
    of_promotion: Redeemed = Redeemed()


@dataclass(kw_only=True, eq=False)
class CouponCodeTaken(Conflict):
    """The code belongs to a coupon already."""

    title = "The code belongs to a coupon already"
    meaning = "A coupon is created once; case and spaces of its code do not matter."
    remedy = "Choose another code."

    coupon: CouponId

    def __str__(self) -> str:
        return f"There is a coupon '{self.coupon}' already."


@dataclass(kw_only=True, eq=False)
class CouponUnknown(Unknown):
    """The coupon does not exist."""

    title = "There is no such coupon"
    meaning = "No coupon has this code."
    remedy = "Check the code; case and spaces do not matter."

    coupon: CouponId

    def __str__(self) -> str:
        return f"There is no coupon '{self.coupon}'."


@dataclass(kw_only=True, eq=False)
class CouponExhausted(Conflict):
    """It was redeemed as often as it may be."""

    title = "The coupon is used up"
    meaning = (
        "The coupon was redeemed `facts.limit` times, in all or by this customer, and no more are allowed."
    )
    remedy = "Leave the coupon out. A redemption that is released makes room for another one."

    coupon: CouponId
    limit: int
    customer_id: CustomerId | None = None

    def __str__(self) -> str:
        return f"The coupon '{self.coupon}' was redeemed {self.limit} times, and no more are allowed."


@dataclass(kw_only=True, eq=False)
class CouponNotApplicable(Unacceptable):
    """It takes nothing off, for a reason that is named."""

    title = "The coupon takes nothing off"
    meaning = (
        "`facts.reason`: its promotion is ended (inactive), is not valid now (outside_validity), is for other carts "
        "(cart_mismatch), has spent its budget (cap_reached), comes behind one that stands alone (stopped), or takes "
        "less off than another one of its group (beaten); or nobody says whose it is (no_customer)."
    )
    remedy = "Leave the coupon out, or change the cart so that its promotion is for it."

    coupon: CouponId
    reason: Reason

    def __str__(self) -> str:
        return f"The coupon '{self.coupon}' takes nothing off: {self.reason}."


def code_of(given: str) -> CouponId:
    """A code as it is compared: upper case, without spaces."""
    return CouponId(given.replace(" ", "").upper())


def evolve(_coupon: Coupon | None, event: Event) -> Coupon:
    """Return the coupon as it is after `event`."""
    match event:
        case CouponCreated():
            return Coupon(event.code, event.promotion_id, event.limit, event.per_customer)
    raise AssertionError(f"{type(event).__name__} is no event of a coupon")


COUPON: Final[Aggregate[Coupon]] = Aggregate("coupon", evolve, (CouponCreated,))


def create(
    known: Coupon | None, coupon: Coupon, *, promotion: Promotion | None, now: datetime
) -> list[Event]:
    """Let carts have a promotion by a code.

    Raises:
        CouponCodeTaken: there is a coupon of this code.
        PromotionUnknown: there is no such promotion.
    """
    if known is not None:
        raise CouponCodeTaken(coupon=coupon.code)
    if promotion is None:
        raise PromotionUnknown(promotion_id=coupon.promotion_id)
    return [
        CouponCreated(
            code=coupon.code,
            promotion_id=coupon.promotion_id,
            limit=coupon.limit,
            per_customer=coupon.per_customer,
            created_at=in_utc(now),
        )
    ]


def require_usable(
    coupon: Coupon, promotion: Promotion, uses: Uses, *, customer_id: CustomerId | None, at: datetime
) -> None:
    """Refuse a coupon that nobody, or not this customer, may redeem at a moment.

    Raises:
        CouponNotApplicable: its promotion is not valid, or nobody says whose it is.
        CouponExhausted: it was redeemed as often as it may be.
    """
    reason = validity(promotion, at=at)
    if reason is None and coupon.per_customer is not None and customer_id is None:
        reason = "no_customer"
    if reason is not None:
        raise CouponNotApplicable(coupon=coupon.code, reason=reason)
    if coupon.limit is not None and uses.of_coupon.times >= coupon.limit:
        raise CouponExhausted(coupon=coupon.code, limit=coupon.limit)
    if coupon.per_customer is not None and uses.of_customer.times >= coupon.per_customer:
        raise CouponExhausted(coupon=coupon.code, limit=coupon.per_customer, customer_id=customer_id)
