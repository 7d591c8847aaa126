"""A shop whose log is worth tampering with: two epochs, tags, decisions of process managers, views, and a seal."""

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import psycopg
from msgspec import Struct
from prometheus_client import CollectorRegistry

from commands.processes import runner
from commands.processes.metrics import ProcessMetrics
from counterfoil.contexts import CONTEXTS, SHOP_CONTEXTS
from counterfoil.testing import http
from event_store.consumers.news import News
from event_store.proofs.note import SignerKey
from event_store.proofs.tiles import Directory
from event_store.transport import generations, relay
from event_store.transport.local_transport import LocalTransport
from runtime import database
from runtime.settings import Settings
from tests.consuming import hosting
from tests.event_store.proofs.sealing import seal, sealed
from tests.projections.feeding import feeding

SKUS: Final = ("85123A", "22423", "71053", "10002")
ORDERS: Final = 9
SETTLED_WITHIN_S: Final = 120.0
KEY: Final = SignerKey("counterfoil.test/shop", bytes([7] * 32))

# The relay and all process managers stand at the head.
_BEHIND: Final = """
select h.position, (select count(*) from consumers.checkpoint c where c.position < h.position) + (
    select count(*) from transport.relay r
    where r.position < h.position and r.generation = (select max(generation) from transport.generation)
)
from log.head h
"""


class Shop(Struct, frozen=True):
    """A filled installation: its database, the folder of its tiles, and the checkpoint that an auditor kept."""

    url: str
    tiles: Path
    kept: Path


def filled(url: str, folder: Path) -> Shop:
    """Have a shop trade in an empty database, with everybody at work; then seal it, and keep the checkpoint."""
    for part in (_opening, _orders, _afterwards):
        registry = CollectorRegistry()
        carrier = relay.consumer(
            LocalTransport(url, role="counterfoil_relay", news=News()), registry=registry
        )
        deciding = runner.consumers(CONTEXTS.processes_of(Settings()), metrics=ProcessMetrics(registry))
        with hosting(url, [carrier, *deciding], registry=registry):
            asyncio.run(_send(url, list(part())))
            _settle(url)
        with feeding(url, CONTEXTS.views) as feeder:
            feeder.catch_up()
        if part is _orders:
            with database.connect(url, role="counterfoil_owner", name="test") as connection:
                generations.fence(connection, reason="a drill", empty_documents=lambda: None)
    asyncio.run(_send(url, list(_waiting())))
    seal(url, Directory(folder / "seal"), KEY)
    kept = folder / "kept.checkpoint"
    kept.write_text(sealed(url).checkpoint)
    return Shop(url, folder / "seal", kept)


def _opening() -> Iterator[tuple[str, dict[str, Any]]]:
    for number, sku in enumerate(SKUS):
        priced = {"unit_price": f"{number + 1}.25", "currency": "GBP"}
        yield "/v1/products", {"sku": sku, "title": f"Product {number}", "stocked": True, **priced}
        yield f"/v1/stock/{sku}/receipts", {"quantity": 100, "reference": f"delivery {number}"}


def _orders() -> Iterator[tuple[str, dict[str, Any]]]:
    for number in range(ORDERS):
        lines = [{"sku": SKUS[number % 4], "quantity": 1 + number}, {"sku": SKUS[0], "quantity": 1}]
        buyer = {"customer_id": f"customer-{number % 3}", "country": "Italy", "currency": "GBP"}
        yield "/v1/orders", {"order_id": f"{1001 + number}", **buyer, "lines": lines}


def _afterwards() -> Iterator[tuple[str, dict[str, Any]]]:
    for number in range(0, ORDERS, 3):
        yield f"/v1/orders/{1001 + number}/shipment", {}
        line = {"sku": SKUS[0], "quantity": 1, "unit_price": "1.25"}
        note = {"credit_note_id": f"C{number}", "order_id": f"{1001 + number}", "country": "Italy"}
        yield "/v1/credit-notes", {**note, "currency": "GBP", "lines": [line]}
    yield "/v1/orders/1002/cancellation", {"reason": "customer"}
    for sku in SKUS:
        yield f"/v1/stock/{sku}/adjustments", {"delta": -1, "reason": "damage"}


def _waiting() -> Iterator[tuple[str, dict[str, Any]]]:
    """What nobody has followed yet: an order without a decision, and a delivery."""
    buyer = {"customer_id": "customer-1", "country": "Italy", "currency": "GBP"}
    yield "/v1/orders", {"order_id": "2001", **buyer, "lines": [{"sku": SKUS[1], "quantity": 1}]}
    yield f"/v1/stock/{SKUS[1]}/receipts", {"quantity": 5, "reference": "last delivery"}


async def _send(url: str, commands: list[tuple[str, dict[str, Any]]]) -> None:
    async with http.opened(url, *SHOP_CONTEXTS) as api:
        for path, body in commands:
            answer = await api.post(path, body)
            assert answer.status == 201, json.dumps(answer.body)


def _settle(url: str) -> None:
    """Wait until nothing follows from anything any more."""
    deadline_s, seen = time.monotonic() + SETTLED_WITHIN_S, None
    with psycopg.connect(url, autocommit=True) as connection:
        while (found := connection.execute(_BEHIND).fetchone()) != seen or (found and found[1]):
            seen = found
            assert time.monotonic() < deadline_s, f"not settled: {found}"
            time.sleep(0.3)
