"""Requests about channels, categories and listings: one that is accepted after `FACTS` of each, and each refusal."""

from typing import Any, Final

from msgspec.structs import replace

from domain.catalogue.category import ANCESTORS_MAX
from domain.catalogue.listing import MEDIA_MAX, VARIANTS_MAX
from domain.event import Event
from domain.ids import CategoryId, ChannelId, ListingId, MediaId, Sku
from domain.money import Currency
from tests.catalogue_examples import (
    CONTENT,
    SHA256,
    category_created,
    channel_opened,
    listing_archived,
    listing_created,
    media_attached,
    variant_added,
)
from tests.examples import product_created

CHANNEL: Final = {"channel": "new", "title": "A till", "currency": "GBP"}
CATEGORY: Final = {"category_id": "new", "parent_id": "hearts", "slug": "new", "titles": {"en": "New"}}
LISTING: Final = {"listing_id": "new", "slug": "new", "titles": {"en": "New"}, "tax_category": "standard"}
VARIANT: Final = {"sku": "BLUE", "options": {"colour": "blue"}}
GONE: Final = {"sku": "85123A", "reason": "replaced"}
MEDIA: Final = {"media_id": "back", "hash": SHA256, "alt": "From behind"}
PUBLICATION: Final = {"channel": "web-uk"}

OF: Final = "/v1/listings"

VALID: Final[dict[str, tuple[str, Any]]] = {
    "open_channel": ("/v1/channels", CHANNEL),
    "create_category": ("/v1/categories", CATEGORY),
    "move_category": ("/v1/categories/hearts/parent", {"parent_id": "level-0"}),
    "create_listing": (OF, LISTING),
    "revise_listing": (f"{OF}/heart/revision", {"titles": {"en": "Heart"}}),
    "add_variant": (f"{OF}/heart/variants", VARIANT),
    "discontinue_variant": (f"{OF}/heart/variant-discontinuations", GONE),
    "attach_media": (f"{OF}/heart/media", MEDIA),
    "publish_listing": (f"{OF}/heart/publications", PUBLICATION),
    "unpublish_listing": (f"{OF}/heart/publication-withdrawals", PUBLICATION),
    "archive_listing": (f"{OF}/heart/archival", {}),
}


def _listing(name: str) -> Event:
    return listing_created(listing_id=ListingId(name), content=replace(CONTENT, slug=name))


def _levels() -> list[Event]:
    """A branch of the tree: as deep as it may be, and one level more, as moves of whole branches leave it."""
    names = [CategoryId(f"level-{n}") for n in range(ANCESTORS_MAX + 1)]
    parents = [None, *names]
    return [
        category_created(category_id=each, slug=each, parent_id=parent)
        for each, parent in zip(names, parents, strict=False)
    ]


FACTS: Final[tuple[Event, ...]] = (
    product_created(sku=Sku("BLUE"), unit_price=None, currency=None),
    channel_opened(),
    channel_opened(channel=ChannelId("web-fr"), currency=Currency("EUR")),
    category_created(),
    *_levels(),
    *map(_listing, ("hanging-heart", "archived", "full")),
    listing_created(content=replace(CONTENT, slug="heart")),
    variant_added(),
    listing_archived(listing_id=ListingId("archived")),
    *(
        variant_added(listing_id=ListingId("full"), sku=Sku(f"F-{n}"), options={"n": str(n)})
        for n in range(VARIANTS_MAX)
    ),
    *(media_attached(listing_id=ListingId("full"), media_id=MediaId(f"m-{n}")) for n in range(MEDIA_MAX)),
)


def _refused() -> dict[tuple[str, str], tuple[str, Any]]:
    """What every change of a listing refuses, for each of them."""
    ways = {"listing-unknown": "none", "product-archived": "archived"}
    return {
        (name, code): (path.replace("/heart/", f"/{listing_id}/"), body)
        for name, (path, body) in VALID.items()
        for code, listing_id in ways.items()
        if "/heart/" in path and (name, code) != ("archive_listing", "product-archived")
    }


REFUSED: Final[dict[tuple[str, str], tuple[str, Any]]] = {
    **_refused(),
    ("open_channel", "channel-id-taken"): ("/v1/channels", {**CHANNEL, "channel": "web-uk"}),
    ("create_category", "category-id-taken"): ("/v1/categories", {**CATEGORY, "category_id": "hearts"}),
    ("create_category", "slug-taken"): ("/v1/categories", {**CATEGORY, "slug": "hearts"}),
    ("create_category", "category-unknown"): ("/v1/categories", {**CATEGORY, "parent_id": "none"}),
    ("create_category", "category-too-deep"): (
        "/v1/categories",
        {**CATEGORY, "parent_id": f"level-{ANCESTORS_MAX}"},
    ),
    ("move_category", "category-unknown"): ("/v1/categories/none/parent", {}),
    ("move_category", "category-cycle"): ("/v1/categories/level-0/parent", {"parent_id": "level-2"}),
    ("move_category", "category-too-deep"): (
        "/v1/categories/hearts/parent",
        {"parent_id": f"level-{ANCESTORS_MAX}"},
    ),
    ("create_listing", "listing-id-taken"): (OF, {**LISTING, "listing_id": "heart"}),
    ("create_listing", "slug-taken"): (OF, {**LISTING, "slug": "heart"}),
    ("create_listing", "category-unknown"): (OF, {**LISTING, "category_ids": ["none"]}),
    ("revise_listing", "slug-taken"): (f"{OF}/heart/revision", {"slug": "full"}),
    ("revise_listing", "category-unknown"): (f"{OF}/heart/revision", {"category_ids": ["none"]}),
    ("add_variant", "product-unknown"): (f"{OF}/heart/variants", {**VARIANT, "sku": "none"}),
    ("add_variant", "sku-taken"): (f"{OF}/full/variants", {**VARIANT, "sku": "85123A"}),
    ("add_variant", "options-taken"): (f"{OF}/heart/variants", {**VARIANT, "options": {"colour": "white"}}),
    ("add_variant", "too-many-variants"): (f"{OF}/full/variants", VARIANT),
    ("discontinue_variant", "variant-unknown"): (f"{OF}/full/variant-discontinuations", GONE),
    ("attach_media", "too-many-media"): (f"{OF}/full/media", MEDIA),
    ("publish_listing", "channel-unknown"): (f"{OF}/heart/publications", {"channel": "none"}),
    ("publish_listing", "not-publishable"): (f"{OF}/heart/publications", {"channel": "web-fr"}),
}
