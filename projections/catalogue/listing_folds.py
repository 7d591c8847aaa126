"""How the events of channels, categories and listings change what can be asked about them."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final, NamedTuple

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
from domain.ids import CategoryId, ChannelId, ListingId
from projections.catalogue.views import (
    CategoryDetails,
    CategoryListing,
    ChannelDetails,
    ChannelListing,
    ListingDetails,
    ListingSummary,
    ShownMedia,
    ShownPublication,
    ShownVariant,
    category_details,
    category_listing,
    channel_details,
    channel_listing,
    listing_details,
    listing_summary,
)
from projections.view import Key


@channel_details.on(ChannelOpened)
def channel_opened(_channel: None, event: ChannelOpened) -> ChannelDetails:
    """A channel does not change."""
    return ChannelDetails(
        channel=event.channel, title=event.title, currency=event.currency, opened_at=event.opened_at
    )


@category_details.on(CategoryCreated)
def category_created(_category: None, event: CategoryCreated) -> CategoryDetails:
    """A category begins where it was put."""
    return CategoryDetails(
        category_id=event.category_id,
        parent_id=event.parent_id,
        top=event.parent_id is None,
        slug=event.slug,
        titles=event.titles,
        created_at=event.created_at,
    )


@category_details.on(CategoryMoved)
def category_moved(category: CategoryDetails, event: CategoryMoved) -> CategoryDetails:
    """What is under it names it as the parent, and moves along."""
    return replace(category, parent_id=event.parent_id, top=event.parent_id is None)


@listing_details.on(ListingCreated)
def created(_listing: None, event: ListingCreated) -> ListingDetails:
    """A listing begins without variants."""
    content = event.content
    return ListingDetails(
        listing_id=event.listing_id,
        slug=content.slug,
        titles=content.titles,
        descriptions=content.descriptions,
        tax_category=content.tax_category,
        category_ids=content.category_ids,
        attributes=content.attributes,
        created_at=event.created_at,
    )


@listing_details.on(ListingRevised)
def revised(listing: ListingDetails, event: ListingRevised) -> ListingDetails:
    """The content is another one, as a whole."""
    return replace(
        listing, **{part: getattr(event.content, part) for part in ListingContent.__struct_fields__}
    )


@listing_details.on(VariantAdded)
def variant_added(listing: ListingDetails, event: VariantAdded) -> ListingDetails:
    """Variants stand in the order in which they were added."""
    added = ShownVariant(
        sku=event.sku, options=event.options, weight_g=event.weight_g, added_at=event.added_at
    )
    return replace(listing, variants=(*listing.variants, added))


@listing_details.on(VariantDiscontinued)
def variant_discontinued(listing: ListingDetails, event: VariantDiscontinued) -> ListingDetails:
    """It stays where it is: orders have its SKU."""
    variants = [
        replace(each, discontinued_at=event.discontinued_at, discontinuation_reason=event.reason)
        if each.sku == event.sku
        else each
        for each in listing.variants
    ]
    return replace(listing, variants=tuple(variants))


@listing_details.on(MediaAttached)
def media_attached(listing: ListingDetails, event: MediaAttached) -> ListingDetails:
    """The newest of an id takes the place of the one before."""
    media = {each.media_id: each for each in listing.media}
    media[event.media_id] = ShownMedia(media_id=event.media_id, hash=event.hash, alt=event.alt)
    return replace(listing, media=tuple(media.values()))


@listing_details.on(ListingPublished)
def published(listing: ListingDetails, event: ListingPublished) -> ListingDetails:
    """Channels stand in the order of their ids."""
    others = [each for each in listing.channels if each.channel != event.channel]
    publication = ShownPublication(channel=event.channel, starts_at=event.starts_at)
    return replace(listing, channels=tuple(sorted((*others, publication), key=_channel)))


@listing_details.on(ListingUnpublished)
def unpublished(listing: ListingDetails, event: ListingUnpublished) -> ListingDetails:
    """A channel in which it is not published is not there."""
    kept = tuple(each for each in listing.channels if each.channel != event.channel)
    return replace(listing, channels=kept)


@listing_details.on(ListingArchived)
def archived(listing: ListingDetails, event: ListingArchived) -> ListingDetails:
    """It stays readable."""
    return replace(listing, archived=True, archived_at=event.archived_at)


def _channel(publication: ShownPublication) -> str:
    return publication.channel


# The list of all


@listing_summary.on(ListingCreated)
def listed(_entry: None, event: ListingCreated) -> ListingSummary:
    """A listing begins an entry."""
    return ListingSummary(
        listing_id=event.listing_id,
        slug=event.content.slug,
        titles=event.content.titles,
        created_at=event.created_at,
    )


@listing_summary.on(ListingRevised)
def listed_otherwise(entry: ListingSummary, event: ListingRevised) -> ListingSummary:
    """It is called otherwise."""
    return replace(entry, slug=event.content.slug, titles=event.content.titles)


@listing_summary.on(ListingArchived)
def listed_as_archived(entry: ListingSummary, _event: ListingArchived) -> ListingSummary:
    """The entry stays."""
    return replace(entry, archived=True)


# Lists by channel


def _in_channel(event: ListingPublished | ListingUnpublished) -> Iterator[Key]:
    yield (event.channel, event.listing_id)


def _in_channels(event: ListingRevised) -> Iterator[Key]:
    return ((channel, event.listing_id) for channel in event.published)


@channel_listing.on(ListingPublished, keys=_in_channel)
def shown(_entry: ChannelListing | None, event: ListingPublished) -> ChannelListing:
    """The newest start counts."""
    return ChannelListing(
        channel=event.channel,
        listing_id=event.listing_id,
        starts_at=event.starts_at,
        slug=event.slug,
        titles=event.titles,
    )


@channel_listing.on(ListingRevised, keys=_in_channels)
def shown_otherwise(entry: ChannelListing, event: ListingRevised) -> ChannelListing:
    """It is called otherwise."""
    return replace(entry, slug=event.content.slug, titles=event.content.titles)


@channel_listing.on(ListingUnpublished, keys=_in_channel)
def not_shown(_entry: ChannelListing, _event: ListingUnpublished) -> ChannelListing | None:
    """Nobody finds it there."""
    return None


# Lists by category and channel


class _Place(NamedTuple):
    """A category in a channel; `starts_at` None: the listing left it."""

    category_id: CategoryId
    channel: ChannelId
    starts_at: datetime | None


def _places(event: ListingPublished | ListingUnpublished) -> Iterator[tuple[Key, _Place]]:
    starts_at = event.starts_at if isinstance(event, ListingPublished) else None
    for category_id in event.category_ids:
        yield _keyed(event.listing_id, _Place(category_id, event.channel, starts_at))


def _places_after(event: ListingRevised) -> Iterator[tuple[Key, _Place]]:
    for channel, starts_at in event.published.items():
        for category_id in event.content.category_ids:
            yield _keyed(event.listing_id, _Place(category_id, channel, starts_at))
        for category_id in event.left:
            yield _keyed(event.listing_id, _Place(category_id, channel, None))


def _keyed(listing_id: ListingId, place: _Place) -> tuple[Key, _Place]:
    return (place.category_id, place.channel, listing_id), place


@category_listing.on_each(ListingPublished, parts=_places)
def found(_entry: CategoryListing | None, event: ListingPublished, place: _Place) -> CategoryListing | None:
    """It is found under each of its categories."""
    return _entry_of(event.listing_id, place, slug=event.slug, titles=event.titles)


@category_listing.on_each(ListingRevised, parts=_places_after)
def found_otherwise(
    _entry: CategoryListing | None, event: ListingRevised, place: _Place
) -> CategoryListing | None:
    """It is found where it is now, and nowhere that it left."""
    return _entry_of(event.listing_id, place, slug=event.content.slug, titles=event.content.titles)


@category_listing.on_each(ListingUnpublished, parts=_places)
def not_found(
    _entry: CategoryListing | None, event: ListingUnpublished, place: _Place
) -> CategoryListing | None:
    """Nobody finds it there."""
    return _entry_of(event.listing_id, place, slug="", titles={})


def _entry_of(
    listing_id: ListingId, place: _Place, *, slug: str, titles: dict[str, str]
) -> CategoryListing | None:
    if place.starts_at is None:
        return None
    return CategoryListing(
        category_id=place.category_id,
        channel=place.channel,
        listing_id=listing_id,
        starts_at=place.starts_at,
        slug=slug,
        titles=titles,
    )


VIEWS: Final = (
    channel_details,
    category_details,
    listing_details,
    listing_summary,
    channel_listing,
    category_listing,
)
"""Views of channels, categories and listings."""
