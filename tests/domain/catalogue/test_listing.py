from datetime import timedelta

import pytest
from msgspec.structs import replace

from counterfoil.testing.spec import given
from domain.catalogue import channel, listing
from domain.catalogue.channel import ChannelIdTaken
from domain.catalogue.listing import (
    MEDIA_MAX,
    VARIANTS_MAX,
    ListingIdTaken,
    ListingUnknown,
    NotPublishable,
    OptionsTaken,
    ProductArchived,
    TooManyMedia,
    TooManyVariants,
    VariantUnknown,
)
from domain.catalogue.product import SkuTaken
from domain.catalogue.slugs import SlugTaken
from domain.ids import CategoryId, ChannelId, ListingId, MediaId, Sku
from domain.money import UnknownCurrency
from tests.catalogue_examples import (
    CONTENT,
    HEART,
    HEARTS,
    NOW,
    SHA256,
    WEB,
    WHITE,
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
from tests.examples import GBP

RED = Sku("RED")
IT = {"listing_id": HEART, "now": NOW}
ADD = {**IT, "sku": WHITE, "held_by": None, "options": {"colour": "white"}, "weight_g": 120}
PUBLISH = {**IT, "channel": WEB, "currency": GBP, "priced": (WHITE,), "starts_at": None}
REVISE = {**IT, "slug_holder": None}
MEDIA = {**IT, "media_id": MediaId("front"), "sha256": SHA256, "alt": "A white heart on a string"}

CHANGES = {
    "revise": (listing.revise, {**REVISE, "content": CONTENT}),
    "add_variant": (listing.add_variant, ADD),
    "discontinue": (listing.discontinue, {**IT, "sku": WHITE, "reason": "replaced"}),
    "attach_media": (listing.attach_media, MEDIA),
    "publish": (listing.publish, PUBLISH),
    "unpublish": (listing.unpublish, {**IT, "channel": WEB}),
}

created = given(listing_created())
with_variant = given(listing_created(), variant_added())


def test_a_channel_is_opened_once_in_a_currency():
    opening = {"channel": WEB, "title": "Our own site", "currency": GBP, "now": NOW}

    given().when(channel.open_channel, **opening).then(channel_opened())
    given(channel_opened()).when(channel.open_channel, **opening).then_refused(ChannelIdTaken, channel=WEB)
    given().when(channel.open_channel, **opening | {"currency": "XXX"}).then_refused(UnknownCurrency)


def test_a_listing_is_created_once():
    given().when(listing.create, content=CONTENT, **REVISE).then(listing_created())
    created.when(listing.create, content=CONTENT, **REVISE).then_refused(ListingIdTaken, listing_id=HEART)


def test_a_slug_belongs_to_the_listing_that_had_it_first():
    other = {**REVISE, "slug_holder": ListingId("other")}
    renamed = replace(CONTENT, slug="wooden-heart")

    given().when(listing.create, content=CONTENT, **other).then_refused(SlugTaken, slug="hanging-heart")
    created.when(listing.revise, content=renamed, **other).then_refused(SlugTaken, slug="wooden-heart")
    given(listing_created(), listing_revised()).when(
        listing.revise,
        content=replace(CONTENT, titles={"en-GB": "Wooden heart"}),
        **{**IT, "slug_holder": HEART},
    ).then(
        listing_revised(
            changed=("slug",), content=replace(CONTENT, titles={"en-GB": "Wooden heart"}), published={}
        )
    )


def test_a_revision_names_what_is_otherwise_and_what_it_left():
    moved = replace(CONTENT, category_ids=(CategoryId("wood"),), tax_category="reduced")

    given(listing_created(), variant_added(), listing_published()).when(
        listing.revise, content=moved, **REVISE
    ).then(
        listing_revised(
            changed=("tax_category", "category_ids"), content=moved, left=(HEARTS,), published={WEB: NOW}
        )
    )
    created.when(listing.revise, content=CONTENT, **REVISE).then()


def test_a_variant_is_an_sku_with_options():
    created.when(listing.add_variant, **ADD).then(variant_added())


def test_an_sku_is_a_variant_once():
    created.when(listing.add_variant, **ADD | {"held_by": ListingId("other")}).then_refused(
        SkuTaken, sku=WHITE
    )
    with_variant.when(listing.add_variant, **ADD).then_refused(SkuTaken, sku=WHITE)
    given(listing_created(), variant_added(), variant_discontinued()).when(
        listing.add_variant, **ADD
    ).then_refused(SkuTaken)


def test_two_variants_that_are_offered_differ_in_an_option():
    with_variant.when(listing.add_variant, **ADD | {"sku": RED}).then_refused(OptionsTaken, held_by=WHITE)
    given(listing_created(), variant_added(), variant_discontinued()).when(
        listing.add_variant, **ADD | {"sku": RED}
    ).then(variant_added(sku=RED))


def test_a_listing_has_so_many_variants_and_pictures():
    crowd = [variant_added(sku=Sku(f"{n}"), options={"n": f"{n}"}) for n in range(VARIANTS_MAX)]
    pictures = [media_attached(media_id=MediaId(f"{n}")) for n in range(MEDIA_MAX)]

    given(listing_created(), *crowd).when(listing.add_variant, **ADD).then_refused(
        TooManyVariants, limit=VARIANTS_MAX
    )
    given(listing_created(), *pictures).when(listing.attach_media, **MEDIA).then_refused(
        TooManyMedia, limit=MEDIA_MAX
    )
    given(listing_created(), *pictures).when(
        listing.attach_media, **MEDIA | {"media_id": MediaId("1"), "alt": "Another"}
    ).then(media_attached(media_id=MediaId("1"), alt="Another"))


def test_a_variant_is_discontinued_once():
    gone = {**IT, "sku": WHITE, "reason": "replaced"}

    with_variant.when(listing.discontinue, **gone).then(variant_discontinued())
    given(listing_created(), variant_added(), variant_discontinued()).when(listing.discontinue, **gone).then()
    created.when(listing.discontinue, **gone).then_refused(VariantUnknown, sku=WHITE)


def test_a_picture_is_attached_by_its_hash():
    created.when(listing.attach_media, **MEDIA).then(media_attached())
    given(listing_created(), media_attached()).when(listing.attach_media, **MEDIA).then()


def test_a_listing_is_published_with_a_variant_that_has_a_price_there():
    with_variant.when(listing.publish, **PUBLISH).then(listing_published())


@pytest.mark.parametrize(
    ("history", "priced", "reason"),
    [
        ((), (WHITE,), "no-live-variant"),
        ((variant_added(), variant_discontinued()), (WHITE,), "no-live-variant"),
        ((variant_added(),), (), "no-price"),
        ((variant_added(),), (RED,), "no-price"),
    ],
)
def test_a_listing_of_which_nothing_can_be_sold_there_is_not_published(history, priced, reason):
    given(listing_created(), *history).when(listing.publish, **PUBLISH | {"priced": priced}).then_refused(
        NotPublishable, reason=reason, channel=WEB, currency=GBP
    )


def test_a_publication_may_start_later_and_be_put_off():
    published = given(listing_created(), variant_added(), listing_published())
    later = NOW + timedelta(days=1)

    published.when(listing.publish, **PUBLISH).then()
    published.when(listing.publish, **PUBLISH | {"starts_at": NOW}).then()
    published.when(listing.publish, **PUBLISH | {"starts_at": later}).then(listing_published(starts_at=later))


def test_a_listing_is_unpublished_by_channel():
    published = given(listing_created(), variant_added(), listing_published())

    published.when(listing.unpublish, channel=WEB, **IT).then(listing_unpublished())
    published.when(listing.unpublish, channel=ChannelId("till"), **IT).then()


def test_archiving_shows_a_listing_nowhere_and_deletes_nothing():
    till = ChannelId("till")

    given(listing_created(), variant_added(), listing_published(), listing_published(channel=till)).when(
        listing.archive, **IT
    ).then(listing_unpublished(), listing_unpublished(channel=till), listing_archived())
    given(listing_created(), listing_archived()).when(listing.archive, **IT).then()
    given().when(listing.archive, **IT).then_refused(ListingUnknown)


@pytest.mark.parametrize("change", CHANGES)
def test_an_archived_listing_and_one_that_there_is_not_do_not_change(change):
    decide, arguments = CHANGES[change]

    given(listing_created(), variant_added(), listing_archived()).when(decide, **arguments).then_refused(
        ProductArchived, listing_id=HEART
    )
    given().when(decide, **arguments).then_refused(ListingUnknown, listing_id=HEART)
