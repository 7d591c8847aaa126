from datetime import timedelta

from hypothesis import given as all_of
from hypothesis import strategies as st
from msgspec.structs import replace

from counterfoil.testing.spec import given, state_of
from domain.ids import PriceId, PriceListId, Sku
from domain.money import UnitPrice
from domain.pricing import price as prices
from domain.pricing.price import (
    PRICES,
    ListedPrice,
    OverlappingPrice,
    PriceIdTaken,
    PriceUnknown,
    TooManyPrices,
)
from domain.pricing.window import Window
from tests.pricing_examples import GBP, LONG_AGO, NOW, RETAIL, SKU, price_retired, price_set

NEW = ListedPrice(PriceId("p-2"), RETAIL, 1, UnitPrice("1.75"), GBP, Window(NOW))
SPRING = Window(NOW, NOW + timedelta(days=60))
SUMMER = Window(NOW + timedelta(days=60), NOW + timedelta(days=120))
OF = {"sku": SKU, "now": NOW}

days = st.integers(0, 20)


def in_window(event, window):
    return replace(event, valid_from=window.begins, valid_until=window.ends)


def as_event(price):
    return in_window(
        price_set(price_id=price.price_id, min_quantity=price.min_quantity, unit_price=price.unit_price),
        price.window,
    )


def test_a_price_is_set_once():
    given().when(prices.set_price, price=NEW, **OF).then(as_event(NEW))
    given(price_set()).when(prices.set_price, price=replace(NEW, price_id=PriceId("p-1")), **OF).then_refused(
        PriceIdTaken, price_id="p-1"
    )


def test_windows_of_one_tier_of_a_list_do_not_overlap():
    spring = given(in_window(price_set(), SPRING))

    spring.when(prices.set_price, price=replace(NEW, window=SUMMER), **OF).then(
        as_event(replace(NEW, window=SUMMER))
    )
    spring.when(prices.set_price, price=replace(NEW, window=Window(LONG_AGO)), **OF).then_refused(
        OverlappingPrice, list_id=RETAIL, min_quantity=1, overlaps="p-1"
    )


def test_other_lists_and_tiers_may_have_a_price_at_the_same_time():
    for other in (replace(NEW, list_id=PriceListId("trade")), replace(NEW, min_quantity=12)):
        given(price_set()).when(prices.set_price, price=other, **OF).then(
            replace(as_event(other), list_id=other.list_id)
        )


def test_a_retired_price_makes_room_for_another_one():
    given(price_set()).when(prices.retire_price, price_id="p-1", **OF).then(price_retired())
    retired = given(price_set(), price_retired())

    retired.when(prices.set_price, price=NEW, **OF).then(as_event(NEW))
    retired.when(prices.retire_price, price_id="p-1", **OF).then()
    given().when(prices.retire_price, price_id="p-1", **OF).then_refused(PriceUnknown, price_id="p-1")


def test_a_price_that_is_retired_before_it_begins_never_applies():
    state = state_of(PRICES, in_window(price_set(), SUMMER), price_retired())

    for at in (NOW, SUMMER.begins, SUMMER.begins + timedelta(days=1)):
        assert state.applying(RETAIL, currency=GBP, quantity=1, at=at) is None


def test_a_sku_has_so_many_prices_that_are_not_over(monkeypatch):
    monkeypatch.setattr(prices, "PRICES_MAX", 1)
    other = replace(NEW, min_quantity=12)

    given(price_set()).when(prices.set_price, price=other, **OF).then_refused(TooManyPrices, sku=SKU)
    given(price_set(), price_retired()).when(prices.set_price, price=other, **OF).then(as_event(other))


def test_the_highest_tier_that_is_reached_applies():
    state = state_of(
        PRICES,
        price_set(),
        price_set(price_id=PriceId("dozen"), min_quantity=12, unit_price=UnitPrice("1.50")),
    )

    def found(quantity):
        price = state.applying(RETAIL, currency=GBP, quantity=quantity, at=NOW)
        return None if price is None else price.price_id

    assert ["p-1", "p-1", "dozen", "dozen"] == [found(quantity) for quantity in (1, 11, 12, 100)]


@all_of(st.lists(st.tuples(days, days, st.sampled_from([1, 12])), max_size=12))
def test_whatever_is_set_at_most_one_price_of_a_tier_applies_at_a_time(asked):
    events = []
    for number, (begins, length, tier) in enumerate(asked):
        start = NOW + timedelta(days=begins)
        wanted = replace(
            NEW,
            price_id=PriceId(f"p-{number}"),
            min_quantity=tier,
            window=Window(start, start + timedelta(days=length + 1)),
        )
        state = state_of(PRICES, *events) if events else None
        try:
            events += prices.set_price(state, sku=Sku(SKU), price=wanted, now=NOW)
        except OverlappingPrice:
            continue

    known = state_of(PRICES, *events).by_id.values() if events else []
    for day in range(45):
        at = NOW + timedelta(days=day)
        tiers = [price.min_quantity for price in known if price.window.holds(at)]

        assert len(tiers) == len(set(tiers))
