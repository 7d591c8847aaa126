"""What can be asked about carts: one by id, and those of a buyer."""

from typing import Final

from projections.cart.views import (
    CartAddresses,
    CartDetails,
    cart_addresses,
    cart_details,
    cart_summary,
)
from read_api import parameters
from read_api.lists.declaring import Listed, ListOf, Sort, by_day, by_value
from read_api.reading.resource import Resource, only_row
from read_api.routing import ById, Documented, Queries
from runtime.http.principal import Owned

CART: Final = Resource(noun="cart", view=cart_details, render=only_row, owner="customer_id")

ADDRESSES: Final = Resource(
    noun="cart with an address", view=cart_addresses, render=only_row, owner="customer_id"
)

_SUMMARY_EXAMPLE: Final = {
    "cart_id": "c-17850",
    "status": "open",
    "customer_id": "17850",
    "guest": False,
    "currency": "GBP",
    "opened_at": "2026-01-31T08:26:00Z",
}
_EXAMPLE: Final = {
    **_SUMMARY_EXAMPLE,
    "channel": "web",
    "locale": "en-GB",
    "lines": [
        {"line_id": 1, "sku": "85123A", "quantity": 6, "unit_price": "2.55", "total": 1_530, "stocked": True}
    ],
    "units": 6,
    "items": 1_530,
    "changed_at": "2026-01-31T08:31:00Z",
    "merged_into": None,
    "shipping": {"option_id": "POST", "unit_price": "4.95", "amount": 495},
    "coupon": {
        "code": "SPRING10",
        "promotion_id": "spring",
        "rule": {"skus": [], "min_amount": 0, "min_quantity": 1},
        "action": {"kind": "percent_bp", "percent_bp": 1_000, "amount": None, "buy": None, "get": None},
    },
    "discount": 153,
    "total": 1_872,
    "checkout": None,
    "abandoned_at": None,
}
_ADDRESSES_EXAMPLE: Final = {
    "cart_id": "c-17850",
    "customer_id": "17850",
    "addresses": {
        "delivery": {
            "recipient": {"shown": "plain", "text": "Ada Lovelace"},
            "lines": {"shown": "plain", "text": "12 St James's Square\nLondon SW1Y 4JH"},
            "email": {"shown": "plain", "text": "ada@example.org"},
            "country": "United Kingdom",
        }
    },
}

CARTS: Final = ListOf(
    path="/carts",
    requires=Owned("carts:read"),
    owner="customer_id",
    view=cart_summary,
    filters=(
        by_value(
            "customer",
            "customer_id",
            description="Only of this customer or guest.",
            example="17850",
            pattern=parameters.ID_PATTERN,
            few=True,
        ),
        by_value("status", "status", description="Only with this status.", example="open"),
        *by_day("opened_at", said="Opened"),
    ),
    sorts=(
        Sort(
            "opened_at", ("opened_at", "cart_id"), filters=("customer", "status", "from", "to"), falling=True
        ),
    ),
    documented=Listed(
        "list_carts",
        "CartsPage",
        "Carts, newest first",
        "A buyer finds their own here, on whatever device they opened it.",
        _SUMMARY_EXAMPLE,
        example_ids=("c-17850", "c-17851"),
    ),
)

CART_PAGES: Final = ById(
    "/carts/{cart_id}",
    Owned("carts:read"),
    CART,
    Documented("get_cart", "Cart", CartDetails, _EXAMPLE, "c-17850"),
)

CART_ADDRESSES: Final = ById(
    "/carts/{cart_id}/addresses",
    Owned("carts:read"),
    ADDRESSES,
    Documented("get_cart_addresses", "Addresses of a cart", CartAddresses, _ADDRESSES_EXAMPLE, "c-17850"),
)

QUERIES: Final = Queries(by_id=(CART_PAGES, CART_ADDRESSES), lists=(CARTS,))
