"""The events of the catalogue: the only part of it that other packages may rely on.

Texts that people read come by locale: `{"en-GB": "Hearts"}`.
"""

from typing import Annotated, Final, Literal

from msgspec import Struct

from domain.event import Event, event_type
from domain.ids import CategoryId, ChannelId, ListingId, MediaId, Sku
from domain.moment import Moment
from domain.money import Currency, UnitPrice
from domain.text import PublicText, Title

Slug = Annotated[str, PublicText("a part of a public address", typed=True)]
Locale = Annotated[str, PublicText("a language, and perhaps a country")]
Description = Annotated[str, PublicText("what is said of a thing on sale", typed=True)]
TaxCategory = Annotated[str, PublicText("which rates of tax apply to a thing")]
AttributeName = Annotated[str, PublicText("a property of a thing on sale", typed=True)]
AttributeValue = Annotated[str, PublicText("a property of a thing on sale", typed=True)]
MediaHash = Annotated[str, PublicText("SHA-256 of the bytes of a picture")]
AltText = Annotated[str, PublicText("what a picture of a thing shows", typed=True)]

Part = Literal["slug", "titles", "descriptions", "tax_category", "category_ids", "attributes"]
"""What can be revised of a listing."""

DiscontinuationReason = Literal["replaced", "unavailable", "unprofitable", "recalled", "other"]


def listing_slug_tag(slug: str) -> str:
    """The tag of the events that give a slug to a listing."""
    return f"listing-slug:{slug}"


def category_slug_tag(slug: str) -> str:
    """The tag of the event that gives a slug to a category."""
    return f"category-slug:{slug}"


def variant_tag(sku: Sku) -> str:
    """The tag of the event that makes an SKU the variant of a listing."""
    return f"variant:{sku}"


@event_type("catalogue.product_created.v1")
class ProductCreated(Event, frozen=True, kw_only=True):
    """A code can be sold from now on. Only a stocked product is counted, reserved and shipped."""

    sku: Sku
    title: Title
    stocked: bool
    unit_price: UnitPrice | None
    currency: Currency | None
    created_at: Moment


@event_type("catalogue.price_changed.v1")
class PriceChanged(Event, frozen=True, kw_only=True):
    """The list price is another. `previous` is None if there was none or it was in another currency."""

    sku: Sku
    unit_price: UnitPrice
    currency: Currency
    previous: UnitPrice | None
    changed_at: Moment


@event_type("catalogue.channel_opened.v1")
class ChannelOpened(Event, frozen=True, kw_only=True):
    """Listings can be published here; what is published has a price in its currency."""

    channel: ChannelId
    title: Title
    currency: Currency
    opened_at: Moment


@event_type("catalogue.category_created.v1", tags=lambda event: (category_slug_tag(event.slug),))
class CategoryCreated(Event, frozen=True, kw_only=True):
    """Listings can be found under it. `parent_id` is None at the top of the tree."""

    category_id: CategoryId
    parent_id: CategoryId | None
    slug: Slug
    titles: dict[Locale, Title]
    created_at: Moment


@event_type("catalogue.category_moved.v1")
class CategoryMoved(Event, frozen=True, kw_only=True):
    """It is under another category, with all that is under it; None is the top of the tree."""

    category_id: CategoryId
    parent_id: CategoryId | None
    previous_parent_id: CategoryId | None
    moved_at: Moment


class ListingContent(Struct, frozen=True, kw_only=True):
    """What a listing says of itself: all that can be revised."""

    slug: Slug
    titles: dict[Locale, Title]
    descriptions: dict[Locale, Description]
    tax_category: TaxCategory
    category_ids: tuple[CategoryId, ...]
    attributes: dict[AttributeName, AttributeValue]


@event_type("catalogue.listing_created.v1", tags=lambda event: (listing_slug_tag(event.content.slug),))
class ListingCreated(Event, frozen=True, kw_only=True):
    """A product that variants can be added to."""

    listing_id: ListingId
    content: ListingContent
    created_at: Moment


def _tags_of_revision(event: "ListingRevised") -> tuple[str, ...]:
    return (listing_slug_tag(event.content.slug),) if "slug" in event.changed else ()


@event_type("catalogue.listing_revised.v1", tags=_tags_of_revision)
class ListingRevised(Event, frozen=True, kw_only=True):
    """The listing says something else of itself: `content` is all of it, `changed` are the parts that are others.

    `left` are categories that it is in no more. `published` says in which channels it is published, and from when, so
    that lists of those have it right.
    """

    listing_id: ListingId
    changed: tuple[Part, ...]
    content: ListingContent
    left: tuple[CategoryId, ...]
    published: dict[ChannelId, Moment]
    revised_at: Moment


@event_type("catalogue.variant_added.v1", tags=lambda event: (variant_tag(event.sku),))
class VariantAdded(Event, frozen=True, kw_only=True):
    """An SKU is a variant of the listing, different from the others in an option."""

    listing_id: ListingId
    sku: Sku
    options: dict[AttributeName, AttributeValue]
    weight_g: int | None
    added_at: Moment


@event_type("catalogue.variant_discontinued.v1")
class VariantDiscontinued(Event, frozen=True, kw_only=True):
    """The variant is offered no more. What is left of it can still be sold."""

    listing_id: ListingId
    sku: Sku
    reason: DiscontinuationReason
    discontinued_at: Moment


@event_type("catalogue.media_attached.v1")
class MediaAttached(Event, frozen=True, kw_only=True):
    """A picture shows the listing; `hash` names its bytes. The newest of an id counts."""

    listing_id: ListingId
    media_id: MediaId
    hash: MediaHash
    alt: AltText
    attached_at: Moment


@event_type("catalogue.listing_published.v1")
class ListingPublished(Event, frozen=True, kw_only=True):
    """The listing is shown in a channel from `starts_at` on, under these categories."""

    listing_id: ListingId
    channel: ChannelId
    starts_at: Moment
    slug: Slug
    titles: dict[Locale, Title]
    category_ids: tuple[CategoryId, ...]
    published_at: Moment


@event_type("catalogue.listing_unpublished.v1")
class ListingUnpublished(Event, frozen=True, kw_only=True):
    """The listing is not shown in a channel any more; `category_ids` are those it was shown under."""

    listing_id: ListingId
    channel: ChannelId
    category_ids: tuple[CategoryId, ...]
    unpublished_at: Moment


@event_type("catalogue.listing_archived.v1")
class ListingArchived(Event, frozen=True, kw_only=True):
    """The listing changes no more, and is published nowhere. It stays readable."""

    listing_id: ListingId
    archived_at: Moment


LISTING_EVENTS: Final = (
    ListingCreated,
    ListingRevised,
    VariantAdded,
    VariantDiscontinued,
    MediaAttached,
    ListingPublished,
    ListingUnpublished,
    ListingArchived,
)
"""What happens to a listing."""
