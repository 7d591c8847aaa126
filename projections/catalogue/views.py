"""Views of the catalogue."""

from datetime import datetime

from msgspec import Struct

from domain.catalogue.category import CATEGORY
from domain.catalogue.channel import CHANNEL
from domain.catalogue.events import (
    AltText,
    AttributeName,
    AttributeValue,
    Description,
    DiscontinuationReason,
    Locale,
    MediaHash,
    Slug,
    TaxCategory,
)
from domain.catalogue.listing import LISTING
from domain.catalogue.product import PRODUCT
from domain.ids import CategoryId, ChannelId, ListingId, MediaId, Sku
from domain.money import Currency, UnitPrice
from domain.text import Title
from projections.view import KEYED, Row, View


class ProductPage(Row, frozen=True):
    """A product as a shop shows it. Without a list price, `unit_price` and `currency` are None."""

    sku: Sku
    title: Title
    stocked: bool
    unit_price: UnitPrice | None
    currency: Currency | None
    created_at: datetime
    price_changed_at: datetime | None


class ChannelDetails(Row, frozen=True, kw_only=True):
    """Where listings can be published."""

    channel: ChannelId
    title: Title
    currency: Currency
    opened_at: datetime


class CategoryDetails(Row, frozen=True, kw_only=True):
    """A node of the tree of categories; `top`: it is under no other one."""

    category_id: CategoryId
    parent_id: CategoryId | None
    top: bool
    slug: Slug
    titles: dict[Locale, Title]
    created_at: datetime


class ShownVariant(Struct, frozen=True, kw_only=True):
    """An SKU of a listing. It is offered until `discontinued_at`."""

    sku: Sku
    options: dict[AttributeName, AttributeValue]
    weight_g: int | None
    added_at: datetime
    discontinued_at: datetime | None = None
    discontinuation_reason: DiscontinuationReason | None = None


class ShownMedia(Struct, frozen=True, kw_only=True):
    """A picture, by the SHA-256 of its bytes."""

    media_id: MediaId
    hash: MediaHash
    alt: AltText


class ShownPublication(Struct, frozen=True, kw_only=True):
    """Where a listing is published, and from when on it is shown there."""

    channel: ChannelId
    starts_at: datetime


class ListingDetails(Row, frozen=True, kw_only=True):
    """A product as a shop shows it, with its variants and the channels in which it is published."""

    listing_id: ListingId
    slug: Slug
    titles: dict[Locale, Title]
    descriptions: dict[Locale, Description]
    tax_category: TaxCategory
    category_ids: tuple[CategoryId, ...]
    attributes: dict[AttributeName, AttributeValue]
    created_at: datetime
    archived: bool = False
    variants: tuple[ShownVariant, ...] = ()
    media: tuple[ShownMedia, ...] = ()
    channels: tuple[ShownPublication, ...] = ()
    archived_at: datetime | None = None


class ListingSummary(Row, frozen=True, kw_only=True):
    """One entry in a list of listings, published or not."""

    listing_id: ListingId
    slug: Slug
    titles: dict[Locale, Title]
    created_at: datetime
    archived: bool = False


class ChannelListing(Row, frozen=True, kw_only=True):
    """A listing that is published in a channel, from `starts_at` on."""

    channel: ChannelId
    listing_id: ListingId
    starts_at: datetime
    slug: Slug
    titles: dict[Locale, Title]


class CategoryListing(Row, frozen=True, kw_only=True):
    """The same, in one of its categories."""

    category_id: CategoryId
    channel: ChannelId
    listing_id: ListingId
    starts_at: datetime
    slug: Slug
    titles: dict[Locale, Title]


product_page = View(
    name="product_page",
    row=ProductPage,
    key=("sku",),
    shape=1,
    kind=KEYED,
    document="catalogue:product",
    category=PRODUCT.category,
)
channel_details = View(
    name="channel_details",
    row=ChannelDetails,
    key=("channel",),
    shape=1,
    kind=KEYED,
    document="catalogue:channel",
    category=CHANNEL.category,
)
category_details = View(
    name="category_details",
    row=CategoryDetails,
    key=("category_id",),
    shape=1,
    kind=KEYED,
    document="catalogue:category",
    category=CATEGORY.category,
)
listing_details = View(
    name="listing_details",
    row=ListingDetails,
    key=("listing_id",),
    shape=1,
    kind=KEYED,
    document="catalogue:listing",
    category=LISTING.category,
)
listing_summary = View(
    name="listing_summary",
    row=ListingSummary,
    key=("listing_id",),
    shape=1,
    kind=KEYED,
    category=LISTING.category,
)
channel_listing = View(
    name="channel_listing", row=ChannelListing, key=("channel", "listing_id"), shape=1, kind=KEYED
)
category_listing = View(
    name="category_listing",
    row=CategoryListing,
    key=("category_id", "channel", "listing_id"),
    shape=1,
    kind=KEYED,
)
