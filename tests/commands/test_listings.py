"""Commands about channels, categories and listings, also by many callers at once on two processes."""

import asyncio

import pytest
from msgspec.structs import replace

from domain.ids import CategoryId, ListingId, Sku
from tests.catalogue_examples import (
    CONTENT,
    category_created,
    channel_opened,
    listing_created,
    listing_published,
    variant_added,
    variant_discontinued,
)
from tests.commands.catalogue_requests import CATEGORY, LISTING
from tests.commands.conftest import opened
from tests.examples import price_changed, product_created

pytestmark = pytest.mark.anyio

CALLERS = 16


def refusals_of(answers):
    return sorted(answer.body.get("code", "accepted") for answer in answers)


async def test_a_listing_is_created_with_variants_and_published(given):
    shop = await given(product_created(), channel_opened(), category_created())
    created = await shop.post("/v1/listings", {**LISTING, "category_ids": ["hearts", "hearts"]})
    await shop.post("/v1/listings/new/variants", {"sku": "85123A", "options": {"colour": "white"}})
    published = await shop.post("/v1/listings/new/publications", {"channel": "web-uk"})

    created.then_accepted(stream="listing-new", version=1)
    published.then_accepted(stream="listing-new", version=3)
    assert "http://127.0.0.1:8081/v1/listings/new" == created.headers["location"]
    [listing, variant, publication] = shop.events("listing-new")
    assert ("hearts",) == listing.content.category_ids == publication.category_ids
    assert Sku("85123A") == variant.sku


async def test_a_revision_leaves_what_it_does_not_name(given):
    shop = await given(listing_created())

    await shop.post("/v1/listings/heart/revision", {"attributes": {"material": "tin"}})

    revised = shop.events("listing-heart")[-1]
    assert (("attributes",), replace(CONTENT, attributes={"material": "tin"})) == (
        revised.changed,
        revised.content,
    )


async def test_a_price_in_another_currency_lets_nothing_be_published(given):
    shop = await given(product_created(), channel_opened(), listing_created(), variant_added())
    await shop.post("/v1/products/85123A/price", {"unit_price": "3", "currency": "EUR"})

    refused = await shop.post("/v1/listings/heart/publications", {"channel": "web-uk"})

    refused.then_refused(422, "not-publishable", reason="no-price", currency="GBP")


async def test_any_variant_that_is_offered_may_have_the_price(given):
    shop = await given(
        product_created(),
        product_created(sku=Sku("RED"), currency="EUR"),
        product_created(sku=Sku("BLUE")),
        channel_opened(),
        listing_created(),
        variant_added(),
        variant_added(sku=Sku("RED"), options={"colour": "red"}),
        variant_discontinued(),
    )
    address = "/v1/listings/heart/publications"
    (await shop.post(address, {"channel": "web-uk"})).then_refused(422, "not-publishable", reason="no-price")
    await shop.post("/v1/listings/heart/variants", {"sku": "BLUE", "options": {"colour": "blue"}})

    (await shop.post(address, {"channel": "web-uk"})).then_accepted(stream="listing-heart", version=6)


async def test_a_slug_that_a_listing_gave_up_is_never_another_ones(given):
    shop = await given(
        listing_created(), listing_created(listing_id=ListingId("b"), content=replace(CONTENT, slug="b"))
    )
    await shop.post("/v1/listings/heart/revision", {"slug": "wooden-heart"})

    refused = await shop.post("/v1/listings/b/revision", {"slug": "hanging-heart"})
    again = await shop.post("/v1/listings/heart/revision", {"slug": "hanging-heart"})

    refused.then_refused(409, "slug-taken", slug="hanging-heart")
    again.then_accepted(stream="listing-heart", version=3)


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("/v1/listings", {**LISTING, "category_ids": ["none"]}, "category-unknown"),
        ("/v1/listings/heart/revision", {"category_ids": ["none"]}, "category-unknown"),
        ("/v1/categories", {**CATEGORY, "parent_id": "none"}, "category-unknown"),
        ("/v1/listings/heart/variants", {"sku": "none"}, "product-unknown"),
        ("/v1/listings/heart/publications", {"channel": "none"}, "channel-unknown"),
    ],
)
async def test_all_that_a_listing_or_a_category_names_is_there(given, path, body, code):
    shop = await given(listing_created())

    (await shop.post(path, body)).then_refused(404, code)


@pytest.mark.parametrize(
    "body",
    [
        {"slug": "Hanging Heart"},
        {"titles": {}},
        {"titles": {"english": "Heart"}},
        {"titles": {"en": " "}},
        {"attributes": {"": "wood"}},
        {"category_ids": ["hearts"] * 21},
    ],
)
async def test_a_malformed_part_of_a_listing_is_found_at_its_place(shop, body):
    refused = await shop.post("/v1/listings", {**LISTING, **body})

    refused.then_refused(422, "validation-failed")
    assert refused.body["errors"][0]["pointer"].startswith(f"/{next(iter(body))}")


async def test_of_many_who_race_for_one_slug_one_gets_it(shop, database_url):
    async with opened(database_url) as other:
        listed = await asyncio.gather(
            *(
                (shop, other)[n % 2].post("/v1/listings", {**LISTING, "listing_id": f"{n}"})
                for n in range(CALLERS)
            )
        )
        category = {**CATEGORY, "parent_id": None}
        sorted_in = await asyncio.gather(
            *(
                (shop, other)[n % 2].post("/v1/categories", {**category, "category_id": f"{n}"})
                for n in range(CALLERS)
            )
        )

    one = ["accepted", *["slug-taken"] * (CALLERS - 1)]
    assert (one, one) == (refusals_of(listed), refusals_of(sorted_in))


async def test_of_many_who_race_for_one_sku_one_gets_it(given, database_url):
    shop = await given(
        product_created(),
        *(
            listing_created(listing_id=ListingId(f"{n}"), content=replace(CONTENT, slug=f"{n}"))
            for n in range(CALLERS)
        ),
    )
    async with opened(database_url) as other:
        added = await asyncio.gather(
            *(
                (shop, other)[n % 2].post(f"/v1/listings/{n}/variants", {"sku": "85123A"})
                for n in range(CALLERS)
            )
        )
        new = {"sku": "NEW", "title": "New", "stocked": True}
        created = await asyncio.gather(
            *((shop, other)[n % 2].post("/v1/products", new) for n in range(CALLERS))
        )

    one = ["accepted", *["sku-taken"] * (CALLERS - 1)]
    assert (one, one) == (refusals_of(added), refusals_of(created))


async def test_two_moves_at_once_close_no_circle(given, database_url):
    rounds = range(8)
    names = [f"{side}{n}" for n in rounds for side in "ab"]
    shop = await given(*(category_created(category_id=CategoryId(each), slug=each) for each in names))
    async with opened(database_url) as other:
        for n in rounds:
            answers = await asyncio.gather(
                shop.post(f"/v1/categories/a{n}/parent", {"parent_id": f"b{n}"}),
                other.post(f"/v1/categories/b{n}/parent", {"parent_id": f"a{n}"}),
            )

            assert ["accepted", "category-cycle"] == refusals_of(answers)


async def test_a_price_that_goes_away_meanwhile_lets_nothing_be_published(given, database_url):
    rounds = range(8)
    shop = await given(
        channel_opened(),
        *(product_created(sku=Sku(f"{n}")) for n in rounds),
        *(
            listing_created(listing_id=ListingId(f"{n}"), content=replace(CONTENT, slug=f"{n}"))
            for n in rounds
        ),
        *(variant_added(listing_id=ListingId(f"{n}"), sku=Sku(f"{n}")) for n in rounds),
    )
    async with opened(database_url) as other:
        await asyncio.gather(
            *(shop.post(f"/v1/listings/{n}/publications", {"channel": "web-uk"}) for n in rounds),
            *(other.post(f"/v1/products/{n}/price", {"unit_price": "1", "currency": "EUR"}) for n in rounds),
        )
    with shop.reader() as connection:
        late = connection.execute(
            "select p.stream from log.event p join log.event c on c.stream = replace(p.stream, 'listing', 'product')"
            " and c.type = 'catalogue.price_changed.v1' and c.position < p.position"
            " where p.type = 'catalogue.listing_published.v1'"
        ).fetchall()

    assert [] == late, "nothing is published after its price went"


async def test_archiving_withdraws_a_listing_and_keeps_its_history(given):
    shop = await given(listing_created(), variant_added(), listing_published())

    (await shop.post("/v1/listings/heart/archival", {})).then_accepted(stream="listing-heart", version=5)

    assert 5 == len(shop.events("listing-heart"))
    (await shop.post("/v1/listings/heart/revision", {"slug": "x"})).then_refused(409, "product-archived")


async def test_an_sku_of_a_listing_is_priced_and_kept_as_before(given):
    shop = await given(product_created(), listing_created(), variant_added(), variant_discontinued())

    (await shop.post("/v1/products/85123A/price", {"unit_price": "2.95", "currency": "GBP"})).then_accepted(
        stream="product-85123A", version=2
    )
    assert [product_created(), price_changed()] == shop.events("product-85123A")
