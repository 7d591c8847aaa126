"""What can be asked about pricing: the prices of a product over time, tax tables, promotions and coupons."""

from typing import Final

from projections.pricing.views import (
    ChannelPriceLists,
    CouponDetails,
    GroupOfCustomer,
    PriceTimeline,
    PromotionDetails,
    TaxRates,
    channel_price_lists,
    coupon_details,
    coupon_meant,
    customer_group,
    price_timeline,
    promotion_details,
    tax_rates,
)
from read_api.lists.declaring import Listed, ListOf, Sort, by_value
from read_api.reading.resource import Resource, only_row
from read_api.routing import ById, Documented, Queries

TIMELINE: Final = Resource(noun="price timeline", view=price_timeline, render=only_row)
PRICE_LISTS: Final = Resource(noun="choice of price lists", view=channel_price_lists, render=only_row)
CUSTOMER_GROUP: Final = Resource(noun="group of a customer", view=customer_group, render=only_row)
TAX_TABLE: Final = Resource(noun="tax table", view=tax_rates, render=only_row)
PROMOTION: Final = Resource(noun="promotion", view=promotion_details, render=only_row)
COUPON: Final = Resource(noun="coupon", view=coupon_details, render=only_row, id_of=coupon_meant)

_PRICES: Final = {
    "sku": "85123A",
    "prices": [
        {
            "price_id": "summer-85123A",
            "list_id": "retail",
            "min_quantity": 1,
            "unit_price": "1.95",
            "currency": "GBP",
            "valid_from": "2026-06-01T00:00:00Z",
            "valid_until": "2026-09-01T00:00:00Z",
            "retired_at": None,
        }
    ],
}
_LISTS: Final = {
    "channel": "web",
    "lists": [{"list_id": "trade", "group": "resellers"}, {"list_id": "retail", "group": None}],
    "chosen_at": "2026-06-01T00:00:00Z",
}
_GROUP: Final = {"customer_id": "17850", "group": "resellers", "grouped_at": "2026-06-01T00:00:00Z"}
_RATES: Final = {
    "jurisdiction": "GB",
    "rates": [
        {
            "tax_category": "standard",
            "valid_from": "2011-01-04T00:00:00Z",
            "rate_bp": 2_000,
            "included": True,
        }
    ],
}

_PROMOTION: Final = {
    "promotion_id": "spring",
    "currency": "GBP",
    "rule": {"skus": [], "min_amount": 2_000, "min_quantity": 1},
    "action": {"kind": "percent_bp", "percent_bp": 1_000, "amount": None, "buy": None, "get": None},
    "stacking": "combine",
    "group": None,
    "priority": 0,
    "needs_coupon": False,
    "budget": None,
    "valid_from": "2026-01-01T00:00:00Z",
    "valid_until": None,
    "is_ended": False,
    "ended_at": None,
}
_COUPON: Final = {
    "code": "SPRING10",
    "promotion_id": "spring",
    "limit": 100,
    "per_customer": 1,
    "redeemed": 3,
    "left": 97,
    "amount": 585,
    "created_at": "2026-01-01T00:00:00Z",
}

PROMOTIONS: Final = ListOf(
    path="/promotions",
    requires="promotions:read",
    view=promotion_details,
    filters=(
        by_value(
            "is_ended", "is_ended", description="Only those that were ended, or were not.", example=False
        ),
    ),
    sorts=(Sort("promotion_id", ("promotion_id",), filters=("is_ended",)),),
    documented=Listed(
        "list_promotions",
        "PromotionsPage",
        "Promotions, by id",
        "Those that are not ended are valid while their window lasts.",
        _PROMOTION,
        example_ids=("spring", "summer"),
    ),
)

QUERIES: Final = Queries(
    by_id=(
        ById(
            "/prices/{sku}",
            "pricing:read",
            TIMELINE,
            Documented("get_prices", "Prices of a product over time", PriceTimeline, _PRICES, "85123A"),
        ),
        ById(
            "/channel-price-lists/{channel}",
            "pricing:read",
            PRICE_LISTS,
            Documented("get_price_lists", "Price lists of a channel", ChannelPriceLists, _LISTS, "web"),
        ),
        ById(
            "/customer-groups/{customer_id}",
            "promotions:read",
            CUSTOMER_GROUP,
            Documented("get_customer_group", "Group of a customer", GroupOfCustomer, _GROUP, "17850"),
        ),
        ById(
            "/tax-tables/{jurisdiction}",
            "pricing:read",
            TAX_TABLE,
            Documented("get_tax_table", "Tax table", TaxRates, _RATES, "GB"),
        ),
        ById(
            "/promotions/{promotion_id}",
            "promotions:read",
            PROMOTION,
            Documented("get_promotion", "Promotion", PromotionDetails, _PROMOTION, "spring"),
        ),
        ById(
            "/coupons/{code}",
            "promotions:read",
            COUPON,
            Documented("get_coupon", "Coupon", CouponDetails, _COUPON, "SPRING10"),
        ),
    ),
    lists=(PROMOTIONS,),
)
