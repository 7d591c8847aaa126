"""Events of pricing to begin a test with: one ordinary case of each, in which a test changes only what it is about."""

from datetime import UTC, datetime
from typing import Any, Final

from msgspec.structs import replace

from domain.aggregate import Aggregate
from domain.event import Event
from domain.ids import (
    ChannelId,
    CouponId,
    CustomerGroupId,
    CustomerId,
    JurisdictionId,
    OrderId,
    PriceId,
    PriceListId,
    PromotionId,
    RedemptionId,
    Sku,
    TaxCategoryId,
)
from domain.money import Currency, Minor, UnitPrice
from domain.pricing.coupon import COUPON
from domain.pricing.customer_group import CUSTOMER_GROUP
from domain.pricing.events import (
    ChosenList,
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
from domain.pricing.price import PRICES
from domain.pricing.price_lists import PRICE_LISTS
from domain.pricing.promotion import PROMOTION
from domain.pricing.redemption import REDEMPTION
from domain.pricing.tax_table import TAX_TABLE
from domain.promotion_terms import Action, Rule

NOW: Final = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SKU: Final = Sku("85123A")
RETAIL: Final = PriceListId("retail")
TRADE: Final = PriceListId("trade")
RESELLERS: Final = CustomerGroupId("resellers")
BRITAIN: Final = JurisdictionId("GB")
STANDARD: Final = TaxCategoryId("standard")
GBP: Final = Currency("GBP")
LONG_AGO: Final = datetime(2011, 1, 4, tzinfo=UTC)


def price_set(**changes: Any) -> PriceSet:
    example = PriceSet(
        sku=SKU,
        price_id=PriceId("p-1"),
        list_id=RETAIL,
        min_quantity=1,
        unit_price=UnitPrice("1.95"),
        currency=GBP,
        valid_from=LONG_AGO,
        valid_until=None,
        set_at=NOW,
    )
    return replace(example, **changes)


def price_retired(**changes: Any) -> PriceRetired:
    example = PriceRetired(sku=SKU, price_id=PriceId("p-1"), list_id=RETAIL, min_quantity=1, retired_at=NOW)
    return replace(example, **changes)


def price_lists_chosen(**changes: Any) -> PriceListsChosen:
    lists = (ChosenList(list_id=TRADE, group=RESELLERS), ChosenList(list_id=RETAIL))
    return replace(PriceListsChosen(channel=ChannelId("web"), lists=lists, chosen_at=NOW), **changes)


def customer_grouped(**changes: Any) -> CustomerGrouped:
    example = CustomerGrouped(customer_id=CustomerId("17850"), group=RESELLERS, grouped_at=NOW)
    return replace(example, **changes)


def tax_rate_set(**changes: Any) -> TaxRateSet:
    example = TaxRateSet(
        jurisdiction=BRITAIN,
        tax_category=STANDARD,
        rate_bp=2_000,
        included=True,
        valid_from=LONG_AGO,
        set_at=NOW,
    )
    return replace(example, **changes)


SPRING: Final = PromotionId("spring")
CODE: Final = CouponId("SPRING10")
TENTH: Final = Action(kind="percent_bp", percent_bp=1_000)


def promotion_defined(**changes: Any) -> PromotionDefined:
    example = PromotionDefined(
        promotion_id=SPRING,
        currency=GBP,
        rule=Rule(),
        action=TENTH,
        stacking="combine",
        group=None,
        priority=0,
        needs_coupon=False,
        budget=None,
        valid_from=LONG_AGO,
        valid_until=None,
        defined_at=NOW,
    )
    return replace(example, **changes)


def promotion_ended(**changes: Any) -> PromotionEnded:
    return replace(PromotionEnded(promotion_id=SPRING, ended_at=NOW), **changes)


def coupon_created(**changes: Any) -> CouponCreated:
    example = CouponCreated(code=CODE, promotion_id=SPRING, limit=10, per_customer=None, created_at=NOW)
    return replace(example, **changes)


def coupon_redeemed(**changes: Any) -> CouponRedeemed:
    example = CouponRedeemed(
        redemption_id=RedemptionId("r-1"),
        code=CODE,
        promotion_id=SPRING,
        order_id=OrderId("536365"),
        customer_id=CustomerId("17850"),
        amount=Minor(195),
        redeemed_at=NOW,
    )
    return replace(example, **changes)


def redemption_released(**changes: Any) -> RedemptionReleased:
    example = RedemptionReleased(
        redemption_id=RedemptionId("r-1"),
        code=CODE,
        promotion_id=SPRING,
        customer_id=CustomerId("17850"),
        amount=Minor(195),
        reason="cancelled",
        released_at=NOW,
    )
    return replace(example, **changes)


def stream_of(event: Event) -> tuple[Aggregate[Any], str]:
    """The aggregate that an event of pricing belongs to, and its id."""
    match event:
        case PriceSet() | PriceRetired():
            return PRICES, event.sku
        case PriceListsChosen():
            return PRICE_LISTS, event.channel
        case CustomerGrouped():
            return CUSTOMER_GROUP, event.customer_id
        case TaxRateSet():
            return TAX_TABLE, event.jurisdiction
        case PromotionDefined() | PromotionEnded():
            return PROMOTION, event.promotion_id
        case CouponCreated():
            return COUPON, event.code
        case CouponRedeemed() | RedemptionReleased():
            return REDEMPTION, event.redemption_id
    raise AssertionError(f"{type(event).__name__} is no event of pricing")


ONE_OF_EACH: Final[tuple[Event, ...]] = (
    price_set(),
    price_retired(),
    price_lists_chosen(),
    customer_grouped(),
    tax_rate_set(),
    promotion_defined(),
    promotion_ended(),
    coupon_created(),
    coupon_redeemed(),
    redemption_released(),
)

UNENDED: Final[tuple[Event, ...]] = (
    promotion_defined(promotion_id=PromotionId("old")),
    promotion_defined(),
    coupon_created(code=CouponId("KNOWN")),
    coupon_redeemed(code=CouponId("KNOWN")),
)
"""Promotions, a coupon and a redemption that stand."""
