"""How the events of pricing change what can be asked about it."""

from typing import Final

from msgspec.structs import replace

from domain.money import Minor
from domain.pricing.events import (
    CouponCreated,
    CouponRedeemed,
    CustomerGrouped,
    PriceListsChosen,
    PriceRetired,
    PriceSet,
    PromotionDefined,
    PromotionEnded,
    RedemptionReleased,
    TaxRateSet,
)
from projections.pricing.views import (
    ChannelPriceLists,
    CouponDetails,
    GroupOfCustomer,
    PriceEntry,
    PriceTimeline,
    PromotionDetails,
    TaxRateEntry,
    TaxRates,
    channel_price_lists,
    coupon_details,
    customer_group,
    price_timeline,
    promotion_details,
    tax_rates,
)


@price_timeline.on(PriceSet)
def priced(timeline: PriceTimeline | None, event: PriceSet) -> PriceTimeline:
    """A price joins those that begin before and after it."""
    entry = PriceEntry(
        price_id=event.price_id,
        list_id=event.list_id,
        min_quantity=event.min_quantity,
        unit_price=event.unit_price,
        currency=event.currency,
        valid_from=event.valid_from,
        valid_until=event.valid_until,
    )
    known = () if timeline is None else timeline.prices
    return PriceTimeline(event.sku, tuple(sorted((*known, entry), key=lambda each: each.valid_from)))


@price_timeline.on(PriceRetired)
def retired(timeline: PriceTimeline, event: PriceRetired) -> PriceTimeline:
    """Its window ends then, and not before it begins."""
    return replace(
        timeline,
        prices=tuple(
            replace(each, valid_until=max(each.valid_from, event.retired_at), retired_at=event.retired_at)
            if each.price_id == event.price_id
            else each
            for each in timeline.prices
        ),
    )


@channel_price_lists.on(PriceListsChosen)
def chosen(_lists: ChannelPriceLists | None, event: PriceListsChosen) -> ChannelPriceLists:
    """The newest choice counts."""
    return ChannelPriceLists(event.channel, event.lists, event.chosen_at)


@customer_group.on(CustomerGrouped)
def grouped(_group: GroupOfCustomer | None, event: CustomerGrouped) -> GroupOfCustomer:
    """A customer is in one group."""
    return GroupOfCustomer(event.customer_id, event.group, event.grouped_at)


@tax_rates.on(TaxRateSet)
def taxed(table: TaxRates | None, event: TaxRateSet) -> TaxRates:
    """A rate takes the place of one of the same moment."""
    entry = TaxRateEntry(
        tax_category=event.tax_category,
        valid_from=event.valid_from,
        rate_bp=event.rate_bp,
        included=event.included,
    )
    known = {(each.tax_category, each.valid_from): each for each in (() if table is None else table.rates)}
    known[entry.tax_category, entry.valid_from] = entry
    return TaxRates(event.jurisdiction, tuple(known[key] for key in sorted(known)))


@promotion_details.on(PromotionDefined)
def promised(_promotion: None, event: PromotionDefined) -> PromotionDetails:
    """A promotion is shown as it was defined."""
    return PromotionDetails(
        promotion_id=event.promotion_id,
        currency=event.currency,
        rule=event.rule,
        action=event.action,
        stacking=event.stacking,
        group=event.group,
        priority=event.priority,
        needs_coupon=event.needs_coupon,
        budget=event.budget,
        valid_from=event.valid_from,
        valid_until=event.valid_until,
    )


@promotion_details.on(PromotionEnded)
def ended(promotion: PromotionDetails, event: PromotionEnded) -> PromotionDetails:
    """It stays readable."""
    return replace(promotion, is_ended=True, ended_at=event.ended_at)


@coupon_details.on(CouponCreated)
def created(_coupon: None, event: CouponCreated) -> CouponDetails:
    """Nobody has redeemed it yet."""
    return CouponDetails(
        code=event.code,
        promotion_id=event.promotion_id,
        limit=event.limit,
        per_customer=event.per_customer,
        redeemed=0,
        left=event.limit,
        amount=Minor(0),
        created_at=event.created_at,
    )


@coupon_details.on(CouponRedeemed)
def redeemed(coupon: CouponDetails, event: CouponRedeemed) -> CouponDetails:
    """One is gone."""
    return _used(coupon, times=1, amount=event.amount)


@coupon_details.on(RedemptionReleased)
def released(coupon: CouponDetails, event: RedemptionReleased) -> CouponDetails:
    """It is there again."""
    return _used(coupon, times=-1, amount=-event.amount)


def _used(coupon: CouponDetails, *, times: int, amount: int) -> CouponDetails:
    return replace(
        coupon,
        redeemed=coupon.redeemed + times,
        left=None if coupon.left is None else coupon.left - times,
        amount=Minor(coupon.amount + amount),
    )


VIEWS: Final = (
    price_timeline,
    channel_price_lists,
    customer_group,
    tax_rates,
    promotion_details,
    coupon_details,
)
"""Views of pricing."""
