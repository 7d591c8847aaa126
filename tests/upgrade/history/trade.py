"""What the first releases knew already: products, stock, orders, parcels and credit notes, and notes from outside."""

import os
import signal
from collections.abc import Iterator
from typing import Any, Final

from tests.upgrade.installation import Installation, Sent
from tests.upgrade.kept import PARKED_NOTE, SKIPPED_NOTE, WAITING_ORDER
from tests.upgrade.notes import SNAPSHOT_EVERY, UNREADABLE

ORDERS: Final = 30
SKUS: Final = tuple(f"SKU-{number}" for number in range(6))
COUNTRIES: Final = ("France", "EIRE", "United Kingdom")

_READS: Final = (
    *(f"/v1/orders/order-{number}" for number in range(ORDERS)),
    f"/v1/orders/{WAITING_ORDER}",
    *(f"/v1/products/{sku}" for sku in SKUS),
    *(f"/v1/stock/{sku}" for sku in SKUS[:5]),
    *(f"/v1/skus/{sku}/sales" for sku in SKUS),
    "/v1/customers/customer-1/totals",
    "/v1/totals",
    "/v1/totals/daily?from=2025-03-01&to=2025-03-28",
    "/v1/streams/order-order-1/events",
    "/v1/sales/daily",
    "/v1/orders?limit=100",
    "/v1/products?limit=100",
    "/v1/stock?sort=-available",
    "/v1/shipments/order-1",
    "/v1/notes/long",
    f"/v1/notes/{SKIPPED_NOTE}",
)
_BATCH: Final[dict[str, Any]] = {
    "commands": [
        *(
            {"key": f"batch-{number}", "command": "receive_stock", "target": SKUS[0], "body": {"quantity": 1}}
            for number in range(20)
        ),
        {"key": "batch-refused", "command": "receive_stock", "target": "none", "body": {"quantity": 1}},
    ]
}


def fill(on: Installation) -> int:
    """Have all of it happen; the position of the note that is to be skipped."""
    positions = {sent.key: on.send(sent) for sent in _opening()}
    on.send_batch(_BATCH)
    for sent in (*_orders(), *_afterwards()):
        on.settle(sent)
    for number in range(ORDERS):
        if number % 7 != 6 and number % 3 != 2:
            on.wait_for(
                f"/v1/shipments/order-{number}", lambda found: found.get("status") in {"labelled", "refused"}
            )
    on.wait_for_views()
    on.shows(*_READS)
    return positions[f"{SKIPPED_NOTE}-2"]


def wait(on: Installation) -> None:
    """Place the order about which nobody decides, since no process manager runs from now on."""
    os.kill(on.shop.processes["processes"], signal.SIGSTOP)
    on.send(_order(WAITING_ORDER, lines=[{"sku": SKUS[0], "quantity": 1}], customer="customer-1", number=1))
    on.wait_for(f"/v1/orders/{WAITING_ORDER}", lambda found: found.get("status") == "placed")
    on.wait_for_views()


def _opening() -> Iterator[Sent]:
    """Products, prices, stock and notes."""
    for number, sku in enumerate(SKUS):
        product = {"sku": sku, "title": f"Product {number} — «ß»", "stocked": number != 5}
        price = {"unit_price": f"{number + 1}.25", "currency": "GBP"}
        yield Sent(f"product-{number}", "/v1/products", product if number == 3 else {**product, **price})
        yield Sent(
            f"price-{number}", f"/v1/products/{sku}/price", {"unit_price": f"{number}.95", "currency": "GBP"}
        )
        if product["stocked"]:
            yield Sent(
                f"receipt-{number}", f"/v1/stock/{sku}/receipts", {"quantity": 100, "reference": "first"}
            )
    yield Sent("adjustment", f"/v1/stock/{SKUS[1]}/adjustments", {"delta": -3, "reason": "damage"})
    yield Sent(
        "product-again", "/v1/products", {"sku": SKUS[0], "title": "Other", "stocked": True}, status=409
    )
    yield Sent(
        "adjustment-too-low",
        f"/v1/stock/{SKUS[1]}/adjustments",
        {"delta": -999, "reason": "loss"},
        status=409,
    )
    for number in range(2 * SNAPSHOT_EVERY + 3):
        yield Sent(f"note-{number}", "/v1/notes/long", {"author": f"author-{number % 3}"})
    for note in (SKIPPED_NOTE, PARKED_NOTE):
        yield Sent(f"{note}-1", f"/v1/notes/{note}", {"author": "ada"})
        yield Sent(f"{note}-2", f"/v1/notes/{note}", {"author": UNREADABLE})
        yield Sent(f"{note}-3", f"/v1/notes/{note}", {"author": "bob"})


def _orders() -> Iterator[Sent]:
    """Orders that stock allows, every seventh that it does not."""
    for number in range(ORDERS):
        wanted = 5_000 if number % 7 == 6 else 1 + number % 3
        lines = [{"sku": SKUS[number % 5], "quantity": wanted}, {"sku": SKUS[5], "quantity": 1}]
        yield _order(f"order-{number}", lines=lines, customer=f"customer-{number % 4}", number=number)


def _order(name: str, *, lines: list[dict[str, Any]], customer: str, number: int) -> Sent:
    """One order, of last year."""
    body = {
        "order_id": name,
        "customer_id": customer,
        "placed_at": f"2025-03-{1 + number % 28:02}T08:26:00+01:00",
        "country": COUNTRIES[number % 3],
        "currency": "GBP",
        "lines": lines,
    }
    return Sent(f"place-{name}", "/v1/orders", body)


def _afterwards() -> Iterator[Sent]:
    """What becomes of the orders, once they are decided: most are shipped, some cancelled, one is credited."""
    for number in range(ORDERS):
        name = f"/v1/orders/order-{number}"
        if number % 7 == 6:
            yield Sent(f"ship-{number}", f"{name}/shipment", {}, status=409)
        elif number % 3 == 2:
            yield Sent(f"cancel-{number}", f"{name}/cancellation", {"reason": "customer"})
        else:
            yield Sent(f"ship-{number}", f"{name}/shipment", {})
    line = {"sku": SKUS[1], "quantity": 1, "unit_price": "1.95"}
    note = {"credit_note_id": "credit-1", "order_id": "order-1", "country": "EIRE", "currency": "GBP"}
    yield Sent("credit-1", "/v1/credit-notes", {**note, "customer_id": "customer-1", "lines": [line]})
