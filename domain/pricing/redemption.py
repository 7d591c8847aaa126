"""Redemptions: uses of coupons by orders, each a stream of its own.

How many there are is read by tag, so that a limit holds under any race.

Conflict      RedemptionIdTaken
Unknown       RedemptionUnknown
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from domain.aggregate import Aggregate
from domain.event import Event
from domain.ids import CouponId, CustomerId, OrderId, PromotionId, RedemptionId
from domain.moment import in_utc
from domain.money import Minor
from domain.pricing.coupon import Coupon, CouponNotApplicable, Redeemed, Uses, require_usable
from domain.pricing.events import CouponRedeemed, RedemptionReleased, ReleaseReason
from domain.pricing.promotion import Promotion
from domain.rejection import Conflict, Unknown


class Redemption(Struct, frozen=True):
    """A use of a coupon by an order; released, it counts no more."""

    redemption_id: RedemptionId
    code: CouponId
    promotion_id: PromotionId
    order_id: OrderId
    customer_id: CustomerId | None
    amount: Minor
    is_released: bool = False


@dataclass(kw_only=True, eq=False)
class RedemptionIdTaken(Conflict):
    """The id belongs to a redemption already."""

    title = "The id belongs to a redemption already"
    meaning = "A coupon is redeemed once under an id."
    remedy = "Choose another id. To repeat a request whose answer was lost, send it with its first key."

    redemption_id: RedemptionId

    def __str__(self) -> str:
        return f"There is a redemption '{self.redemption_id}' already."


@dataclass(kw_only=True, eq=False)
class RedemptionUnknown(Unknown):
    """The redemption does not exist."""

    title = "There is no such redemption"
    meaning = "The command addresses a redemption that never was."
    remedy = "Check the id: case matters."

    redemption_id: RedemptionId

    def __str__(self) -> str:
        return f"There is no redemption '{self.redemption_id}'."


def evolve(redemption: Redemption | None, event: Event) -> Redemption:
    """Return the redemption as it is after `event`."""
    match event:
        case CouponRedeemed():
            return Redemption(
                event.redemption_id,
                event.code,
                event.promotion_id,
                event.order_id,
                event.customer_id,
                event.amount,
            )
        case RedemptionReleased():
            assert redemption is not None, "a redemption is released that never was"
            return replace(redemption, is_released=True)
    raise AssertionError(f"{type(event).__name__} is no event of a redemption")


REDEMPTION: Final[Aggregate[Redemption]] = Aggregate(
    "redemption", evolve, (CouponRedeemed, RedemptionReleased), cached=False
)
"""Not cached: hardly anything is decided on one twice."""


def redemption_of(order_id: OrderId) -> RedemptionId:
    """The redemption of an order that was placed with a coupon."""
    return RedemptionId(order_id)


def redeemed(so_far: Redeemed, event: CouponRedeemed | RedemptionReleased) -> Redeemed:
    """The redemptions that count, after another event."""
    sign = 1 if isinstance(event, CouponRedeemed) else -1
    return Redeemed(so_far.times + sign, so_far.amount + sign * event.amount)


def redeem(
    known: Redemption | None,
    coupon: Coupon,
    promotion: Promotion,
    uses: Uses,
    *,
    redemption: Redemption,
    now: datetime,
    promised_at: datetime | None = None,
) -> list[Event]:
    """Have an order use a coupon, whose promotion is valid now, or was when a checkout promised what it takes off.

    Raises:
        RedemptionIdTaken: there is a redemption of this id.
        CouponNotApplicable, CouponExhausted: it may not be redeemed.
    """
    if known is not None:
        raise RedemptionIdTaken(redemption_id=known.redemption_id)
    require_usable(coupon, promotion, uses, customer_id=redemption.customer_id, at=promised_at or now)
    if promotion.budget is not None and uses.of_promotion.amount + redemption.amount > promotion.budget:
        raise CouponNotApplicable(coupon=coupon.code, reason="cap_reached")
    return [
        CouponRedeemed(
            redemption_id=redemption.redemption_id,
            code=coupon.code,
            promotion_id=coupon.promotion_id,
            order_id=redemption.order_id,
            customer_id=redemption.customer_id,
            amount=redemption.amount,
            redeemed_at=in_utc(now),
        )
    ]


def release(
    redemption: Redemption | None, *, redemption_id: RedemptionId, reason: ReleaseReason, now: datetime
) -> list[Event]:
    """Have a redemption count no more; nothing if it does not.

    Raises:
        RedemptionUnknown: there is none of this id.
    """
    if redemption is None:
        raise RedemptionUnknown(redemption_id=redemption_id)
    if redemption.is_released:
        return []
    return [
        RedemptionReleased(
            redemption_id=redemption_id,
            code=redemption.code,
            promotion_id=redemption.promotion_id,
            customer_id=redemption.customer_id,
            amount=redemption.amount,
            reason=reason,
            released_at=in_utc(now),
        )
    ]
