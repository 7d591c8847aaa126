from datetime import timedelta, timezone

import pytest

from counterfoil.testing.spec import given
from domain.catalogue import product
from domain.catalogue.product import PriceWithoutCurrency, ProductUnknown, SkuTaken
from domain.money import MalformedUnitPrice, UnknownCurrency
from tests.examples import GBP, NOW, SKU, price_changed, product_created

CREATE = {
    "sku": SKU,
    "title": "WHITE HANGING HEART T-LIGHT HOLDER",
    "stocked": True,
    "unit_price": "2.55",
    "currency": GBP,
    "now": NOW,
}


def test_a_free_code_becomes_a_product():
    given().when(product.create, **CREATE).then(product_created())


def test_a_product_may_have_no_list_price():
    (
        given()
        .when(product.create, **CREATE | {"unit_price": None, "currency": None})
        .then(product_created(unit_price=None, currency=None))
    )


def test_a_code_is_given_to_one_product_only():
    given(product_created()).when(product.create, **CREATE).then_refused(SkuTaken, sku=SKU)


def test_a_price_needs_its_currency_and_a_currency_its_price():
    for missing in ("unit_price", "currency"):
        given().when(product.create, **CREATE | {missing: None}).then_refused(PriceWithoutCurrency, sku=SKU)


def test_a_product_is_not_created_with_a_price_or_currency_that_is_none():
    given().when(product.create, **CREATE | {"unit_price": "-1"}).then_refused(MalformedUnitPrice)
    given().when(product.create, **CREATE | {"currency": "XXX"}).then_refused(UnknownCurrency)


def test_a_time_is_recorded_in_utc():
    there = NOW.astimezone(timezone(timedelta(hours=-5)))

    outcome = given().when(product.create, **CREATE | {"now": there})

    (created,) = outcome.decided
    assert created.created_at.utcoffset() == timedelta(0)
    outcome.then(product_created())


def test_a_new_price_remembers_the_one_before():
    (
        given(product_created())
        .when(product.change_price, sku=SKU, unit_price="2.95", currency=GBP, now=NOW)
        .then(price_changed(previous="2.55"))
    )


def test_the_price_it_has_already_changes_nothing():
    (
        given(product_created(), price_changed(unit_price="2.95"))
        .when(product.change_price, sku=SKU, unit_price="2.95", currency=GBP, now=NOW)
        .then()
    )


@pytest.mark.parametrize(("price", "same"), [("2.50", "2.5"), ("10", "10.00"), ("10.0", "10.00000000")])
def test_the_price_it_has_already_changes_nothing_however_it_is_written(price, same):
    for kept, given_again in ((price, same), (same, price)):
        (
            given(product_created(unit_price=kept))
            .when(product.change_price, sku=SKU, unit_price=given_again, currency=GBP, now=NOW)
            .then()
        )


def test_a_price_given_first_is_kept_as_it_was_written():
    (
        given(product_created(unit_price=None, currency=None))
        .when(product.change_price, sku=SKU, unit_price="2.50", currency=GBP, now=NOW)
        .then(price_changed(unit_price="2.50", previous=None))
    )


def test_a_price_in_another_currency_has_no_price_before():
    (
        given(product_created())
        .when(product.change_price, sku=SKU, unit_price="2.55", currency="EUR", now=NOW)
        .then(price_changed(unit_price="2.55", currency="EUR", previous=None))
    )


def test_only_a_product_has_a_price():
    (
        given()
        .when(product.change_price, sku=SKU, unit_price="2.95", currency=GBP, now=NOW)
        .then_refused(ProductUnknown, sku=SKU)
    )


def test_a_price_is_not_changed_to_nonsense():
    pricing = given(product_created())

    pricing.when(product.change_price, sku=SKU, unit_price="a lot", currency=GBP, now=NOW).then_refused(
        MalformedUnitPrice
    )
    pricing.when(product.change_price, sku=SKU, unit_price="1", currency="XXX", now=NOW).then_refused(
        UnknownCurrency
    )
