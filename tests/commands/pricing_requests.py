"""Requests of pricing's commands: one of each that is accepted after `FACTS`, and one for each refusal."""

from typing import Any, Final

from domain.event import Event
from tests.pricing_examples import price_set

PRICE: Final = {"list_id": "new", "unit_price": "1.95", "currency": "GBP"}
RATE: Final = {"tax_category": "standard", "rate_bp": 2_000, "included": True}

PRICES_OF: Final = "/v1/products/{}/prices"

VALID: Final[dict[str, tuple[str, Any]]] = {
    "set_price": (PRICES_OF.format("85123A"), PRICE),
    "retire_price": ("/v1/products/85123A/price-retirements", {"price_id": "p-1"}),
    "set_tax_rate": ("/v1/tax-tables/GB/rates", RATE),
}

FACTS: Final[tuple[Event, ...]] = (price_set(),)

REFUSED: Final[dict[tuple[str, str], tuple[str, Any]]] = {
    ("set_price", "product-unknown"): (PRICES_OF.format("none"), PRICE),
    ("set_price", "price-id-taken"): (PRICES_OF.format("85123A"), {**PRICE, "price_id": "p-1"}),
    ("set_price", "overlapping-price"): (PRICES_OF.format("85123A"), {**PRICE, "list_id": "retail"}),
    ("set_price", "empty-window"): (
        PRICES_OF.format("85123A"),
        {**PRICE, "valid_from": "2026-02-01T00:00:00Z", "valid_until": "2026-02-01T00:00:00Z"},
    ),
    ("retire_price", "price-unknown"): ("/v1/products/85123A/price-retirements", {"price_id": "none"}),
}
