from datetime import timedelta

import pytest
from msgspec.structs import replace

from counterfoil.testing.spec import folded
from domain.ids import ChannelId, Sku
from projections.catalogue.search_facets import band, facet, scaled
from projections.catalogue.views import ANY_SKU, listing_search, product_search, title_word
from runtime.search_words import words_of
from tests.catalogue_examples import (
    CONTENT,
    HEART,
    NOW,
    WEB,
    WHITE,
    listing_created,
    listing_published,
    listing_revised,
    listing_unpublished,
    variant_added,
    variant_discontinued,
)
from tests.examples import (
    price_changed,
    product_created,
    stock_adjusted,
    stock_received,
    stock_released,
    stock_reserved,
    stock_returned,
)
from tests.purchase_examples import backorder_allocated


def of(sku, *events):
    return folded(product_search, *events)[(sku,)]


def test_an_sku_is_searched_by_its_title_and_narrowed_by_price_and_stock():
    row = of(WHITE, product_created(sku=WHITE, title="White T-light holder", unit_price="2.55"))

    assert ("white t light holder", 255_000_000) == (row.heading, row.price)
    assert ["price:GBP 2-5", "stock:out"] == row.facets.split("\n")


def test_the_newest_price_is_what_is_searched_by():
    row = of(WHITE, product_created(sku=WHITE), price_changed(sku=WHITE, unit_price="12"))

    assert "price:GBP 10-20" in row.facets


def test_what_is_available_is_in_stock_and_what_is_promised_is_not():
    events = (
        product_created(sku=WHITE, stocked=True),
        stock_received(sku=WHITE, quantity=2),
        stock_reserved(sku=WHITE, quantity=2),
        stock_released(sku=WHITE, quantity=1),
        stock_adjusted(sku=WHITE, delta=-1),
        stock_returned(sku=WHITE, quantity=1),
        backorder_allocated(sku=WHITE, quantity=1),
    )

    stands = [of(WHITE, *events[: count + 1]) for count in range(len(events))]

    assert [0, 2, 0, 1, 0, 1, 0] == [row.available for row in stands]
    assert [row.available > 0 for row in stands] == ["stock:in" in row.facets for row in stands]


@pytest.mark.parametrize("stocked", [True, False])
@pytest.mark.parametrize("known", [True, False])
def test_after_stock_moved_a_row_is_as_if_its_stock_had_been_there_at_once(stocked, known):
    made = (product_created(sku=WHITE, title="White T-light holder", stocked=stocked),) if known else ()
    moves = (3, -1, -2, -1, 2, 1, 4)

    for count in range(1, len(moves) + 1):
        moved = [stock_adjusted(sku=WHITE, delta=delta) for delta in moves[:count]]
        at_once = stock_adjusted(sku=WHITE, delta=sum(moves[:count]))
        assert of(WHITE, *made, at_once) == of(WHITE, *made, *moved)


def test_what_is_not_stocked_is_always_to_be_had():
    assert of(WHITE, product_created(sku=WHITE, stocked=False)).in_stock


def test_stock_may_come_before_the_product():
    row = of(WHITE, stock_received(sku=WHITE, quantity=2), product_created(sku=WHITE))

    assert (True, 2) == (row.in_stock, row.available)


def test_a_variant_has_its_options_and_is_found_until_it_is_discontinued():
    row = of(WHITE, product_created(sku=WHITE), variant_added())
    gone = of(WHITE, product_created(sku=WHITE), variant_added(), variant_discontinued())

    assert (HEART, "white", True) == (row.listing_id, row.body, row.offered)
    assert "option:colour=white" in row.facets
    assert not gone.offered


def test_every_event_of_the_catalogue_counts_and_no_movement_of_stock_does():
    events = (
        product_created(sku=WHITE),
        price_changed(sku=WHITE),
        stock_received(sku=WHITE),
        listing_created(),
        variant_added(),
        listing_published(),
        listing_revised(),
        variant_discontinued(),
        listing_unpublished(),
    )

    assert 8 == of(ANY_SKU, *events).changes


def test_a_listing_is_searched_by_what_it_says_and_shown_from_its_first_start():
    later = NOW + timedelta(days=1)
    till = ChannelId("till")
    events = (listing_created(), listing_published(starts_at=later), listing_published(channel=till))
    (row,) = folded(listing_search, *events).values()
    (withdrawn,) = folded(listing_search, *events, listing_unpublished(channel=till)).values()
    (gone,) = folded(listing_search, listing_created(), listing_published(), listing_unpublished()).values()

    assert ("hanging heart", "holds a tea light wood") == (row.heading, row.body)
    assert ["attribute:material=wood", "category:hearts"] == row.facets.split("\n")
    assert [NOW, later, None] == [each.shown_from for each in (row, withdrawn, gone)]
    assert {WEB: later} == withdrawn.channels


def test_a_revision_is_what_a_listing_is_searched_by():
    (row,) = folded(listing_search, listing_created(content=CONTENT), listing_revised()).values()

    assert ("wooden heart", "wooden-heart") == (row.heading, row.slug)


def test_words_of_titles_are_counted_by_title_and_stay_after_a_revision():
    rows = folded(
        title_word,
        product_created(sku=WHITE, title="Heart, heart"),
        listing_created(content=replace(CONTENT, titles={"en-GB": "Hanging heart", "fr": "Cœur"})),
        listing_revised(),
    )

    assert {"heart": 3, "hanging": 1, "cœur": 1, "wooden": 1} == {
        word: row.titles for (word,), row in rows.items()
    }


def test_words_are_without_case_accents_and_signs():
    assert ["cafe", "t", "light", "grosse"] == words_of("Café T-light_Größe")


@pytest.mark.parametrize(
    ("price", "expected"),
    [
        ("0", "0-1"),
        ("0.99", "0-1"),
        ("1", "1-2"),
        ("4.99999999", "2-5"),
        ("5", "5-10"),
        ("1234", "1000-2000"),
    ],
)
def test_a_price_is_in_one_band(price, expected):
    assert f"price:GBP {expected}" == band(scaled(price), "GBP")


def test_no_facet_has_what_joins_facets():
    assert "option:a%3Db=1%2C5%25" == facet("option", "1,5%", name="a=b")


def test_skus_differ_where_their_cases_do():
    rows = folded(product_search, product_created(sku=Sku("a")), product_created(sku=Sku("A")))

    assert {("a",), ("A",), (ANY_SKU,)} == set(rows)
