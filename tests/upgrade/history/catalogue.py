"""Channels, categories, listings, and the products that other parts of the history sell."""

from typing import Final

from tests.upgrade.installation import Installation, Sent
from tests.upgrade.parties import POSTAGE

CUP: Final = "CUP"
BOWL: Final = "BOWL"
VASE: Final = "VASE"

CHANNEL: Final = "web"
COUNTRY: Final = "United Kingdom"

_PRICES: Final = {CUP: "12.50", BOWL: "8.25", VASE: "30.00", POSTAGE: "4.95"}


def fill(on: Installation) -> None:
    """Everything that a shop does with its catalogue."""
    for sku, price in _PRICES.items():
        product = {"sku": sku, "title": f"A {sku.lower()}", "stocked": sku != POSTAGE}
        on.send(Sent(f"create-{sku}", "/v1/products", {**product, "unit_price": price, "currency": "GBP"}))
        if sku != POSTAGE:
            on.send(Sent(f"receive-{sku}", f"/v1/stock/{sku}/receipts", {"quantity": 200}))
    _categories(on)
    _listings(on)
    on.shows(
        "/v1/product-search?q=cups", "/v1/channel-listings?channel=web", "/v1/channels", "/v1/channels/web"
    )


def _categories(on: Installation) -> None:
    for name, parent in (("home", None), ("table", "home"), ("gifts", "table")):
        body = {"category_id": name, "parent_id": parent, "slug": name, "titles": {"en": name.title()}}
        on.send(Sent(f"category-{name}", "/v1/categories", body))
    on.send(Sent("move-gifts", "/v1/categories/gifts/parent", {"parent_id": "home"}))
    on.shows("/v1/categories", "/v1/categories/gifts", "/v1/category-listings?category=home")


def _listings(on: Installation) -> None:
    on.send(Sent("channel", "/v1/channels", {"channel": CHANNEL, "title": "Our site", "currency": "GBP"}))
    for name, sku in (("cups", CUP), ("vases", VASE)):
        path = f"/v1/listings/{name}"
        content = {"slug": name, "titles": {"en": name.title()}, "tax_category": "standard"}
        on.send(
            Sent(f"list-{name}", "/v1/listings", {"listing_id": name, **content, "category_ids": ["table"]})
        )
        on.send(Sent(f"variant-{name}", f"{path}/variants", {"sku": sku, "options": {"colour": "blue"}}))
        picture = {"media_id": "front", "hash": "0" * 63 + "1", "alt": "Seen from the front"}
        on.send(Sent(f"media-{name}", f"{path}/media", picture))
        on.send(Sent(f"publish-{name}", f"{path}/publications", {"channel": CHANNEL}))
    bowl = {"sku": BOWL, "options": {"colour": "red"}, "weight_g": 250}
    on.send(Sent("variant-bowl", "/v1/listings/cups/variants", bowl))
    revised = {
        "titles": {"en": "Cups and bowls", "de": "Tassen und Schalen"},
        "attributes": {"material": "clay"},
    }
    on.send(Sent("revise-cups", "/v1/listings/cups/revision", revised))
    gone = {"sku": VASE, "reason": "replaced"}
    on.send(Sent("discontinue-vase", "/v1/listings/vases/variant-discontinuations", gone))
    on.send(Sent("withdraw-vases", "/v1/listings/vases/publication-withdrawals", {"channel": CHANNEL}))
    on.send(Sent("archive-vases", "/v1/listings/vases/archival", {}))
    on.shows("/v1/listings/cups", "/v1/listings/vases", "/v1/listings")
