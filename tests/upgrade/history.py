"""What each dump holds: the same commands in the same order, so that versions can be compared."""

from collections.abc import Iterator
from typing import Any, Final

from msgspec import Struct

from tests.upgrade.notes import SNAPSHOT_EVERY, UNREADABLE

ORDERS: Final = 30
SKUS: Final = tuple(f"SKU-{number}" for number in range(6))
COUNTRIES: Final = ("France", "EIRE", "United Kingdom")
WAITING_ORDER: Final = "waiting"
"""Placed while no process manager runs: its timer is set, and nobody decided."""
SKIPPED_NOTE: Final = "skipped"
PARKED_NOTE: Final = "parked"

READS: Final = (
    *(f"/v1/orders/order-{number}" for number in range(ORDERS)),
    f"/v1/orders/{WAITING_ORDER}",
    *(f"/v1/products/{sku}" for sku in SKUS),
    *(f"/v1/stock/{sku}" for sku in SKUS[:5]),
    *(f"/v1/skus/{sku}/sales" for sku in SKUS),
    "/v1/customers/customer-1/totals",
    "/v1/totals",
    "/v1/sales/daily",
    "/v1/orders?limit=100",
    "/v1/products?limit=100",
    "/v1/stock?sort=-available",
    "/v1/shipments/order-1",
    "/v1/notes/long",
    f"/v1/notes/{SKIPPED_NOTE}",
)
"""What is asked of the query API, without what depends on the time of the dump."""


class Sent(Struct, frozen=True):
    """One command, and the status with which it is answered: 201, or a refusal."""

    key: str
    path: str
    body: dict[str, Any]
    status: int = 201


BATCH: Final[dict[str, Any]] = {
    "commands": [
        *(
            {"key": f"batch-{number}", "command": "receive_stock", "target": SKUS[0], "body": {"quantity": 1}}
            for number in range(20)
        ),
        {"key": "batch-refused", "command": "receive_stock", "target": "none", "body": {"quantity": 1}},
    ]
}


def opening() -> Iterator[Sent]:
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


def orders() -> Iterator[Sent]:
    """Orders that stock allows, every seventh that it does not."""
    for number in range(ORDERS):
        wanted = 5_000 if number % 7 == 6 else 1 + number % 3
        lines = [{"sku": SKUS[number % 5], "quantity": wanted}, {"sku": SKUS[5], "quantity": 1}]
        yield order(f"order-{number}", lines=lines, customer=f"customer-{number % 4}", number=number)


def order(name: str, *, lines: list[dict[str, Any]], customer: str, number: int) -> Sent:
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


def waiting() -> Sent:
    """The order about which nobody decides."""
    return order(WAITING_ORDER, lines=[{"sku": SKUS[0], "quantity": 1}], customer="customer-1", number=1)


def afterwards() -> Iterator[Sent]:
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
