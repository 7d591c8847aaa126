"""One ordinary case of each event of channels, categories and listings, in the order of a possible history."""

from datetime import UTC, datetime
from typing import Any, Final

from msgspec.structs import replace

from domain.catalogue.events import (
    CategoryCreated,
    CategoryMoved,
    ChannelOpened,
    ListingArchived,
    ListingContent,
    ListingCreated,
    ListingPublished,
    ListingRevised,
    ListingUnpublished,
    MediaAttached,
    VariantAdded,
    VariantDiscontinued,
)
from domain.event import Event
from domain.ids import CategoryId, ChannelId, ListingId, MediaId, Sku
from domain.money import Currency

NOW: Final = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
HEART: Final = ListingId("heart")
WHITE: Final = Sku("85123A")
HEARTS: Final = CategoryId("hearts")
WEB: Final = ChannelId("web-uk")
TITLES: Final = {"en-GB": "Hanging heart"}
SHA256: Final = "ab" * 32
CONTENT: Final = ListingContent(
    slug="hanging-heart",
    titles=TITLES,
    descriptions={"en-GB": "Holds a tea light."},
    tax_category="standard",
    category_ids=(HEARTS,),
    attributes={"material": "wood"},
)


def channel_opened(**changes: Any) -> ChannelOpened:
    example = ChannelOpened(channel=WEB, title="Our own site", currency=Currency("GBP"), opened_at=NOW)
    return replace(example, **changes)


def category_created(**changes: Any) -> CategoryCreated:
    example = CategoryCreated(
        category_id=HEARTS, parent_id=None, slug="hearts", titles={"en-GB": "Hearts"}, created_at=NOW
    )
    return replace(example, **changes)


def category_moved(**changes: Any) -> CategoryMoved:
    example = CategoryMoved(
        category_id=HEARTS, parent_id=CategoryId("decoration"), previous_parent_id=None, moved_at=NOW
    )
    return replace(example, **changes)


def listing_created(**changes: Any) -> ListingCreated:
    return replace(ListingCreated(listing_id=HEART, content=CONTENT, created_at=NOW), **changes)


def listing_revised(**changes: Any) -> ListingRevised:
    example = ListingRevised(
        listing_id=HEART,
        changed=("slug", "titles"),
        content=replace(CONTENT, slug="wooden-heart", titles={"en-GB": "Wooden heart"}),
        left=(),
        published={WEB: NOW},
        revised_at=NOW,
    )
    return replace(example, **changes)


def variant_added(**changes: Any) -> VariantAdded:
    example = VariantAdded(
        listing_id=HEART, sku=WHITE, options={"colour": "white"}, weight_g=120, added_at=NOW
    )
    return replace(example, **changes)


def variant_discontinued(**changes: Any) -> VariantDiscontinued:
    example = VariantDiscontinued(listing_id=HEART, sku=WHITE, reason="replaced", discontinued_at=NOW)
    return replace(example, **changes)


def media_attached(**changes: Any) -> MediaAttached:
    example = MediaAttached(
        listing_id=HEART,
        media_id=MediaId("front"),
        hash=SHA256,
        alt="A white heart on a string",
        attached_at=NOW,
    )
    return replace(example, **changes)


def listing_published(**changes: Any) -> ListingPublished:
    example = ListingPublished(
        listing_id=HEART,
        channel=WEB,
        starts_at=NOW,
        slug="hanging-heart",
        titles=TITLES,
        category_ids=(HEARTS,),
        published_at=NOW,
    )
    return replace(example, **changes)


def listing_unpublished(**changes: Any) -> ListingUnpublished:
    example = ListingUnpublished(listing_id=HEART, channel=WEB, category_ids=(HEARTS,), unpublished_at=NOW)
    return replace(example, **changes)


def listing_archived(**changes: Any) -> ListingArchived:
    return replace(ListingArchived(listing_id=HEART, archived_at=NOW), **changes)


ONE_OF_EACH: Final[tuple[Event, ...]] = (
    channel_opened(),
    category_created(),
    category_moved(),
    listing_created(),
    variant_added(),
    media_attached(),
    listing_published(),
    listing_revised(),
    variant_discontinued(),
    listing_unpublished(),
    listing_archived(),
)
