"""What can be asked about the catalogue."""

from typing import Final

from projections.catalogue.views import (
    CategoryDetails,
    ChannelDetails,
    ListingDetails,
    ProductPage,
    category_details,
    category_listing,
    channel_details,
    channel_listing,
    listing_details,
    listing_summary,
    product_page,
)
from read_api.including import each_of
from read_api.lists.declaring import Listed, ListOf, Sort, by_day, by_value
from read_api.reading.resource import Resource, only_row
from read_api.routing import ById, Documented, Include, Queries
from read_api.searching.search_routes import router as search_router
from runtime.http.principal import Browsable

PRODUCT: Final = Resource(noun="product", view=product_page, render=only_row, shared_s=60)
CHANNEL: Final = Resource(noun="channel", view=channel_details, render=only_row)
CATEGORY: Final = Resource(noun="category", view=category_details, render=only_row)
LISTING: Final = Resource(noun="listing", view=listing_details, render=only_row)

_EXAMPLE: Final = {
    "sku": "85123A",
    "title": "White hanging heart t-light holder",
    "stocked": True,
    "unit_price": "2.55",
    "currency": "GBP",
    "created_at": "2026-01-31T08:26:00Z",
    "price_changed_at": None,
}

PRODUCTS: Final = ListOf(
    path="/products",
    requires="catalogue:read",
    view=product_page,
    filters=(
        by_value(
            "stocked", "stocked", description="Only those that are kept in stock, or are not.", example=True
        ),
        *by_day("created_at", said="Created"),
    ),
    sorts=(
        Sort("sku", ("sku",), filters=("stocked",)),
        Sort("created_at", ("created_at", "sku"), filters=("stocked", "from", "to"), falling=True),
    ),
    documented=Listed(
        "list_products",
        "ProductsPage",
        "Products, by SKU or by when they were created",
        "Products that are created while paging never shift a page.",
        _EXAMPLE,
        example_ids=("85123A", "71053"),
    ),
)

PRODUCT_PAGES: Final = ById(
    "/products/{sku}",
    Browsable("catalogue:read", "pages of products are shown to everybody"),
    PRODUCT,
    Documented("get_product", "Product", ProductPage, _EXAMPLE, "85123A"),
)

_CHANNEL_EXAMPLE: Final = {
    "channel": "web-uk",
    "title": "Our own site",
    "currency": "GBP",
    "opened_at": "2026-01-31T08:26:00Z",
}
_CATEGORY_EXAMPLE: Final = {
    "category_id": "hearts",
    "parent_id": "decoration",
    "top": False,
    "slug": "hearts",
    "titles": {"en-GB": "Hearts"},
    "created_at": "2026-01-31T08:26:00Z",
}
_LISTING_EXAMPLE: Final = {
    "listing_id": "heart",
    "slug": "hanging-heart",
    "titles": {"en-GB": "Hanging heart"},
    "descriptions": {"en-GB": "Holds a tea light."},
    "tax_category": "standard",
    "category_ids": ["hearts"],
    "attributes": {"material": "wood"},
    "created_at": "2026-01-31T08:26:00Z",
    "archived": False,
    "variants": [
        {
            "sku": "85123A",
            "options": {"colour": "white"},
            "weight_g": 120,
            "added_at": "2026-01-31T08:27:00Z",
            "discontinued_at": None,
            "discontinuation_reason": None,
        }
    ],
    "media": [{"media_id": "front", "hash": "0" * 63 + "1", "alt": "A white heart on a string"}],
    "channels": [{"channel": "web-uk", "starts_at": "2026-02-01T00:00:00Z"}],
    "archived_at": None,
}
_SUMMARY_EXAMPLE: Final = {
    "listing_id": "heart",
    "slug": "hanging-heart",
    "titles": {"en-GB": "Hanging heart"},
    "created_at": "2026-01-31T08:26:00Z",
    "archived": False,
}
_ENTRY_EXAMPLE: Final = {
    "channel": "web-uk",
    "listing_id": "heart",
    "starts_at": "2026-02-01T00:00:00Z",
    "slug": "hanging-heart",
    "titles": {"en-GB": "Hanging heart"},
}

CHANNELS: Final = ListOf(
    path="/channels",
    requires="catalogue:read",
    view=channel_details,
    filters=(by_value("currency", "currency", description="Only those of this currency.", example="GBP"),),
    sorts=(Sort("channel", ("channel",), filters=("currency",)),),
    documented=Listed(
        "list_channels",
        "ChannelsPage",
        "Channels, by id",
        "Where listings can be published.",
        _CHANNEL_EXAMPLE,
        example_ids=("web-uk", "web-fr"),
    ),
)

CATEGORIES: Final = ListOf(
    path="/categories",
    requires="catalogue:read",
    view=category_details,
    filters=(
        by_value("parent", "parent_id", description="Only those under this one.", example="decoration"),
        by_value("top", "top", description="Only those at the top of the tree, or not.", example=True),
        by_value("slug", "slug", description="The one with this slug.", example="hearts", few=True),
    ),
    sorts=(Sort("category_id", ("category_id",), filters=("parent", "top", "slug")),),
    documented=Listed(
        "list_categories",
        "CategoriesPage",
        "Categories, by id",
        "Each names its parent: the whole list is the tree.",
        _CATEGORY_EXAMPLE,
        example_ids=("hearts", "decoration"),
    ),
)

LISTINGS: Final = ListOf(
    path="/listings",
    requires="catalogue:read",
    view=listing_summary,
    filters=(
        by_value(
            "archived", "archived", description="Only those that are archived, or are not.", example=False
        ),
        by_value("slug", "slug", description="The one with this slug.", example="hanging-heart", few=True),
        *by_day("created_at", said="Created"),
    ),
    sorts=(
        Sort("listing_id", ("listing_id",), filters=("archived", "slug")),
        Sort("created_at", ("created_at", "listing_id"), filters=("archived", "from", "to"), falling=True),
    ),
    documented=Listed(
        "list_listings",
        "ListingsPage",
        "Listings, by id or by when they were created",
        "All of them, published or not.",
        _SUMMARY_EXAMPLE,
        example_ids=("heart", "lantern"),
    ),
)

CHANNEL_LISTINGS: Final = ListOf(
    path="/channel-listings",
    requires="catalogue:read",
    view=channel_listing,
    filters=(
        by_value("channel", "channel", description="Only those in this channel.", example="web-uk"),
        *by_day("starts_at", said="Shown from"),
    ),
    sorts=(
        Sort(
            "starts_at",
            ("starts_at", "channel", "listing_id"),
            filters=("channel", "from", "to"),
            falling=True,
        ),
    ),
    documented=Listed(
        "list_channel_listings",
        "ChannelListingsPage",
        "Listings that are published, by channel, the newest first",
        "`to` leaves those out that are not shown yet.",
        _ENTRY_EXAMPLE,
    ),
)

CATEGORY_LISTINGS: Final = ListOf(
    path="/category-listings",
    requires="catalogue:read",
    view=category_listing,
    filters=(
        by_value("category", "category_id", description="Only those in this category.", example="hearts"),
        by_value("channel", "channel", description="Only those in this channel.", example="web-uk"),
        *by_day("starts_at", said="Shown from"),
    ),
    sorts=(
        Sort(
            "starts_at",
            ("starts_at", "category_id", "channel", "listing_id"),
            filters=("category", "channel", "from", "to"),
            falling=True,
        ),
    ),
    documented=Listed(
        "list_category_listings",
        "CategoryListingsPage",
        "Listings that are published, by category and channel, the newest first",
        "A listing is in each of its categories; those under another category are lists of their own.",
        {"category_id": "hearts", **_ENTRY_EXAMPLE},
    ),
)

LISTING_PAGES: Final = ById(
    "/listings/{listing_id}",
    "catalogue:read",
    LISTING,
    Documented("get_listing", "Listing", ListingDetails, _LISTING_EXAMPLE, "heart"),
)

QUERIES: Final = Queries(
    by_id=(
        PRODUCT_PAGES,
        LISTING_PAGES,
        ById(
            "/categories/{category_id}",
            "catalogue:read",
            CATEGORY,
            Documented("get_category", "Category", CategoryDetails, _CATEGORY_EXAMPLE, "hearts"),
        ),
        ById(
            "/channels/{channel}",
            "catalogue:read",
            CHANNEL,
            Documented("get_channel", "Channel", ChannelDetails, _CHANNEL_EXAMPLE, "web-uk"),
        ),
    ),
    lists=(PRODUCTS, LISTINGS, CATEGORIES, CHANNELS, CHANNEL_LISTINGS, CATEGORY_LISTINGS),
    router=search_router,
    includes=(
        Include(
            name="products",
            into="/orders/{order_id}",
            shown=PRODUCT_PAGES,
            ids=each_of("lines", "sku"),
            many=True,
        ),
        Include(
            name="products",
            into="/listings/{listing_id}",
            shown=PRODUCT_PAGES,
            ids=each_of("variants", "sku"),
            many=True,
        ),
    ),
)
