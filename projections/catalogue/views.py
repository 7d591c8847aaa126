"""Views of the catalogue."""

from datetime import datetime
from typing import Annotated, Final

from msgspec import Struct, field

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
from domain.text import PublicText, Title
from projections.view import DEFERRED, GLOBAL, KEYED, Row, View

SearchedWords = Annotated[str, PublicText("words of titles and descriptions of things on sale")]
Facets = Annotated[str, PublicText("categories and properties of things on sale, one a line")]


PRICE_SCALE: Final = 10**8
"""By how much prices that are compared are multiplied: a unit price has at most eight decimals."""


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


ANY_SKU: Final = Sku("")
"""The key of the row whose position says when any other one last changed by an event of the catalogue."""


class ProductSearch(Row, frozen=True, kw_only=True):
    """An SKU as it is searched. `price` is its list price in 10^-8 of the currency.

    It is found once it is created, and as long as it is `offered`; one of a listing while that is shown. `changes`
    counts in the row of `ANY_SKU` only.
    """

    sku: Sku
    title: Title = ""
    listing_id: ListingId | None = None
    options: dict[AttributeName, AttributeValue] = field(default_factory=dict)
    unit_price: UnitPrice | None = None
    currency: Currency | None = None
    price: int | None = None
    stocked: bool = True
    available: int = 0
    in_stock: bool = False
    offered: bool = True
    created_at: datetime | None = None
    heading: SearchedWords = ""
    body: SearchedWords = ""
    facets: Facets = ""
    changes: int = 0


class ListingSearch(Row, frozen=True, kw_only=True):
    """What a listing says that its SKUs are found by, from `shown_from` on, when it is first shown anywhere."""

    listing_id: ListingId
    slug: Slug | None = None
    titles: dict[Locale, Title] = field(default_factory=dict)
    heading: SearchedWords = ""
    body: SearchedWords = ""
    facets: Facets = ""
    channels: dict[ChannelId, datetime] = field(default_factory=dict)
    shown_from: datetime | None = None


class TitleWord(Row, frozen=True, kw_only=True):
    """A word of titles, by which typing errors are corrected. `titles`: in how many it was ever given."""

    word: SearchedWords
    titles: int = 0


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
    kind=DEFERRED,
    category=LISTING.category,
)
channel_listing = View(
    name="channel_listing", row=ChannelListing, key=("channel", "listing_id"), shape=1, kind=DEFERRED
)
category_listing = View(
    name="category_listing",
    row=CategoryListing,
    key=("category_id", "channel", "listing_id"),
    shape=1,
    kind=DEFERRED,
)
product_search = View(name="product_search", row=ProductSearch, key=("sku",), shape=1, kind=GLOBAL)
listing_search = View(name="listing_search", row=ListingSearch, key=("listing_id",), shape=1, kind=GLOBAL)
title_word = View(name="title_word", row=TitleWord, key=("word",), shape=1, kind=GLOBAL)
