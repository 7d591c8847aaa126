"""Views of pricing: row types and their keys."""

from datetime import datetime

from msgspec import Struct

from domain.ids import (
    ChannelId,
    CouponId,
    CustomerGroupId,
    CustomerId,
    JurisdictionId,
    PriceId,
    PriceListId,
    PromotionGroupId,
    PromotionId,
    Sku,
    TaxCategoryId,
)
from domain.money import Currency, Minor, UnitPrice
from domain.pricing.coupon import COUPON, code_of
from domain.pricing.customer_group import CUSTOMER_GROUP
from domain.pricing.events import ChosenList, Stacking
from domain.pricing.price import PRICES
from domain.pricing.price_lists import PRICE_LISTS
from domain.pricing.promotion import PROMOTION
from domain.pricing.tax_table import TAX_TABLE
from domain.promotion_terms import Action, Rule
from projections.view import KEYED, Row, View


class PriceEntry(Struct, frozen=True, kw_only=True):
    """A price of a list for orders of at least `min_quantity` pieces, in a window without its last moment."""

    price_id: PriceId
    list_id: PriceListId
    min_quantity: int
    unit_price: UnitPrice
    currency: Currency
    valid_from: datetime
    valid_until: datetime | None
    retired_at: datetime | None = None


class PriceTimeline(Row, frozen=True):
    """The prices of a product in all lists, by when they begin: former ones, those of now, and those to come."""

    sku: Sku
    prices: tuple[PriceEntry, ...]


class TaxRateEntry(Struct, frozen=True, kw_only=True):
    """The rate of a category from a moment on, in basis points; `included`: prices hold the tax already."""

    tax_category: TaxCategoryId
    valid_from: datetime
    rate_bp: int
    included: bool


class TaxRates(Row, frozen=True):
    """The tax table of a jurisdiction, by category and moment."""

    jurisdiction: JurisdictionId
    rates: tuple[TaxRateEntry, ...]


price_timeline = View(
    name="price_timeline",
    row=PriceTimeline,
    key=("sku",),
    shape=1,
    kind=KEYED,
    document="pricing:prices",
    category=PRICES.category,
)
tax_rates = View(
    name="tax_rates",
    row=TaxRates,
    key=("jurisdiction",),
    shape=1,
    kind=KEYED,
    document="pricing:tax_table",
    category=TAX_TABLE.category,
)


class ChannelPriceLists(Row, frozen=True):
    """The price lists that carts of a channel take their prices from: the first that has a price counts."""

    channel: ChannelId
    lists: tuple[ChosenList, ...]
    chosen_at: datetime


channel_price_lists = View(
    name="channel_price_lists",
    row=ChannelPriceLists,
    key=("channel",),
    shape=1,
    kind=KEYED,
    document="pricing:price_lists",
    category=PRICE_LISTS.category,
)


class GroupOfCustomer(Row, frozen=True):
    """The group that a customer is in; None: in none any more."""

    customer_id: CustomerId
    group: CustomerGroupId | None
    grouped_at: datetime


customer_group = View(
    name="customer_group",
    row=GroupOfCustomer,
    key=("customer_id",),
    shape=1,
    kind=KEYED,
    category=CUSTOMER_GROUP.category,
)


class PromotionDetails(Row, frozen=True, kw_only=True):
    """A promotion: the carts it is for, what it takes off, and when."""

    promotion_id: PromotionId
    currency: Currency
    rule: Rule
    action: Action
    stacking: Stacking
    group: PromotionGroupId | None
    priority: int
    needs_coupon: bool
    budget: Minor | None
    valid_from: datetime
    valid_until: datetime | None
    is_ended: bool = False
    ended_at: datetime | None = None


class CouponDetails(Row, frozen=True, kw_only=True):
    """A coupon, and how often it may still be redeemed; `left` is None without a limit."""

    code: CouponId
    promotion_id: PromotionId
    limit: int | None
    per_customer: int | None
    redeemed: int
    left: int | None
    amount: Minor
    created_at: datetime


promotion_details = View(
    name="promotion_details",
    row=PromotionDetails,
    key=("promotion_id",),
    shape=1,
    kind=KEYED,
    document="pricing:promotion",
    category=PROMOTION.category,
)
coupon_details = View(
    name="coupon_details",
    row=CouponDetails,
    key=("code",),
    shape=1,
    kind=KEYED,
    document="pricing:coupon",
    category=COUPON.category,
)


def coupon_meant(given: str) -> CouponId:
    """The key of the coupon that somebody means by a text, as commands read it."""
    return code_of(given)
