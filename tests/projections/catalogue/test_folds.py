from datetime import timedelta

from counterfoil.contexts import CONTEXTS
from counterfoil.testing.spec import folded
from domain.money import UnitPrice
from projections.catalogue.views import ProductPage, product_page
from tests.examples import GBP, NOW, SKU, price_changed, product_created

PAGE = ProductPage(
    sku=SKU,
    title="WHITE HANGING HEART T-LIGHT HOLDER",
    stocked=True,
    unit_price=UnitPrice("2.55"),
    currency=GBP,
    created_at=NOW,
    price_changed_at=None,
)


def test_a_new_product_has_a_page():
    assert product_page in CONTEXTS.views
    assert folded(product_page, product_created()) == {(SKU,): PAGE}


def test_a_product_without_a_price_has_a_page_without_a_price():
    (page,) = folded(product_page, product_created(unit_price=None, currency=None)).values()

    assert (None, None) == (page.unit_price, page.currency)


def test_the_page_shows_the_newest_price():
    later = NOW + timedelta(days=1)
    (page,) = folded(
        product_page, product_created(), price_changed(unit_price="3", currency="EUR", changed_at=later)
    ).values()

    assert ("3", "EUR", later) == (page.unit_price, page.currency, page.price_changed_at)
    assert (PAGE.title, PAGE.created_at) == (page.title, page.created_at)


def test_codes_that_differ_in_case_have_a_page_each():
    pages = folded(product_page, product_created(sku="85123A"), product_created(sku="85123a"))

    assert {("85123A",), ("85123a",)} == set(pages)
