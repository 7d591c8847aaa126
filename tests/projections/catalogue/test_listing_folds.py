from datetime import timedelta

from msgspec.structs import replace

from counterfoil.testing.spec import folded
from domain.ids import CategoryId, ChannelId, MediaId, Sku
from projections.catalogue.views import (
    category_details,
    category_listing,
    channel_details,
    channel_listing,
    listing_details,
    listing_summary,
)
from tests.catalogue_examples import (
    CONTENT,
    HEART,
    HEARTS,
    NOW,
    TITLES,
    WEB,
    WHITE,
    category_created,
    category_moved,
    channel_opened,
    listing_archived,
    listing_created,
    listing_published,
    listing_revised,
    listing_unpublished,
    media_attached,
    variant_added,
    variant_discontinued,
)

TILL = ChannelId("till")
WOOD = CategoryId("wood")
IN_TWO = (listing_published(), listing_published(channel=TILL))


def test_a_channel_has_its_currency():
    (channel,) = folded(channel_details, channel_opened()).values()

    assert ("web-uk", "GBP", "Our own site") == (channel.channel, channel.currency, channel.title)


def test_a_category_names_its_parent():
    (new,) = folded(category_details, category_created()).values()
    (moved,) = folded(category_details, category_created(), category_moved()).values()
    (back,) = folded(
        category_details, category_created(), category_moved(), category_moved(parent_id=None)
    ).values()

    assert [(None, True), ("decoration", False), (None, True)] == [
        (each.parent_id, each.top) for each in (new, moved, back)
    ]


def test_a_listing_shows_its_variants_pictures_and_channels():
    (listing,) = folded(
        listing_details,
        listing_created(),
        variant_added(),
        variant_added(sku=Sku("RED"), options={"colour": "red"}),
        variant_discontinued(),
        media_attached(),
        media_attached(media_id=MediaId("back")),
        media_attached(alt="Another"),
        *IN_TWO,
        listing_published(starts_at=NOW + timedelta(days=1)),
    ).values()

    assert [(WHITE, NOW, "replaced"), ("RED", None, None)] == [
        (each.sku, each.discontinued_at, each.discontinuation_reason) for each in listing.variants
    ]
    assert [("front", "Another"), ("back", "A white heart on a string")] == [
        (each.media_id, each.alt) for each in listing.media
    ]
    assert [("till", NOW), ("web-uk", NOW + timedelta(days=1))] == [
        (each.channel, each.starts_at) for each in listing.channels
    ]


def test_a_listing_shows_its_newest_content_and_that_it_is_archived():
    (listing,) = folded(
        listing_details,
        listing_created(),
        listing_published(),
        listing_revised(),
        listing_unpublished(),
        listing_archived(),
    ).values()

    assert ("wooden-heart", {"material": "wood"}, (), True, NOW) == (
        listing.slug,
        listing.attributes,
        listing.channels,
        listing.archived,
        listing.archived_at,
    )


def test_the_list_of_all_has_a_listing_under_its_newest_name_also_when_it_is_archived():
    (entry,) = folded(listing_summary, listing_created(), listing_revised(), listing_archived()).values()

    assert ("wooden-heart", {"en-GB": "Wooden heart"}, True) == (entry.slug, entry.titles, entry.archived)


def test_a_listing_is_in_the_list_of_each_channel_under_its_newest_name():
    rows = folded(channel_listing, *IN_TWO, listing_revised(published={WEB: NOW, TILL: NOW}))
    after = folded(channel_listing, *IN_TWO, listing_unpublished())

    assert {(WEB, HEART): "wooden-heart", (TILL, HEART): "wooden-heart"} == {
        key: row.slug for key, row in rows.items()
    }
    assert [(TILL, HEART)] == list(after)


def test_a_listing_is_in_the_list_of_each_category_that_it_is_in_now():
    moved = listing_revised(
        changed=("category_ids",),
        content=replace(CONTENT, category_ids=(WOOD,)),
        left=(HEARTS,),
        published={WEB: NOW, TILL: NOW},
    )

    before, after = folded(category_listing, *IN_TWO), folded(category_listing, *IN_TWO, moved)
    withdrawn = folded(category_listing, *IN_TWO, moved, listing_unpublished(category_ids=(WOOD,)))

    assert {(HEARTS, WEB, HEART), (HEARTS, TILL, HEART)} == set(before)
    assert {(WOOD, WEB, HEART), (WOOD, TILL, HEART)} == set(after)
    assert [(WOOD, TILL, HEART)] == list(withdrawn)
    assert TITLES == after[WOOD, WEB, HEART].titles
