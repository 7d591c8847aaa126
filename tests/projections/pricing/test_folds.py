from datetime import timedelta

from msgspec.structs import replace

from counterfoil.testing.spec import folded
from domain.ids import PriceId
from domain.pricing.events import ChosenList
from projections.pricing.views import (
    PriceEntry,
    TaxRateEntry,
    channel_price_lists,
    coupon_details,
    customer_group,
    price_timeline,
    promotion_details,
    tax_rates,
)
from tests.pricing_examples import (
    BRITAIN,
    CODE,
    GBP,
    LONG_AGO,
    NOW,
    RESELLERS,
    RETAIL,
    SKU,
    SPRING,
    STANDARD,
    coupon_created,
    coupon_redeemed,
    customer_grouped,
    price_lists_chosen,
    price_retired,
    price_set,
    promotion_defined,
    promotion_ended,
    redemption_released,
    tax_rate_set,
)

FIRST = PriceEntry(
    price_id=PriceId("p-1"),
    list_id=RETAIL,
    min_quantity=1,
    unit_price="1.95",
    currency=GBP,
    valid_from=LONG_AGO,
    valid_until=None,
)
TOMORROW = NOW + timedelta(days=1)


def test_a_timeline_has_the_prices_of_a_sku_by_when_they_begin():
    earlier = price_set(
        price_id=PriceId("p-0"), valid_from=LONG_AGO - timedelta(days=9), valid_until=LONG_AGO
    )
    shown = folded(price_timeline, price_set(), earlier)[SKU,]

    assert ["p-0", "p-1"] == [each.price_id for each in shown.prices]
    assert FIRST == shown.prices[1]


def test_a_retired_price_ends_then_and_not_before_it_begins():
    [ended] = folded(price_timeline, price_set(), price_retired())[SKU,].prices
    [never] = folded(price_timeline, price_set(valid_from=TOMORROW), price_retired())[SKU,].prices

    assert replace(FIRST, valid_until=NOW, retired_at=NOW) == ended
    assert (TOMORROW, TOMORROW, NOW) == (never.valid_from, never.valid_until, never.retired_at)


def test_a_channel_shows_the_lists_that_were_chosen_last():
    others = price_lists_chosen(lists=(ChosenList(list_id=RETAIL),), chosen_at=TOMORROW)

    shown = folded(channel_price_lists, price_lists_chosen(), others)["web",]

    assert (others.lists, TOMORROW) == (shown.lists, shown.chosen_at)


def test_a_customer_shows_the_group_of_now():
    assert RESELLERS == folded(customer_group, customer_grouped())["17850",].group
    assert None is folded(customer_group, customer_grouped(), customer_grouped(group=None))["17850",].group


def test_a_tax_table_shows_each_rate_once_and_the_corrected_one():
    corrected = tax_rate_set(rate_bp=1_750)
    later = tax_rate_set(rate_bp=500, valid_from=TOMORROW)
    table = folded(tax_rates, later, tax_rate_set(), corrected)[BRITAIN,]

    assert (
        TaxRateEntry(tax_category=STANDARD, valid_from=LONG_AGO, rate_bp=1_750, included=True),
        TaxRateEntry(tax_category=STANDARD, valid_from=TOMORROW, rate_bp=500, included=True),
    ) == table.rates


def test_a_promotion_is_shown_with_its_end():
    assert (False, None) == (
        (row := folded(promotion_details, promotion_defined())[SPRING,]).is_ended,
        row.ended_at,
    )
    ended = folded(promotion_details, promotion_defined(), promotion_ended())[SPRING,]

    assert (True, NOW) == (ended.is_ended, ended.ended_at)


def test_a_coupon_shows_how_often_it_may_still_be_redeemed():
    def shown(*events):
        row = folded(coupon_details, coupon_created(), *events)[CODE,]
        return row.redeemed, row.left, row.amount

    assert (0, 10, 0) == shown()
    assert (1, 9, 195) == shown(coupon_redeemed())
    assert (0, 10, 0) == shown(coupon_redeemed(), redemption_released())
