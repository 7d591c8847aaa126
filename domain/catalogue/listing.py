"""A listing: a product as a shop shows it, with variants, each of which is an SKU (ADR 91).

open ──▶ archived    it stays readable, and changes no more

Asking again for what already holds decides nothing. Refusals:

Conflict      ListingIdTaken, SlugTaken, SkuTaken, OptionsTaken, TooManyVariants, TooManyMedia, ProductArchived
Unknown       ListingUnknown, VariantUnknown
Unacceptable  NotPublishable
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from domain.aggregate import Aggregate
from domain.catalogue import slugs
from domain.catalogue.events import (
    LISTING_EVENTS,
    DiscontinuationReason,
    ListingArchived,
    ListingContent,
    ListingCreated,
    ListingPublished,
    ListingRevised,
    ListingUnpublished,
    MediaAttached,
    Part,
    VariantAdded,
    VariantDiscontinued,
)
from domain.catalogue.product import SkuTaken
from domain.event import Event
from domain.ids import ChannelId, ListingId, MediaId, Sku
from domain.moment import in_utc
from domain.money import Currency
from domain.rejection import Conflict, Unacceptable, Unknown

VARIANTS_MAX: Final = 100
"""Variants of one listing, with those that are discontinued."""

MEDIA_MAX: Final = 50
"""Pictures of one listing."""

PARTS: Final[tuple[Part, ...]] = (
    "slug",
    "titles",
    "descriptions",
    "tax_category",
    "category_ids",
    "attributes",
)

Lack = Literal["no-live-variant", "no-price"]
"""Why a listing cannot be published."""


class Variant(Struct, frozen=True):
    """What tells a variant from the others, and whether it is offered."""

    options: Mapping[str, str]
    live: bool = True


class Listing(Struct, frozen=True, kw_only=True):
    """What decisions need of a listing. `published` has the channels, each with when it starts there."""

    listing_id: ListingId
    content: ListingContent
    variants: Mapping[Sku, Variant] = {}
    media: Mapping[MediaId, tuple[str, str]] = {}
    published: Mapping[ChannelId, datetime] = {}
    archived: bool = False

    @property
    def live(self) -> list[Sku]:
        """The variants that are offered."""
        return [sku for sku, variant in self.variants.items() if variant.live]


@dataclass(kw_only=True, eq=False)
class ListingIdTaken(Conflict):
    """The id belongs to a listing already."""

    title = "The id belongs to a listing already"
    meaning = "A listing is created once."
    remedy = "Revise the listing that has the id, or choose another id."

    listing_id: ListingId

    def __str__(self) -> str:
        return f"There is a listing '{self.listing_id}' already."


@dataclass(kw_only=True, eq=False)
class ListingUnknown(Unknown):
    """No listing has this id."""

    title = "There is no such listing"
    meaning = "No listing with this id was created."
    remedy = "Create the listing first, or check the id: case matters."

    listing_id: ListingId

    def __str__(self) -> str:
        return f"There is no listing '{self.listing_id}'."


@dataclass(kw_only=True, eq=False)
class ProductArchived(Conflict):
    """The product that the listing shows is archived."""

    title = "The product is archived"
    meaning = "The listing was archived: it stays readable, and changes no more."
    remedy = "Create another listing."

    listing_id: ListingId

    def __str__(self) -> str:
        return f"The listing '{self.listing_id}' is archived."


@dataclass(kw_only=True, eq=False)
class OptionsTaken(Conflict):
    """Another variant has the same options."""

    title = "Another variant has the same options"
    meaning = (
        "Two variants of one listing that are offered differ in an option: people choose by nothing else."
    )
    remedy = "Discontinue the variant in `facts.held_by` first, or give this one other options."

    listing_id: ListingId
    sku: Sku
    held_by: Sku

    def __str__(self) -> str:
        return f"'{self.held_by}' has the options of '{self.sku}'."


@dataclass(kw_only=True, eq=False)
class VariantUnknown(Unknown):
    """The listing has no such variant."""

    title = "The listing has no such variant"
    meaning = "The SKU was never added to the listing."
    remedy = "Check the SKU: case matters."

    listing_id: ListingId
    sku: Sku

    def __str__(self) -> str:
        return f"'{self.sku}' is no variant of the listing '{self.listing_id}'."


@dataclass(kw_only=True, eq=False)
class TooManyVariants(Conflict):
    """The listing has as many variants as there may be."""

    title = "The listing has too many variants"
    meaning = "A listing has as many variants as `facts.limit` says, with those that are discontinued."
    remedy = "Create another listing."

    listing_id: ListingId
    limit: int = VARIANTS_MAX

    def __str__(self) -> str:
        return f"The listing '{self.listing_id}' has {self.limit} variants."


@dataclass(kw_only=True, eq=False)
class TooManyMedia(Conflict):
    """The listing has as many pictures as there may be."""

    title = "The listing has too many pictures"
    meaning = "A listing has as many pictures as `facts.limit` says."
    remedy = "Attach it under the id of another one, in whose place it is shown then."

    listing_id: ListingId
    limit: int = MEDIA_MAX

    def __str__(self) -> str:
        return f"The listing '{self.listing_id}' has {self.limit} pictures."


@dataclass(kw_only=True, eq=False)
class NotPublishable(Unacceptable):
    """There is nothing in the listing that could be sold in the channel."""

    title = "The listing cannot be published in this channel"
    meaning = (
        "A listing that is published has a variant that is offered (`facts.reason`: `no-live-variant`), and one of"
        " those has a list price in the currency of the channel (`no-price`)."
    )
    remedy = "Add a variant, or give one a list price in `facts.currency`."

    listing_id: ListingId
    channel: ChannelId
    currency: Currency
    reason: Lack

    def __str__(self) -> str:
        lack = "is offered" if self.reason == "no-live-variant" else f"has a list price in {self.currency}"
        return f"No variant of the listing '{self.listing_id}' {lack}."


def evolve(listing: Listing | None, event: Event) -> Listing:
    """Return the listing as it is after `event`."""
    if isinstance(event, ListingCreated):
        return Listing(listing_id=event.listing_id, content=event.content)
    assert listing is not None, "a change of a listing that was never created"
    match event:
        case ListingRevised():
            return replace(listing, content=event.content)
        case VariantAdded():
            return replace(listing, variants={**listing.variants, event.sku: Variant(event.options)})
        case VariantDiscontinued():
            gone = Variant(listing.variants[event.sku].options, live=False)
            return replace(listing, variants={**listing.variants, event.sku: gone})
        case MediaAttached():
            return replace(listing, media={**listing.media, event.media_id: (event.hash, event.alt)})
        case ListingPublished():
            return replace(listing, published={**listing.published, event.channel: event.starts_at})
        case ListingUnpublished():
            kept = {
                channel: since for channel, since in listing.published.items() if channel != event.channel
            }
            return replace(listing, published=kept)
        case ListingArchived():
            return replace(listing, archived=True)
    raise AssertionError(f"{type(event).__name__} is no event of a listing")


LISTING: Final[Aggregate[Listing]] = Aggregate("listing", evolve, LISTING_EVENTS)


def require_open(listing: Listing | None, *, listing_id: ListingId) -> Listing:
    """The listing, which may still change.

    Raises:
        ListingUnknown, ProductArchived: there is none, or it may not.
    """
    if listing is None:
        raise ListingUnknown(listing_id=listing_id)
    if listing.archived:
        raise ProductArchived(listing_id=listing_id)
    return listing


def create(
    listing: Listing | None,
    *,
    listing_id: ListingId,
    content: ListingContent,
    slug_holder: ListingId | None,
    now: datetime,
) -> list[Event]:
    """Create a listing.

    Raises:
        ListingIdTaken: there is one of this id.
        SlugTaken: another one had the slug first.
    """
    if listing is not None:
        raise ListingIdTaken(listing_id=listing_id)
    slugs.require_free(content.slug, holder=slug_holder, wanted_by=listing_id)
    return [ListingCreated(listing_id=listing_id, content=content, created_at=in_utc(now))]


def revise(
    listing: Listing | None,
    *,
    listing_id: ListingId,
    content: ListingContent,
    slug_holder: ListingId | None,
    now: datetime,
) -> list[Event]:
    """Have a listing say something else of itself; `slug_holder` is who had the slug of `content` first.

    Raises:
        ListingUnknown, ProductArchived: there is none to be revised.
        SlugTaken: another one had the slug first.
    """
    listing = require_open(listing, listing_id=listing_id)
    before = listing.content
    changed = tuple(part for part in PARTS if getattr(before, part) != getattr(content, part))
    if not changed:
        return []
    if "slug" in changed:
        slugs.require_free(content.slug, holder=slug_holder, wanted_by=listing_id)
    return [
        ListingRevised(
            listing_id=listing_id,
            changed=changed,
            content=content,
            left=tuple(each for each in before.category_ids if each not in content.category_ids),
            published=dict(listing.published),
            revised_at=in_utc(now),
        )
    ]


def add_variant(
    listing: Listing | None,
    *,
    listing_id: ListingId,
    sku: Sku,
    held_by: ListingId | None,
    options: dict[str, str],
    weight_g: int | None,
    now: datetime,
) -> list[Event]:
    """Make an SKU a variant; `held_by` is the listing that has it already.

    Raises:
        ListingUnknown, ProductArchived: there is none to add it to.
        SkuTaken: it is a variant already, here or elsewhere.
        OptionsTaken, TooManyVariants: it is one too many.
    """
    listing = require_open(listing, listing_id=listing_id)
    if held_by is not None or sku in listing.variants:
        raise SkuTaken(sku=sku)
    for other in listing.live:
        if listing.variants[other].options == options:
            raise OptionsTaken(listing_id=listing_id, sku=sku, held_by=other)
    if len(listing.variants) >= VARIANTS_MAX:
        raise TooManyVariants(listing_id=listing_id)
    return [
        VariantAdded(listing_id=listing_id, sku=sku, options=options, weight_g=weight_g, added_at=in_utc(now))
    ]


def discontinue(
    listing: Listing | None,
    *,
    listing_id: ListingId,
    sku: Sku,
    reason: DiscontinuationReason,
    now: datetime,
) -> list[Event]:
    """Offer a variant no more.

    Raises:
        ListingUnknown, ProductArchived: there is none that has it.
        VariantUnknown: it is no variant of this one.
    """
    listing = require_open(listing, listing_id=listing_id)
    variant = listing.variants.get(sku)
    if variant is None:
        raise VariantUnknown(listing_id=listing_id, sku=sku)
    if not variant.live:
        return []
    return [VariantDiscontinued(listing_id=listing_id, sku=sku, reason=reason, discontinued_at=in_utc(now))]


def attach_media(
    listing: Listing | None, *, listing_id: ListingId, media_id: MediaId, sha256: str, alt: str, now: datetime
) -> list[Event]:
    """Show the listing by a picture, in the place of one with the same id.

    Raises:
        ListingUnknown, ProductArchived: there is none to be shown.
        TooManyMedia: it is one too many.
    """
    listing = require_open(listing, listing_id=listing_id)
    if listing.media.get(media_id) == (sha256, alt):
        return []
    if media_id not in listing.media and len(listing.media) >= MEDIA_MAX:
        raise TooManyMedia(listing_id=listing_id)
    return [
        MediaAttached(listing_id=listing_id, media_id=media_id, hash=sha256, alt=alt, attached_at=in_utc(now))
    ]


def publish(
    listing: Listing | None,
    *,
    listing_id: ListingId,
    channel: ChannelId,
    currency: Currency,
    priced: Collection[Sku],
    starts_at: datetime | None,
    now: datetime,
) -> list[Event]:
    """Publish a listing in a channel, from `starts_at` or at once; where it is published already, from another time.

    `priced` are the SKUs that have a list price in the channel's currency.

    Raises:
        ListingUnknown, ProductArchived: there is none to be published.
        NotPublishable: nothing of it can be sold there.
    """
    listing = require_open(listing, listing_id=listing_id)
    lack: Lack | None = None
    if not listing.live:
        lack = "no-live-variant"
    elif not any(sku in priced for sku in listing.live):
        lack = "no-price"
    if lack is not None:
        raise NotPublishable(listing_id=listing_id, channel=channel, currency=currency, reason=lack)
    before = listing.published.get(channel)
    if before is not None and (starts_at is None or in_utc(starts_at) == before):
        return []
    return [
        ListingPublished(
            listing_id=listing_id,
            channel=channel,
            starts_at=in_utc(now if starts_at is None else starts_at),
            slug=listing.content.slug,
            titles=listing.content.titles,
            category_ids=listing.content.category_ids,
            published_at=in_utc(now),
        )
    ]


def unpublish(
    listing: Listing | None, *, listing_id: ListingId, channel: ChannelId, now: datetime
) -> list[Event]:
    """Show a listing in a channel no more.

    Raises:
        ListingUnknown, ProductArchived: there is none that is shown.
    """
    listing = require_open(listing, listing_id=listing_id)
    if channel not in listing.published:
        return []
    return [_unpublished(listing, channel, now)]


def archive(listing: Listing | None, *, listing_id: ListingId, now: datetime) -> list[Event]:
    """Show a listing nowhere, and change it no more; an archived one stays so.

    Raises:
        ListingUnknown: there is no such listing.
    """
    if listing is None:
        raise ListingUnknown(listing_id=listing_id)
    if listing.archived:
        return []
    return [
        *(_unpublished(listing, channel, now) for channel in listing.published),
        ListingArchived(listing_id=listing_id, archived_at=in_utc(now)),
    ]


def _unpublished(listing: Listing, channel: ChannelId, now: datetime) -> ListingUnpublished:
    return ListingUnpublished(
        listing_id=listing.listing_id,
        channel=channel,
        category_ids=listing.content.category_ids,
        unpublished_at=in_utc(now),
    )
