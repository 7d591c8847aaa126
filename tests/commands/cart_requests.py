"""Requests of carts' commands: one of each that is accepted after `FACTS`, and one for each refusal."""

from typing import Any, Final

from domain.cart.cart_refusals import LINES_MAX
from domain.event import Event
from domain.ids import CartId, Sku
from domain.money import Currency
from tests.cart_examples import cart_closed, cart_opened, item_added

OF: Final = "/v1/carts"
ONE: Final = {"sku": "85123A", "quantity": 1}
MANY: Final = {"sku": "85123A", "quantity": 10_000}
LINE: Final = {"line_id": 1}

VALID: Final[dict[str, tuple[str, Any]]] = {
    "open_cart": (OF, {"currency": "GBP"}),
    "add_item": (f"{OF}/filled/items", ONE),
    "change_quantity": (f"{OF}/filled/quantities", {**LINE, "quantity": 1}),
    "remove_item": (f"{OF}/filled/removals", LINE),
    "reprice_cart": (f"{OF}/filled/prices", {}),
    "assign_cart": (f"{OF}/of-a-guest/assignment", {"customer_id": "17850"}),
    "merge_carts": (f"{OF}/filled/merges", {"source_id": "cheap", "strategy": "max"}),
}

FACTS: Final[tuple[Event, ...]] = (
    *(cart_opened(cart_id=CartId(each)) for each in ("filled", "cheap", "full", "gone", "closed", "many")),
    cart_opened(cart_id=CartId("euros"), currency=Currency("EUR")),
    cart_opened(cart_id=CartId("of-a-guest"), guest=True),
    cart_closed(cart_id=CartId("closed"), merged_into=CartId("filled")),
    item_added(cart_id=CartId("many"), quantity=10_000),
    item_added(cart_id=CartId("filled")),
    item_added(cart_id=CartId("cheap"), unit_price="2.45"),
    item_added(cart_id=CartId("gone"), sku=Sku("none")),
    *(
        item_added(cart_id=CartId("full"), line_id=number, sku=Sku(f"s-{number}"))
        for number in range(1, LINES_MAX + 1)
    ),
)

REFUSED: Final[dict[tuple[str, str], tuple[str, Any]]] = {
    ("open_cart", "cart-id-taken"): (OF, {"cart_id": "filled", "currency": "GBP"}),
    ("add_item", "too-many-lines"): (f"{OF}/full/items", ONE),
    ("add_item", "price-changed"): (f"{OF}/cheap/items", ONE),
    ("add_item", "not-offered"): (f"{OF}/filled/items", {**ONE, "sku": "none"}),
    ("add_item", "quantity-out-of-range"): (f"{OF}/filled/items", MANY),
    ("change_quantity", "line-unknown"): (f"{OF}/filled/quantities", {"line_id": 9, "quantity": 1}),
    ("change_quantity", "quantity-out-of-range"): (f"{OF}/filled/quantities", {**LINE, "quantity": 10_001}),
    ("reprice_cart", "price-changed"): (f"{OF}/cheap/prices", {}),
    ("reprice_cart", "not-offered"): (f"{OF}/gone/prices", {}),
    ("assign_cart", "cart-has-customer"): (f"{OF}/filled/assignment", {"customer_id": "17851"}),
    ("merge_carts", "same-cart"): (f"{OF}/filled/merges", {"source_id": "filled"}),
    ("merge_carts", "carts-in-two-currencies"): (f"{OF}/filled/merges", {"source_id": "euros"}),
    ("merge_carts", "too-many-lines"): (f"{OF}/full/merges", {"source_id": "filled"}),
    ("merge_carts", "quantity-out-of-range"): (f"{OF}/filled/merges", {"source_id": "many"}),
    **{
        (name, code): (path.replace("/filled/", cart).replace("/of-a-guest/", cart), body)
        for name, (path, body) in VALID.items()
        for code, cart in (("cart-unknown", "/none/"), ("cart-is-closed", "/closed/"))
        if path != OF
    },
}
