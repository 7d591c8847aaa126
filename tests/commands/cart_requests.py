"""Requests of carts' commands: one of each that is accepted after `FACTS`, and one for each refusal."""

from typing import Any, Final

from domain.cart.cart_refusals import LINES_MAX
from domain.event import Event
from domain.ids import (
    CartId,
    CheckoutId,
    CouponId,
    CustomerId,
    JurisdictionId,
    OrderId,
    Sku,
    TaxCategoryId,
)
from domain.money import Currency, UnitPrice
from tests.cart_examples import (
    CHECKOUT,
    cart_closed,
    cart_opened,
    checkout_started,
    coupon_applied,
    item_added,
    line_off,
    promotion_off,
    totals,
)
from tests.examples import placed, product_created
from tests.pricing_examples import tax_rate_set

OF: Final = "/v1/carts"
ONE: Final = {"sku": "85123A", "quantity": 1}
MANY: Final = {"sku": "85123A", "quantity": 10_000}
ADDRESS: Final = {"customer_id": "known", "recipient": "Ada", "lines": "1 High Street", "country": "Italy"}
ORDER: Final = {"checkout_id": f"{CHECKOUT}.known", "customer_id": "known", "contact": {"name": "Ada"}}
LINE: Final = {"line_id": 1}
COUPON: Final = {"code": "spring 10"}

VALID: Final[dict[str, tuple[str, Any]]] = {
    "open_cart": (OF, {"currency": "GBP"}),
    "add_item": (f"{OF}/filled/items", ONE),
    "change_quantity": (f"{OF}/filled/quantities", {**LINE, "quantity": 1}),
    "remove_item": (f"{OF}/filled/removals", LINE),
    "reprice_cart": (f"{OF}/filled/prices", {}),
    "assign_cart": (f"{OF}/of-a-guest/assignment", {"customer_id": "17850"}),
    "merge_carts": (f"{OF}/filled/merges", {"source_id": "cheap", "strategy": "max"}),
    "set_address": (f"{OF}/of-known/addresses", ADDRESS),
    "choose_shipping": (f"{OF}/filled/shipping", {"option_id": "POST-GBP"}),
    "apply_coupon": (f"{OF}/filled/coupons", COUPON),
    "remove_coupon": (f"{OF}/with-a-coupon/coupon-removals", COUPON),
    "start_checkout": (f"{OF}/filled/checkout", {"country": "Italy"}),
    "abort_checkout": (f"{OF}/frozen/checkout-abortion", {}),
    "check_out": (f"{OF}/of-known-frozen/order", ORDER),
}

_TOTALS: Final = totals(510)
_DISCOUNTED: Final = {
    "totals": totals(510, discount=51),
    "discounts": (line_off(51),),
    "promotions": (promotion_off(51),),
}


def _promised(code: str, order_id: str) -> tuple[Event, ...]:
    """A cart, named like its order, whose checkout promised what a coupon takes off."""
    of = {"cart_id": CartId(order_id)}
    promised = {**_DISCOUNTED, "promotions": (promotion_off(51, CouponId(code)),)}
    ids = {"checkout_id": CheckoutId(order_id), "order_id": OrderId(order_id)}
    return cart_opened(**of), item_added(**of), checkout_started(**of, **ids, **promised)


FACTS: Final[tuple[Event, ...]] = (
    *(cart_opened(cart_id=CartId(each)) for each in ("filled", "cheap", "full", "gone", "closed", "many")),
    cart_opened(cart_id=CartId("euros"), currency=Currency("EUR")),
    cart_opened(cart_id=CartId("of-a-guest"), guest=True),
    cart_closed(cart_id=CartId("closed"), merged_into=CartId("filled")),
    item_added(cart_id=CartId("many"), quantity=10_000),
    product_created(sku=Sku("POST-GBP"), stocked=False, unit_price=UnitPrice("4.95")),
    product_created(sku=Sku("gold"), unit_price=UnitPrice("999999999")),
    cart_opened(cart_id=CartId("golden")),
    item_added(cart_id=CartId("golden"), sku=Sku("gold"), unit_price=UnitPrice("999999999"), quantity=10_000),
    cart_opened(cart_id=CartId("frozen")),
    item_added(cart_id=CartId("frozen")),
    checkout_started(cart_id=CartId("frozen"), totals=_TOTALS),
    cart_opened(cart_id=CartId("taking"), customer_id=CustomerId("known")),
    item_added(cart_id=CartId("taking")),
    checkout_started(
        cart_id=CartId("taking"), checkout_id=CheckoutId("taken"), order_id=OrderId("taken"), totals=_TOTALS
    ),
    placed(order_id=OrderId("taken")),
    *(
        event
        for customer in ("known", "closed", "erased", "nobody")
        for event in (
            cart_opened(cart_id=CartId(f"of-{customer}"), customer_id=CustomerId(customer)),
            cart_opened(cart_id=CartId(f"of-{customer}-frozen"), customer_id=CustomerId(customer)),
            item_added(cart_id=CartId(f"of-{customer}-frozen")),
            checkout_started(
                cart_id=CartId(f"of-{customer}-frozen"),
                checkout_id=CheckoutId(f"{CHECKOUT}.{customer}"),
                order_id=OrderId(f"{CHECKOUT}.{customer}"),
                **_DISCOUNTED,
            ),
        )
    ),
    *(
        event
        for cart, code in (("with-a-coupon", "SPRING10"), ("used-up", "ONCE"), ("ended", "OVER"))
        for event in (
            cart_opened(cart_id=CartId(cart)),
            item_added(cart_id=CartId(cart)),
            coupon_applied(cart_id=CartId(cart), code=CouponId(code)),
        )
    ),
    *_promised("ONCE", "promised-used-up"),
    *_promised("OVER", "promised-ended"),
    *_promised("SPRING10", "r-1"),
    item_added(cart_id=CartId("filled")),
    tax_rate_set(jurisdiction=JurisdictionId("Elsewhere"), tax_category=TaxCategoryId("reduced")),
    item_added(cart_id=CartId("cheap"), unit_price="2.45"),
    item_added(cart_id=CartId("gone"), sku=Sku("none")),
    *(
        item_added(cart_id=CartId("full"), line_id=number, sku=Sku(f"s-{number}"))
        for number in range(1, LINES_MAX + 1)
    ),
)

_UNFIT: Final = {"nobody": "customer-unknown", "closed": "record-is-closed", "erased": "customer-erased"}

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
    ("set_address", "not-the-buyer"): (f"{OF}/filled/addresses", ADDRESS),
    ("choose_shipping", "shipping-not-offered"): (f"{OF}/filled/shipping", {"option_id": "85123A"}),
    ("choose_shipping", "not-offered"): (f"{OF}/filled/shipping", {"option_id": "POST"}),
    ("start_checkout", "cart-empty"): (f"{OF}/of-known/checkout", {"country": "Italy"}),
    ("start_checkout", "country-missing"): (f"{OF}/filled/checkout", {}),
    ("start_checkout", "price-changed"): (f"{OF}/cheap/checkout", {"country": "Italy"}),
    ("start_checkout", "not-offered"): (f"{OF}/gone/checkout", {"country": "Italy"}),
    ("start_checkout", "amount-too-large"): (f"{OF}/golden/checkout", {"country": "Italy"}),
    ("start_checkout", "missing-tax-rate"): (f"{OF}/filled/checkout", {"country": "Elsewhere"}),
    ("start_checkout", "coupon-exhausted"): (f"{OF}/used-up/checkout", {"country": "Italy"}),
    ("start_checkout", "coupon-not-applicable"): (f"{OF}/ended/checkout", {"country": "Italy"}),
    ("apply_coupon", "cart-has-coupon"): (f"{OF}/with-a-coupon/coupons", {"code": "once"}),
    ("apply_coupon", "coupon-unknown"): (f"{OF}/filled/coupons", {"code": "none"}),
    ("apply_coupon", "coupon-exhausted"): (f"{OF}/filled/coupons", {"code": "once"}),
    ("apply_coupon", "coupon-not-applicable"): (f"{OF}/filled/coupons", {"code": "over"}),
    ("check_out", "coupon-exhausted"): (
        f"{OF}/promised-used-up/order",
        {"checkout_id": "promised-used-up"},
    ),
    ("check_out", "coupon-not-applicable"): (
        f"{OF}/promised-ended/order",
        {"checkout_id": "promised-ended"},
    ),
    ("check_out", "redemption-id-taken"): (f"{OF}/r-1/order", {"checkout_id": "r-1"}),
    ("check_out", "checkout-over"): (f"{OF}/filled/order", ORDER),
    ("check_out", "card-number-given"): (
        f"{OF}/of-known-frozen/order",
        {**ORDER, "method_ref": "4111111111111111"},
    ),
    ("check_out", "order-id-taken"): (f"{OF}/taking/order", {"checkout_id": "taken"}),
    ("check_out", "not-the-buyer"): (f"{OF}/of-known-frozen/order", {**ORDER, "customer_id": "guest"}),
    **{
        ("set_address", code): (f"{OF}/of-{customer}/addresses", {**ADDRESS, "customer_id": customer})
        for customer, code in _UNFIT.items()
    },
    **{
        ("check_out", code): (
            f"{OF}/of-{customer}-frozen/order",
            {**ORDER, "customer_id": customer, "checkout_id": f"{CHECKOUT}.{customer}"},
        )
        for customer, code in _UNFIT.items()
    },
    **{
        (name, code): (f"{OF}/{cart}/{path.rpartition('/')[2]}", body)
        for name, (path, body) in VALID.items()
        for code, cart in (("cart-unknown", "none"), ("cart-is-closed", "closed"), ("cart-frozen", "frozen"))
        if path != OF
        and (code, name) not in {("cart-frozen", "abort_checkout"), ("cart-frozen", "check_out")}
    },
}
