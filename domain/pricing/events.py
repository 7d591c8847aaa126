"""The events of pricing: the only part of it that other packages may rely on.

A window reaches from its first moment up to, and without, its last; without a last moment it is open.
"""

from typing import Final, Literal

from msgspec import Struct

from domain.event import Event, event_type
from domain.ids import (
    ChannelId,
    CouponId,
    CustomerGroupId,
    CustomerId,
    JurisdictionId,
    OrderId,
    PriceId,
    PriceListId,
    PromotionGroupId,
    PromotionId,
    RedemptionId,
    Sku,
    TaxCategoryId,
    customer_tag,
)
from domain.moment import Moment
from domain.money import Currency, Minor, UnitPrice
from domain.promotion_terms import Action, Rule

Stacking = Literal["combine", "exclusive", "best_in_group"]
"""With others; alone; or only where no other one of its group takes more off."""

ReleaseReason = Literal["cancelled", "rejected", "expired", "staff"]
"""Why an order does not use a coupon after all."""

PROMOTIONS_TAG: Final = "promotions"
"""The tag of all that says which promotions there are."""


@event_type("pricing.price_set.v1")
class PriceSet(Event, frozen=True, kw_only=True):
    """From `min_quantity` pieces on, a list has this price for a SKU while the window lasts."""

    sku: Sku
    price_id: PriceId
    list_id: PriceListId
    min_quantity: int
    unit_price: UnitPrice
    currency: Currency
    valid_from: Moment
    valid_until: Moment | None
    set_at: Moment


@event_type("pricing.price_retired.v1")
class PriceRetired(Event, frozen=True, kw_only=True):
    """The window of a price ends here; one that had not begun never begins."""

    sku: Sku
    price_id: PriceId
    list_id: PriceListId
    min_quantity: int
    retired_at: Moment


class ChosenList(Struct, frozen=True, kw_only=True, gc=False):
    """A price list of a channel, for the customers of a group alone; None: for everybody."""

    list_id: PriceListId
    group: CustomerGroupId | None = None


@event_type("pricing.price_lists_chosen.v1")
class PriceListsChosen(Event, frozen=True, kw_only=True):
    """Carts of a channel take their prices from these lists: from the first that has one. None: from the catalogue."""

    channel: ChannelId
    lists: tuple[ChosenList, ...]
    chosen_at: Moment


@event_type("pricing.customer_grouped.v1", tags=lambda event: (customer_tag(event.customer_id),))
class CustomerGrouped(Event, frozen=True, kw_only=True):
    """A customer is in this group, and in no other one; null: in none."""

    customer_id: CustomerId
    group: CustomerGroupId | None
    grouped_at: Moment


@event_type("pricing.tax_rate_set.v1")
class TaxRateSet(Event, frozen=True, kw_only=True):
    """A jurisdiction taxes a category so from a moment on; `included`: prices hold the tax already."""

    jurisdiction: JurisdictionId
    tax_category: TaxCategoryId
    rate_bp: int
    included: bool
    valid_from: Moment
    set_at: Moment


@event_type("pricing.promotion_defined.v1", tags=lambda _: (PROMOTIONS_TAG,))
class PromotionDefined(Event, frozen=True, kw_only=True):
    """Carts that a rule is for cost less while the window lasts; with `needs_coupon` only those that have one.

    `budget` is what its coupons may take off in all, in minor units.
    """

    promotion_id: PromotionId
    currency: Currency
    rule: Rule
    action: Action
    stacking: Stacking
    group: PromotionGroupId | None
    priority: int
    needs_coupon: bool
    budget: Minor | None
    valid_from: Moment
    valid_until: Moment | None
    defined_at: Moment


@event_type("pricing.promotion_ended.v1", tags=lambda _: (PROMOTIONS_TAG,))
class PromotionEnded(Event, frozen=True, kw_only=True):
    """Nothing costs less because of it any more."""

    promotion_id: PromotionId
    ended_at: Moment


def coupon_tag(code: CouponId) -> str:
    """The tag of what redeems a coupon."""
    return f"coupon:{code}"


def promotion_tag(promotion_id: PromotionId) -> str:
    """The tag of what uses the budget of a promotion."""
    return f"promotion:{promotion_id}"


@event_type("pricing.coupon_created.v1")
class CouponCreated(Event, frozen=True, kw_only=True):
    """A code lets carts have a promotion: `limit` times in all, `per_customer` times for each customer."""

    code: CouponId
    promotion_id: PromotionId
    limit: int | None
    per_customer: int | None
    created_at: Moment


def _partition(event: "CouponRedeemed | RedemptionReleased") -> str:
    """The stream of the coupon: what is left of it is folded in order."""
    return f"coupon-{event.code}"


def _redemption_tags(event: "CouponRedeemed | RedemptionReleased") -> tuple[str, ...]:
    of_customer = () if event.customer_id is None else (customer_tag(event.customer_id),)
    return (coupon_tag(event.code), promotion_tag(event.promotion_id), *of_customer)


@event_type("pricing.coupon_redeemed.v1", partition=_partition, tags=_redemption_tags)
class CouponRedeemed(Event, frozen=True, kw_only=True):
    """An order uses a coupon, which takes so many minor units off."""

    redemption_id: RedemptionId
    code: CouponId
    promotion_id: PromotionId
    order_id: OrderId
    customer_id: CustomerId | None
    amount: Minor
    redeemed_at: Moment


@event_type("pricing.redemption_released.v1", partition=_partition, tags=_redemption_tags)
class RedemptionReleased(Event, frozen=True, kw_only=True):
    """The order does not use the coupon after all: somebody else may."""

    redemption_id: RedemptionId
    code: CouponId
    promotion_id: PromotionId
    customer_id: CustomerId | None
    amount: Minor
    reason: ReleaseReason
    released_at: Moment
