"""Carts that are filled, priced, assigned, merged and checked out; and, while times are short, those that are left."""

from typing import Final

from tests.upgrade.history import buying, pricing
from tests.upgrade.history.catalogue import BOWL, COUNTRY, CUP
from tests.upgrade.history.customers import ADA, mail_of
from tests.upgrade.installation import Installation, Sent
from tests.upgrade.parties import POSTAGE

SHORT: Final = {
    "carrier_url": "",
    "cart_idle_s": "1",
    "cart_expires_s": "4",
    "checkout_s": "1",
    "dispatch_after_s": "1",
    "unpaid_after_s": "2",
}
"""Settings by which what is left alone is noted within seconds."""


def leave(on: Installation) -> None:
    """Leave carts, a checkout and orders alone, until the shop does something about them."""
    buying.open_cart(on, "left")
    buying.add(on, "left", CUP, 1)
    _set_address(on, "left")
    buying.open_cart(on, "late")
    buying.add(on, "late", CUP, 1)
    buying.start_checkout(on, "late")
    on.wait_for_event("cart.cart_abandoned.v1", "cart-left")
    unpaid = buying.buy(on, "unpaid", method="pm_soft")
    undispatched = buying.buy_reachably(on, "undispatched")
    on.wait_for_event("ordering.dispatch_overdue.v1", f"order-{undispatched}")
    on.wait_for_event("ordering.order_cancelled.v1", f"order-{unpaid}")
    on.wait_for_event("cart.checkout_aborted.v1", "cart-late")
    for name in ("left", "late"):
        on.wait_for_event("cart.cart_expired.v1", f"cart-{name}")


def fill(on: Installation) -> None:
    """Everything that a buyer does with a cart."""
    path = buying.open_cart(on, "whole")
    buying.add(on, "whole", CUP, 12)
    buying.add(on, "whole", BOWL, 1)
    buying.add(on, "whole", "SKU-1", 1)
    on.send(Sent("more-bowls", f"{path}/quantities", {"line_id": 2, "quantity": 3}))
    on.send(Sent("without-it", f"{path}/removals", {"line_id": 3}))
    on.send(Sent("dearer", f"/v1/products/{BOWL}/price", {"unit_price": "9.25", "currency": "GBP"}))
    agreed = [{"sku": BOWL, "unit_price": "9.25"}]
    on.send(Sent("agree", f"{path}/prices", {"agreed": agreed}))
    _merge(on)
    _set_address(on, "whole")
    on.send(Sent("shipping", f"{path}/shipping", {"option_id": POSTAGE}))
    coupon = {"code": pricing.COUPON}
    on.send(Sent("with-coupon", f"{path}/coupons", coupon))
    on.send(Sent("without-coupon", f"{path}/coupon-removals", coupon))
    on.send(Sent("with-it-again", f"{path}/coupons", coupon))
    on.send(Sent("begin", f"{path}/checkout", {}))
    on.send(Sent("think-again", f"{path}/checkout-abortion", {}))
    on.wait_for(path, lambda cart: cart.get("checkout") is None)
    checkout_id = buying.start_checkout(on, "whole", country=pricing.TAXED)
    buying.check_out(on, "whole", checkout_id, method_ref=buying.VISA)
    off = buying.open_cart(on, "off")
    buying.add(on, "off", CUP, 1)
    on.send(Sent("coupon-off", f"{off}/coupons", coupon))
    order_id = buying.check_out(on, "off", buying.start_checkout(on, "off", country=pricing.TAXED))
    on.settle(Sent("cancel-off", f"/v1/orders/{order_id}/cancellation", {"reason": "customer"}))
    on.shows("/v1/carts?customer=ada&limit=100", f"{path}/addresses")


def _merge(on: Installation) -> None:
    """Carts of nobody in particular, of which one becomes a customer's and one a part of another."""
    assigned = buying.open_cart(on, "assigned", customer=None)
    on.send(Sent("assign", f"{assigned}/assignment", {"customer_id": ADA}))
    buying.open_cart(on, "merged", customer=None)
    buying.add(on, "merged", CUP, 1)
    on.send(Sent("merge-carts", "/v1/carts/whole/merges", {"source_id": "merged", "strategy": "max"}))


def _set_address(on: Installation, name: str) -> None:
    whom = {"recipient": "Ada Lovelace", "lines": "12 St James's Square\nLondon", "email": mail_of(ADA)}
    body = {"customer_id": ADA, "country": COUNTRY, **whom}
    on.send(Sent(f"address-of-{name}", f"/v1/carts/{name}/addresses", body))
