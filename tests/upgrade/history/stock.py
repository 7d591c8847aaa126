"""Stock at several locations, that is lost or waited for, and orders that are held."""

from typing import Final

from tests.upgrade.history.catalogue import COUNTRY
from tests.upgrade.installation import Installation, Sent

LAMP: Final = "LAMP"
RUG: Final = "RUG"
JUG: Final = "JUG"
NORTH: Final = "north"


def fill(on: Installation) -> None:
    """Everything that happens to stock, but for what the first releases knew."""
    for sku in (LAMP, RUG, JUG):
        product = {
            "sku": sku,
            "title": sku.title(),
            "stocked": True,
            "unit_price": "20.00",
            "currency": "GBP",
        }
        on.send(Sent(f"create-{sku}", "/v1/products", product))
        on.shows(f"/v1/stock/{sku}")
    _locations(on)
    _backorders(on)
    _losses(on)
    on.send(Sent("hold", "/v1/orders/for-lost/holds", {"reason": "fraud"}))
    on.send(Sent("ship-held", "/v1/orders/for-lost/shipment", {}, status=409))
    on.shows("/v1/located-stock", "/v1/locations", "/v1/stock-reservations?limit=100", "/v1/stock-backorders")


def _locations(on: Installation) -> None:
    """Pieces at two locations, over which an order is split."""
    on.send(Sent("north", f"/v1/locations/{NORTH}", {"priority": 10, "is_open": True}))
    _receive(on, LAMP, 5)
    _receive(on, LAMP, 5, location=NORTH)
    _order(on, "split", LAMP, 8)


def _backorders(on: Installation) -> None:
    """Orders that wait: one gets its pieces, one is cancelled, and one waits still."""
    on.send(Sent("policy", f"/v1/stock/{RUG}/backorder-policy", {"limit": 10}))
    for name in ("first", "cancelled", "patient"):
        _order(on, f"waits-{name}", RUG, 2)
    path = "/v1/orders/waits-cancelled/cancellation"
    on.settle(Sent("cancel-waiting", path, {"reason": "customer"}))
    _receive(on, RUG, 2)
    on.wait_for_event("ordering.backorder_filled.v1", "order-waits-first")


def _losses(on: Installation) -> None:
    """Reserved pieces that are lost, and others that take their place."""
    _receive(on, JUG, 10)
    _order(on, "for-lost", JUG, 3)
    lost = {"quantity": 3, "reason": "damage", "note": "water", "order_ids": ["for-lost"]}
    on.settle(Sent("lose", f"/v1/stock/{JUG}/losses", lost))
    on.settle(Sent("replace", "/v1/orders/for-lost/hold-liftings", {"reason": "stock"}))


def _receive(on: Installation, sku: str, quantity: int, *, location: str = "main") -> None:
    body = {"quantity": quantity, "location_id": location}
    on.settle(Sent(f"receive-{sku}-{location}", f"/v1/stock/{sku}/receipts", body))


def _order(on: Installation, name: str, sku: str, quantity: int) -> None:
    body = {
        "order_id": name,
        "country": COUNTRY,
        "currency": "GBP",
        "lines": [{"sku": sku, "quantity": quantity}],
    }
    on.settle(Sent(f"place-{name}", "/v1/orders", body))
    on.wait_for_event("ordering.order_confirmed.v1", f"order-{name}")
    on.shows(f"/v1/orders/{name}", f"/v1/orders/{name}/history")
