"""A cart that becomes an order: what other parts of the history begin with."""

from typing import Any, Final

from tests.upgrade.history.catalogue import CHANNEL, COUNTRY, CUP
from tests.upgrade.history.customers import ADA, mail_of
from tests.upgrade.installation import Installation, Sent

VISA: Final = "pm_visa"


def open_cart(on: Installation, name: str, *, customer: str | None = ADA) -> str:
    """Open a cart; its path."""
    body = {
        "cart_id": name,
        "customer_id": customer,
        "currency": "GBP",
        "channel": CHANNEL,
        "locale": "en-GB",
    }
    on.send(Sent(f"open-{name}", "/v1/carts", body))
    on.shows(f"/v1/carts/{name}")
    return f"/v1/carts/{name}"


def add(on: Installation, name: str, sku: str, quantity: int) -> None:
    """Put pieces into a cart."""
    on.send(Sent(f"add-{sku}-{name}", f"/v1/carts/{name}/items", {"sku": sku, "quantity": quantity}))


def start_checkout(on: Installation, name: str, *, country: str = COUNTRY) -> str:
    """Freeze a cart; the id that its order will have."""
    on.send(Sent(f"checkout-{name}", f"/v1/carts/{name}/checkout", {"country": country}))
    found = on.wait_for(f"/v1/carts/{name}", lambda cart: cart.get("checkout") is not None)
    return str(found["checkout"]["checkout_id"])


def check_out(on: Installation, name: str, checkout_id: str, **more: Any) -> str:
    """Place the order of a frozen cart; its id."""
    body = {"checkout_id": checkout_id, "customer_id": ADA, **more}
    on.settle(Sent(f"order-of-{name}", f"/v1/carts/{name}/order", body))
    on.shows(f"/v1/orders/{checkout_id}", f"/v1/orders/{checkout_id}/history")
    if more.get("method_ref") is not None:
        on.shows(f"/v1/orders/{checkout_id}/payments")
    return checkout_id


def buy(
    on: Installation, name: str, *, method: str | None = VISA, sku: str = CUP, country: str = COUNTRY
) -> str:
    """Buy two pieces, by a method of the payment provider if there is one; the id of the order."""
    open_cart(on, name)
    add(on, name, sku, 2)
    return check_out(on, name, start_checkout(on, name, country=country), method_ref=method)


def buy_reachably(on: Installation, name: str) -> str:
    """The same without a payment, by somebody who is written to about it."""
    open_cart(on, name)
    add(on, name, CUP, 1)
    contact = {"name": "Ada Lovelace", "email": mail_of(ADA), "address": "12 St James's Square\nLondon"}
    order_id = check_out(on, name, start_checkout(on, name), contact=contact)
    on.shows(f"/v1/orders/{order_id}/contact")
    return order_id


def ship(on: Installation, order_id: str) -> None:
    """Send an order off, with a label by hand where the carrier sells none."""
    on.wait_for_event("ordering.order_confirmed.v1", f"order-{order_id}")
    on.settle(Sent(f"ship-{order_id}", f"/v1/orders/{order_id}/shipment", {}))
    path = f"/v1/shipments/{order_id}"
    found = on.wait_for(path, lambda shipment: shipment.get("status") in {"labelled", "refused"})
    if found["status"] == "refused":
        by_hand = {"tracking": f"BY-HAND-{order_id[-12:]}"}
        on.send(Sent(f"label-{order_id}", f"/v1/orders/{order_id}/shipment/manual-label", by_hand))
    on.shows(path)
