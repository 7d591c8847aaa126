"""Of the lists of a channel the first that has a price counts, and else the catalogue."""

from counterfoil.testing.spec import given, state_of
from domain.ids import CustomerGroupId, CustomerId, PriceId, PriceListId
from domain.money import Currency, UnitPrice
from domain.pricing.customer_group import group
from domain.pricing.price import PRICES
from domain.pricing.price_lists import PRICE_LISTS, FoundPrice, choose, found_price
from tests.pricing_examples import (
    GBP,
    NOW,
    RESELLERS,
    RETAIL,
    TRADE,
    customer_grouped,
    price_lists_chosen,
    price_set,
)

FOR_RESELLERS, FOR_ALL = price_lists_chosen().lists
CHOOSE = {"channel": "web", "lists": [FOR_RESELLERS, FOR_ALL], "now": NOW}
ADA = CustomerId("17850")
JOIN = {"customer_id": ADA, "group": RESELLERS, "now": NOW}
TIERS = state_of(
    PRICES,
    price_set(),
    price_set(price_id=PriceId("dozen"), min_quantity=12, unit_price=UnitPrice("1.75")),
    price_set(price_id=PriceId("s-1"), list_id=TRADE, min_quantity=100, unit_price=UnitPrice("1")),
)


LISTED = UnitPrice("2.55")


def found(quantity=1, *, prices=TIERS, lists=(TRADE, RETAIL), listed=LISTED, currency=GBP):
    return found_price(prices, lists, listed=listed, currency=currency, quantity=quantity, at=NOW)


def of_list(list_id, price_id, unit_price):
    return FoundPrice(unit_price=UnitPrice(unit_price), list_id=list_id, price_id=PriceId(price_id))


def test_lists_are_chosen_in_order_once_and_may_be_none():
    given().when(choose, **CHOOSE).then(price_lists_chosen())
    given().when(choose, **CHOOSE | {"lists": [FOR_RESELLERS, FOR_ALL, FOR_RESELLERS]}).then(
        price_lists_chosen()
    )
    given(price_lists_chosen()).when(choose, **CHOOSE).then()
    given().when(choose, **CHOOSE | {"lists": []}).then()
    given(price_lists_chosen()).when(choose, **CHOOSE | {"lists": []}).then(price_lists_chosen(lists=()))


def test_a_list_of_a_group_holds_for_its_customers_alone():
    lists = state_of(PRICE_LISTS, price_lists_chosen())

    assert (TRADE, RETAIL) == lists.holding_for(RESELLERS)
    assert (RETAIL,) == lists.holding_for(CustomerGroupId("staff")) == lists.holding_for(None)
    assert lists.are_for_groups
    assert not state_of(PRICE_LISTS, price_lists_chosen(lists=(FOR_ALL,))).are_for_groups


def test_a_customer_is_in_one_group_or_in_none():
    left = customer_grouped(group=None)

    given().when(group, **JOIN).then(customer_grouped())
    given(customer_grouped()).when(group, **JOIN).then()
    given(customer_grouped()).when(group, **JOIN | {"group": None}).then(left)
    given().when(group, **JOIN | {"group": None}).then()
    given(customer_grouped(), left).when(group, **JOIN).then(customer_grouped())


def test_the_first_list_that_has_a_price_for_so_many_pieces_counts():
    assert of_list(RETAIL, "p-1", "1.95") == found()
    assert of_list(RETAIL, "dozen", "1.75") == found(12)
    assert of_list(TRADE, "s-1", "1") == found(100)
    assert of_list(RETAIL, "dozen", "1.75") == found(100, lists=(RETAIL, TRADE))


def test_where_no_list_has_a_price_the_catalogue_counts_or_there_is_none():
    catalogue = FoundPrice(unit_price=LISTED)

    assert catalogue == found(lists=())
    assert catalogue == found(lists=(PriceListId("other"),))
    assert catalogue == found(prices=None)
    assert catalogue == found(currency=Currency("EUR"))
    assert None is found(currency=Currency("EUR"), listed=None)
