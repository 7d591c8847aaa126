"""Commands of the catalogue: products and their list prices, listings of them, categories and channels."""

from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace
from pydantic import ConfigDict, Field

from commands.catalogue_bodies import (
    AddVariant,
    ArchiveListing,
    AttachMedia,
    CreateCategory,
    CreateListing,
    DiscontinueVariant,
    MoveCategory,
    OpenChannel,
    PublishListing,
    ReviseListing,
    UnpublishListing,
)
from commands.decision import DecisionView, Tagged
from commands.documentation import Caller
from commands.payloads import Currency, Id, Payload, Title, UnitPrice
from commands.recording import Answer
from commands.routing import command, command_router
from commands.taxes import VARIANTS
from domain.catalogue import category as categories
from domain.catalogue import channel as channels
from domain.catalogue import listing as listings
from domain.catalogue import product as products
from domain.catalogue.category import (
    ANCESTORS_MAX,
    CATEGORY,
    Category,
    CategoryCycle,
    CategoryIdTaken,
    CategoryTooDeep,
    CategoryUnknown,
)
from domain.catalogue.channel import CHANNEL, Channel, ChannelIdTaken, ChannelUnknown
from domain.catalogue.events import (
    CategoryCreated,
    ListingContent,
    ListingCreated,
    ListingRevised,
    category_slug_tag,
    listing_slug_tag,
    variant_tag,
)
from domain.catalogue.listing import (
    LISTING,
    Listing,
    ListingIdTaken,
    ListingUnknown,
    NotPublishable,
    OptionsTaken,
    ProductArchived,
    TooManyMedia,
    TooManyVariants,
    VariantUnknown,
)
from domain.catalogue.product import PRODUCT, PriceWithoutCurrency, ProductUnknown, SkuTaken
from domain.catalogue.slugs import SlugTaken
from domain.event import Event
from domain.ids import CategoryId, ChannelId, ListingId, MediaId, Sku

router = command_router("catalogue")

CATEGORY_SLUGS: Final[Tagged[CategoryId | None]] = Tagged(
    (CategoryCreated,), None, lambda holder, event: holder or event.category_id
)
"""The category that had a slug first."""

LISTING_SLUGS: Final[Tagged[ListingId | None]] = Tagged(
    (ListingCreated, ListingRevised), None, lambda holder, event: holder or event.listing_id
)
"""The listing that had a slug first."""


class CreateProduct(Payload):
    """A code that can be sold from now on."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "sku": "85123A",
                "title": "White hanging heart T-light holder",
                "stocked": True,
                "unit_price": "2.55",
                "currency": "GBP",
            }
        }
    )

    sku: Id | None = Field(default=None, description="The shop's own code; a UUID is made up when absent.")
    title: Title
    stocked: bool = Field(description="Whether pieces of it are counted, reserved and shipped.")
    unit_price: UnitPrice | None = Field(default=None, description="List price, with its currency.")
    currency: Currency | None = None


class ChangePrice(Payload):
    """Another list price."""

    model_config = ConfigDict(json_schema_extra={"example": {"unit_price": "2.95", "currency": "GBP"}})

    unit_price: UnitPrice
    currency: Currency


@command(router, "/products", requires="catalogue:write", refusals=(SkuTaken, PriceWithoutCurrency))
async def create_product(body: CreateProduct, caller: Caller) -> Answer:
    """Offer something under a code that is free."""
    sku = Sku(body.sku or caller.new_id())
    return await caller.execute(
        PRODUCT,
        sku,
        lambda product, _: products.create(
            product,
            sku=sku,
            title=body.title,
            stocked=body.stocked,
            unit_price=body.unit_price,
            currency=body.currency,
            now=caller.now,
        ),
        creates=True,
    )


@command(router, "/products/{sku}/price", requires="catalogue:write", refusals=(ProductUnknown,))
async def change_price(sku: Sku, body: ChangePrice, caller: Caller) -> Answer:
    """Give a product another list price; orders placed before keep theirs."""
    return await caller.execute(
        PRODUCT,
        sku,
        lambda product, _: products.change_price(
            product, sku=sku, unit_price=body.unit_price, currency=body.currency, now=caller.now
        ),
    )


_CHANGES: Final = (ListingUnknown, ProductArchived)
"""What every change of a listing may refuse."""


@command(router, "/channels", requires="catalogue:write", refusals=(ChannelIdTaken,))
async def open_channel(body: OpenChannel, caller: Caller) -> Answer:
    """Open a channel in which listings can be published."""
    channel_id = ChannelId(body.channel)
    return await caller.execute(
        CHANNEL,
        channel_id,
        lambda channel, _: channels.open_channel(
            channel, channel=channel_id, title=body.title, currency=body.currency, now=caller.now
        ),
        creates=True,
    )


@command(
    router,
    "/categories",
    requires="catalogue:write",
    refusals=(CategoryIdTaken, SlugTaken, CategoryUnknown, CategoryTooDeep),
)
async def create_category(body: CreateCategory, caller: Caller) -> Answer:
    """Create a category under another one, or at the top of the tree."""
    category_id = CategoryId(body.category_id or caller.new_id())

    def create(category: Category | None, view: DecisionView) -> list[Event]:
        return categories.create(
            category,
            category_id=category_id,
            slug=body.slug,
            slug_holder=view.tagged(CATEGORY_SLUGS, category_slug_tag(body.slug)),
            titles=body.titles,
            ancestors=_ancestors(body.parent_id, view),
            now=caller.now,
        )

    return await caller.execute(CATEGORY, category_id, create, creates=True)


@command(
    router,
    "/categories/{category_id}/parent",
    requires="catalogue:write",
    refusals=(CategoryUnknown, CategoryCycle, CategoryTooDeep),
)
async def move_category(category_id: CategoryId, body: MoveCategory, caller: Caller) -> Answer:
    """Put a category, with all that is under it, under another one, or at the top of the tree."""
    return await caller.execute(
        CATEGORY,
        category_id,
        lambda category, view: categories.move(
            category, category_id=category_id, ancestors=_ancestors(body.parent_id, view), now=caller.now
        ),
    )


@command(
    router,
    "/listings",
    requires="catalogue:write",
    refusals=(ListingIdTaken, SlugTaken, CategoryUnknown),
)
async def create_listing(body: CreateListing, caller: Caller) -> Answer:
    """Create a listing, to which variants can be added."""
    listing_id = ListingId(body.listing_id or caller.new_id())
    content = ListingContent(
        slug=body.slug,
        titles=body.titles,
        descriptions=body.descriptions,
        tax_category=body.tax_category,
        category_ids=_each_once(body.category_ids),
        attributes=body.attributes,
    )

    def create(listing: Listing | None, view: DecisionView) -> list[Event]:
        _require_categories(content.category_ids, view)
        holder = view.tagged(LISTING_SLUGS, listing_slug_tag(content.slug))
        return listings.create(
            listing, listing_id=listing_id, content=content, slug_holder=holder, now=caller.now
        )

    return await caller.execute(LISTING, listing_id, create, creates=True)


@command(
    router,
    "/listings/{listing_id}/revision",
    requires="catalogue:write",
    refusals=(*_CHANGES, SlugTaken, CategoryUnknown),
)
async def revise_listing(listing_id: ListingId, body: ReviseListing, caller: Caller) -> Answer:
    """Have a listing say something else of itself."""

    def revise(listing: Listing | None, view: DecisionView) -> list[Event]:
        content = _revised(listings.require_open(listing, listing_id=listing_id).content, body)
        if body.category_ids is not None:
            _require_categories(content.category_ids, view)
        holder = None if body.slug is None else view.tagged(LISTING_SLUGS, listing_slug_tag(body.slug))
        return listings.revise(
            listing, listing_id=listing_id, content=content, slug_holder=holder, now=caller.now
        )

    return await caller.execute(LISTING, listing_id, revise)


@command(
    router,
    "/listings/{listing_id}/variants",
    requires="catalogue:write",
    refusals=(*_CHANGES, ProductUnknown, SkuTaken, OptionsTaken, TooManyVariants),
)
async def add_variant(listing_id: ListingId, body: AddVariant, caller: Caller) -> Answer:
    """Make a product, by its SKU, a variant of a listing; it is one of no other then."""
    sku = Sku(body.sku)

    def add(listing: Listing | None, view: DecisionView) -> list[Event]:
        view.prefetch(PRODUCT, [sku])
        held_by = view.tagged(VARIANTS, variant_tag(sku))
        if view.known(PRODUCT, sku) is None:
            raise ProductUnknown(sku=sku)
        return listings.add_variant(
            listing,
            listing_id=listing_id,
            sku=sku,
            held_by=held_by,
            options=body.options,
            weight_g=body.weight_g,
            now=caller.now,
        )

    return await caller.execute(LISTING, listing_id, add)


@command(
    router,
    "/listings/{listing_id}/variant-discontinuations",
    requires="catalogue:write",
    refusals=(*_CHANGES, VariantUnknown),
)
async def discontinue_variant(listing_id: ListingId, body: DiscontinueVariant, caller: Caller) -> Answer:
    """Offer a variant no more; what is left of it can still be sold."""
    return await caller.execute(
        LISTING,
        listing_id,
        lambda listing, _: listings.discontinue(
            listing, listing_id=listing_id, sku=Sku(body.sku), reason=body.reason, now=caller.now
        ),
    )


@command(
    router,
    "/listings/{listing_id}/media",
    requires="catalogue:write",
    refusals=(*_CHANGES, TooManyMedia),
)
async def attach_media(listing_id: ListingId, body: AttachMedia, caller: Caller) -> Answer:
    """Show a listing by a picture, in the place of one with the same id."""
    return await caller.execute(
        LISTING,
        listing_id,
        lambda listing, _: listings.attach_media(
            listing,
            listing_id=listing_id,
            media_id=MediaId(body.media_id),
            sha256=body.hash,
            alt=body.alt,
            now=caller.now,
        ),
    )


@command(
    router,
    "/listings/{listing_id}/publications",
    requires="catalogue:write",
    refusals=(*_CHANGES, ChannelUnknown, NotPublishable),
)
async def publish_listing(listing_id: ListingId, body: PublishListing, caller: Caller) -> Answer:
    """Publish a listing in a channel: a variant that is offered has a list price in the channel's currency."""

    def publish(listing: Listing | None, view: DecisionView) -> list[Event]:
        channel = _channel(body.channel, view)
        return listings.publish(
            listing,
            listing_id=listing_id,
            channel=channel.channel,
            currency=channel.currency,
            priced=[] if listing is None else _priced(listing, channel, view),
            starts_at=body.starts_at,
            now=caller.now,
        )

    return await caller.execute(LISTING, listing_id, publish)


@command(
    router,
    "/listings/{listing_id}/publication-withdrawals",
    requires="catalogue:write",
    refusals=_CHANGES,
)
async def unpublish_listing(listing_id: ListingId, body: UnpublishListing, caller: Caller) -> Answer:
    """Show a listing in a channel no more."""
    return await caller.execute(
        LISTING,
        listing_id,
        lambda listing, _: listings.unpublish(
            listing, listing_id=listing_id, channel=ChannelId(body.channel), now=caller.now
        ),
    )


@command(router, "/listings/{listing_id}/archival", requires="catalogue:write", refusals=(ListingUnknown,))
async def archive_listing(listing_id: ListingId, body: ArchiveListing, caller: Caller) -> Answer:  # noqa: ARG001 - an empty body
    """Show a listing nowhere, and change it no more. It is never deleted, and its SKUs stay products."""
    return await caller.execute(
        LISTING,
        listing_id,
        lambda listing, _: listings.archive(listing, listing_id=listing_id, now=caller.now),
    )


def _ancestors(parent_id: str | None, view: DecisionView) -> list[CategoryId]:
    """A category and those above it, nearest first; one more than there may be, at most.

    Raises:
        CategoryUnknown: there is no such category.
    """
    found: list[CategoryId] = []
    above = None if parent_id is None else CategoryId(parent_id)
    while above is not None and len(found) <= ANCESTORS_MAX:
        category = view.current(CATEGORY, above)
        if category is None:
            raise CategoryUnknown(category_id=above)
        found.append(above)
        above = category.parent_id
    return found


def _require_categories(category_ids: tuple[CategoryId, ...], view: DecisionView) -> None:
    view.prefetch(CATEGORY, category_ids)
    for category_id in category_ids:
        if view.known(CATEGORY, category_id) is None:
            raise CategoryUnknown(category_id=category_id)


def _channel(channel_id: str, view: DecisionView) -> Channel:
    channel = view.known(CHANNEL, channel_id)
    if channel is None:
        raise ChannelUnknown(channel=ChannelId(channel_id))
    return channel


def _priced(listing: Listing, channel: Channel, view: DecisionView) -> list[Sku]:
    """The first variant on offer with a price in the channel's currency, if any: the append names its version."""
    view.prefetch(PRODUCT, listing.live)
    for sku in listing.live:
        product = view.current(PRODUCT, sku)
        if product is not None and product.currency == channel.currency:
            return [sku]
    return []


def _revised(content: ListingContent, body: ReviseListing) -> ListingContent:
    given = {name: value for name in listings.PARTS if (value := getattr(body, name)) is not None}
    if body.category_ids is not None:
        given["category_ids"] = _each_once(body.category_ids)
    return replace(content, **given)


def _each_once(category_ids: Sequence[str]) -> tuple[CategoryId, ...]:
    return tuple(CategoryId(each) for each in dict.fromkeys(category_ids))
