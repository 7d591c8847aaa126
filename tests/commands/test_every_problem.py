"""Every problem that a command documents is one that HTTP answers: each is brought about once per command."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from msgspec import structs
from prometheus_client import CollectorRegistry

from commands import limits
from commands.dispatcher import Dispatcher
from commands.log_polling import LogPoller
from commands.personal_data import NOT_CONFIGURED
from commands.routing import CommandRoute
from counterfoil.contexts import CONTEXTS
from counterfoil.testing.http import Answered, documented
from counterfoil.testing.plugin import NewDatabase
from domain.inventory import locations
from domain.pricing import price, tax_table
from event_store.log import reading
from event_store.log.appending import limits as append_limits
from event_store.log.appending.errors import OutcomeUnknown, WriterClosed
from event_store.log.appending.writer import Writer
from runtime.http import pipeline
from runtime.http.exchange import Exchange
from runtime.http.identity import TokenCallers
from runtime.http.limiting import RequestLimits
from runtime.http.principal import NOBODY, Principal
from runtime.identity.metrics import IdentityMetrics
from runtime.keyring.errors import KeysUnreachable
from runtime.keyring.keyring import Keyring
from runtime.quotas.limiter import Limiter
from runtime.quotas.quota import Quota
from runtime.quotas.shared_windows import SharedWindows
from tests.commands import (
    acted_on,
    cart_requests,
    catalogue_requests,
    customer_requests,
    mail_requests,
    payment_requests,
    pricing_requests,
    shipping_requests,
)
from tests.commands.conftest import opened
from tests.commands.http_spec import Shop
from tests.examples import (
    LINES,
    cancelled,
    confirmed,
    pause_requested,
    placed,
    product_created,
    rejected,
    shipped,
    stock_received,
    stock_reserved,
)
from tests.purchase_examples import location_set, order_held, order_stock_lost

pytestmark = pytest.mark.anyio

MAXIMUM = {"sku": "85123A", "quantity": 10_000_000, "unit_price": "999999999"}
ORDER = {"country": "x", "currency": "GBP", "lines": [{"sku": "85123A", "quantity": 1}]}
NOTE = {
    "country": "United Kingdom",
    "currency": "GBP",
    "lines": [{"sku": "85123A", "quantity": 1, "unit_price": "1"}],
}
PRICE = {"unit_price": "9.99", "currency": "GBP"}
PRODUCT = {"sku": "new", "title": "New", "stocked": True}
DAMAGE = {"delta": -1, "reason": "damage"}
LOSS = {"quantity": 1, "reason": "damage", "order_ids": ["reserved"]}
NOWHERE = {"location_id": "nowhere"}
SKIP = {"partition_key": "order-placed", "position": 4, "reason": "entered twice"}
FOR_ADA = {**ORDER, "customer_id": "known", "contact": {"name": "Ada"}}
PARKED_ELSEWHERE = {**SKIP, "position": 5}
DECIDED = {**SKIP, "partition_key": "order-confirmed", "position": 5}
VALID: dict[str, tuple[str, Any]] = {
    "create_product": ("/v1/products", PRODUCT),
    "change_price": ("/v1/products/85123A/price", PRICE),
    "receive_stock": ("/v1/stock/85123A/receipts", {"quantity": 1}),
    "adjust_stock": ("/v1/stock/85123A/adjustments", DAMAGE),
    "record_stock_loss": ("/v1/stock/85123A/losses", LOSS),
    "set_backorder_policy": ("/v1/stock/85123A/backorder-policy", {"limit": 20}),
    "set_location": ("/v1/locations/new", {"priority": 10, "is_open": True}),
    "place_order": ("/v1/orders", FOR_ADA),
    "cancel_order": ("/v1/orders/placed/cancellation", {"reason": "staff"}),
    "hold_order": ("/v1/orders/placed/holds", {"reason": "fraud"}),
    "lift_order_hold": ("/v1/orders/held/hold-liftings", {"reason": "payment"}),
    "ship_order": ("/v1/orders/confirmed/shipment", {}),
    "issue_credit_note": ("/v1/credit-notes", NOTE),
    "request_label": ("/v1/orders/shipped/shipment/label", {}),
    "retry_key": ("/v1/operations/consumers/order_details/retries", {"partition_key": "order-placed"}),
    "skip_event": ("/v1/operations/consumers/order_details/skips", SKIP),
    "pause_consumer": ("/v1/operations/consumers/relay/pauses", {}),
    "resume_consumer": ("/v1/operations/consumers/timers/resumptions", {}),
    "rebuild_view": ("/v1/operations/views/one_build/rebuilds", {}),
    "promote_build": ("/v1/operations/views/two_builds/promotions", {}),
    "roll_back_view": ("/v1/operations/views/two_builds/rollbacks", {}),
    "drop_build": ("/v1/operations/views/two_builds/drops", {}),
    **customer_requests.VALID,
    **pricing_requests.VALID,
    **shipping_requests.VALID,
    **payment_requests.VALID,
    **mail_requests.VALID,
    **cart_requests.VALID,
    **catalogue_requests.VALID,
}
"""A request of each command that is accepted after `FACTS`."""

FACTS = (
    product_created(),
    product_created(sku="POST", stocked=False, unit_price=None, currency=None),
    stock_received(),
    placed(order_id="placed"),
    placed(order_id="confirmed"),
    confirmed(order_id="confirmed"),
    placed(order_id="shipped"),
    confirmed(order_id="shipped"),
    shipped(order_id="shipped"),
    placed(order_id="postage", lines=(LINES[1],)),
    confirmed(order_id="postage"),
    shipped(order_id="postage", skus=()),
    placed(order_id="held"),
    confirmed(order_id="held"),
    order_held(order_id="held"),
    placed(order_id="lost", lines=(structs.replace(LINES[0], sku="71053"), LINES[1])),
    confirmed(order_id="lost"),
    order_stock_lost(order_id="lost", sku="71053"),
    order_held(order_id="lost", reason="stock"),
    placed(order_id="reserved"),
    confirmed(order_id="reserved"),
    stock_reserved(order_id="reserved"),
    placed(order_id="off"),
    cancelled(order_id="off"),
    placed(order_id="rejected"),
    rejected(order_id="rejected"),
    location_set(location_id="closed", is_open=False),
    pause_requested(consumer="timers"),
    *customer_requests.FACTS,
    *pricing_requests.FACTS,
    *shipping_requests.FACTS,
    *payment_requests.FACTS,
    *mail_requests.FACTS,
    *cart_requests.FACTS,
    *catalogue_requests.FACTS,
)

REFUSED: dict[tuple[str, str], tuple[str, Any]] = {
    ("create_product", "sku-taken"): ("/v1/products", {**PRODUCT, "sku": "85123A"}),
    ("create_product", "price-without-currency"): ("/v1/products", {**PRODUCT, "unit_price": "1"}),
    ("change_price", "product-unknown"): ("/v1/products/none/price", PRICE),
    ("receive_stock", "product-unknown"): ("/v1/stock/none/receipts", {"quantity": 1}),
    ("receive_stock", "not-stocked"): ("/v1/stock/POST/receipts", {"quantity": 1}),
    ("adjust_stock", "product-unknown"): ("/v1/stock/none/adjustments", DAMAGE),
    ("adjust_stock", "not-stocked"): ("/v1/stock/POST/adjustments", DAMAGE),
    ("adjust_stock", "insufficient-stock"): ("/v1/stock/85123A/adjustments", {**DAMAGE, "delta": -99_999}),
    ("receive_stock", "location-unknown"): ("/v1/stock/85123A/receipts", {"quantity": 1, **NOWHERE}),
    ("receive_stock", "location-closed"): (
        "/v1/stock/85123A/receipts",
        {"quantity": 1, "location_id": "closed"},
    ),
    ("adjust_stock", "location-unknown"): ("/v1/stock/85123A/adjustments", {**DAMAGE, **NOWHERE}),
    ("record_stock_loss", "location-unknown"): ("/v1/stock/85123A/losses", {**LOSS, **NOWHERE}),
    ("record_stock_loss", "product-unknown"): ("/v1/stock/none/losses", LOSS),
    ("record_stock_loss", "not-stocked"): ("/v1/stock/POST/losses", LOSS),
    ("record_stock_loss", "insufficient-stock"): ("/v1/stock/85123A/losses", {**LOSS, "quantity": 99_999}),
    ("record_stock_loss", "order-unknown"): ("/v1/stock/85123A/losses", {**LOSS, "order_ids": ["none"]}),
    ("record_stock_loss", "not-confirmed"): ("/v1/stock/85123A/losses", {**LOSS, "order_ids": ["placed"]}),
    ("record_stock_loss", "nothing-reserved"): ("/v1/stock/85123A/losses", {**LOSS, "order_ids": ["lost"]}),
    ("set_backorder_policy", "product-unknown"): ("/v1/stock/none/backorder-policy", {"limit": 20}),
    ("set_backorder_policy", "not-stocked"): ("/v1/stock/POST/backorder-policy", {"limit": 20}),
    ("place_order", "order-id-taken"): ("/v1/orders", {**ORDER, "order_id": "placed"}),
    ("place_order", "unknown-sku"): ("/v1/orders", {**ORDER, "lines": [{"sku": "none", "quantity": 1}]}),
    ("place_order", "no-list-price"): ("/v1/orders", {**ORDER, "lines": [{"sku": "POST", "quantity": 1}]}),
    ("place_order", "amount-too-large"): ("/v1/orders", {**ORDER, "lines": [MAXIMUM]}),
    ("place_order", "customer-unknown"): ("/v1/orders", {**FOR_ADA, "customer_id": "nobody"}),
    ("place_order", "record-is-closed"): ("/v1/orders", {**FOR_ADA, "customer_id": "closed"}),
    ("place_order", "customer-erased"): ("/v1/orders", {**FOR_ADA, "customer_id": "erased"}),
    ("cancel_order", "order-unknown"): ("/v1/orders/none/cancellation", {"reason": "staff"}),
    ("cancel_order", "already-shipped"): ("/v1/orders/shipped/cancellation", {"reason": "staff"}),
    ("cancel_order", "already-rejected"): ("/v1/orders/rejected/cancellation", {"reason": "staff"}),
    ("hold_order", "order-unknown"): ("/v1/orders/none/holds", {"reason": "fraud"}),
    ("hold_order", "already-shipped"): ("/v1/orders/shipped/holds", {"reason": "fraud"}),
    ("hold_order", "already-rejected"): ("/v1/orders/rejected/holds", {"reason": "fraud"}),
    ("hold_order", "already-cancelled"): ("/v1/orders/off/holds", {"reason": "fraud"}),
    ("lift_order_hold", "order-unknown"): ("/v1/orders/none/hold-liftings", {"reason": "fraud"}),
    ("lift_order_hold", "insufficient-stock"): ("/v1/orders/lost/hold-liftings", {"reason": "stock"}),
    ("ship_order", "order-unknown"): ("/v1/orders/none/shipment", {}),
    ("ship_order", "not-confirmed"): ("/v1/orders/placed/shipment", {}),
    ("ship_order", "order-is-held"): ("/v1/orders/held/shipment", {}),
    ("request_label", "order-unknown"): ("/v1/orders/none/shipment/label", {}),
    ("request_label", "not-shipped"): ("/v1/orders/confirmed/shipment/label", {}),
    ("request_label", "nothing-to-send"): ("/v1/orders/postage/shipment/label", {}),
    ("retry_key", "key-not-parked"): (
        "/v1/operations/consumers/order_details/retries",
        {"partition_key": "order-none"},
    ),
    ("skip_event", "key-not-parked"): ("/v1/operations/consumers/nobody/skips", SKIP),
    ("skip_event", "parked-elsewhere"): ("/v1/operations/consumers/order_details/skips", PARKED_ELSEWHERE),
    ("skip_event", "already-skipped"): ("/v1/operations/consumers/skipping/skips", SKIP),
    ("skip_event", "already-decided"): ("/v1/operations/consumers/fulfilment/skips", DECIDED),
    ("pause_consumer", "consumer-unknown"): ("/v1/operations/consumers/acts/pauses", {}),
    ("resume_consumer", "consumer-unknown"): ("/v1/operations/consumers/nobody/resumptions", {}),
    ("resume_consumer", "not-paused"): ("/v1/operations/consumers/relay/resumptions", {}),
    ("rebuild_view", "view-unknown"): ("/v1/operations/views/none/rebuilds", {}),
    ("rebuild_view", "too-many-builds"): ("/v1/operations/views/two_builds/rebuilds", {}),
    ("promote_build", "view-unknown"): ("/v1/operations/views/none/promotions", {}),
    ("promote_build", "no-other-build"): ("/v1/operations/views/one_build/promotions", {}),
    ("promote_build", "still-folding"): ("/v1/operations/views/folding/promotions", {}),
    ("roll_back_view", "view-unknown"): ("/v1/operations/views/none/rollbacks", {}),
    ("roll_back_view", "no-other-build"): ("/v1/operations/views/one_build/rollbacks", {}),
    ("drop_build", "view-unknown"): ("/v1/operations/views/none/drops", {}),
    ("drop_build", "no-other-build"): ("/v1/operations/views/one_build/drops", {}),
    ("issue_credit_note", "credit-note-id-taken"): ("/v1/credit-notes", {**NOTE, "credit_note_id": "taken"}),
    ("issue_credit_note", "order-unknown"): ("/v1/credit-notes", {**NOTE, "order_id": "none"}),
    ("issue_credit_note", "credited-in-another-currency"): (
        "/v1/credit-notes",
        {**NOTE, "order_id": "shipped", "currency": "EUR"},
    ),
    ("issue_credit_note", "credited-to-another-customer"): (
        "/v1/credit-notes",
        {**NOTE, "order_id": "shipped", "customer_id": "else"},
    ),
    ("issue_credit_note", "credited-in-another-country"): (
        "/v1/credit-notes",
        {**NOTE, "order_id": "shipped", "country": "Italy"},
    ),
    ("issue_credit_note", "more-credited-than-shipped"): (
        "/v1/credit-notes",
        {**NOTE, "order_id": "shipped", "lines": [{**NOTE["lines"][0], "quantity": 9_999}]},  # type: ignore[dict-item]
    ),
    ("issue_credit_note", "unknown-sku"): (
        "/v1/credit-notes",
        {**NOTE, "lines": [{"sku": "none", "quantity": 1, "unit_price": "1"}]},
    ),
    ("issue_credit_note", "amount-too-large"): ("/v1/credit-notes", {**NOTE, "lines": [MAXIMUM]}),
    **customer_requests.REFUSED,
    **pricing_requests.REFUSED,
    **shipping_requests.REFUSED,
    **payment_requests.REFUSED,
    **mail_requests.REFUSED,
    **cart_requests.REFUSED,
    **catalogue_requests.REFUSED,
}
"""What the business refuses, after `FACTS`."""

Bring = Callable[[Shop, pytest.MonkeyPatch, str, Any], Awaitable[Answered]]


def sent(**given: Any) -> Bring:
    """The valid request with something else about it."""

    async def bring(shop: Shop, _patch: pytest.MonkeyPatch, path: str, body: Any) -> Answered:
        return await shop.post(
            path, given.get("body", body), **{k: v for k, v in given.items() if k != "body"}
        )

    return bring


def after(*patched: tuple[object, str, object]) -> Bring:
    """The valid request after something of ours fails, or is at its limit."""

    async def bring(shop: Shop, patch: pytest.MonkeyPatch, path: str, body: Any) -> Answered:
        for owner, name, value in patched:
            patch.setattr(owner, name, value)
        return await shop.post(path, body)

    return bring


def raising(error: Exception) -> Callable[..., Awaitable[None]]:
    async def fail(*_: object, **__: object) -> None:
        raise error

    return fail


async def reuse_a_key(shop: Shop, _patch: pytest.MonkeyPatch, path: str, body: Any) -> Answered:
    (await shop.post("/v1/products", {**PRODUCT, "sku": "reused"}, key="reused")).then_accepted(
        stream="product-reused", version=1
    )
    return await shop.post(path, body, key="reused")


async def fill_the_queue(shop: Shop, _patch: pytest.MonkeyPatch, path: str, body: Any) -> Answered:
    held = shop.app.state.dispatcher.execution.reserve(append_limits.QUEUE_REQUESTS_MAX)
    try:
        return await shop.post(path, body)
    finally:
        for slot in held:
            slot.free()


async def drip(shop: Shop, patch: pytest.MonkeyPatch, path: str, _body: Any) -> Answered:
    patch.setattr(limits, "BODY_TIMEOUT_S", 0.01)

    async def never_whole():
        yield b"{"
        await asyncio.sleep(30)

    headers = {"idempotency-key": "dripping", "content-type": "application/json"}
    return Answered(await shop.client.post(path, content=never_whole(), headers=headers))


def with_steps(steps: Callable[[], dict[str, Any]], **headers: str) -> Bring:
    """The valid request where other steps of the pipeline say who calls."""

    async def bring(shop: Shop, patch: pytest.MonkeyPatch, path: str, body: Any) -> Answered:
        patch.setattr(shop.app.pipeline, "_steps", structs.replace(shop.app.pipeline._steps, **steps()))
        return await shop.post(path, body, headers=headers)

    return bring


def callers_with_tokens() -> dict[str, Any]:
    """Callers show tokens, and the vault was never read."""
    return {
        "authenticate": TokenCallers(
            "", name="test", metrics=IdentityMetrics(CollectorRegistry())
        ).authenticate
    }


def nobody() -> dict[str, Any]:
    """A caller who has no permission at all."""

    async def authenticate(_exchange: Exchange) -> Principal:
        return NOBODY

    return {"authenticate": authenticate, "authorise": pipeline.permit}


def at_the_limit() -> dict[str, Any]:
    """A caller who sent as many requests as it may."""
    counted = RequestLimits(
        {("write", "address"): Quota("write-address", 1)}, Limiter(shared=None, processes=1)
    )

    async def twice(exchange: Exchange) -> None:
        await counted.by_address(exchange)
        await counted.by_address(exchange)

    return {"limit_by_address": twice}


def uncountable() -> dict[str, Any]:
    """The count that processes share is there, and does not answer."""
    shared = SharedWindows("redis://127.0.0.1:1/0")
    counted = RequestLimits(
        {("write", "address"): Quota("write-address", 10)}, Limiter(shared=shared, processes=1)
    )
    return {"limit_by_address": counted.by_address}


BROUGHT_ABOUT: dict[str, Bring] = {
    "unauthenticated": with_steps(callers_with_tokens),
    "identity-unavailable": with_steps(callers_with_tokens, authorization="Bearer token"),
    "idempotency-key-missing": sent(key=None),
    "idempotency-key-malformed": sent(key="a b"),
    "malformed-json": sent(body=b"{"),
    "if-match-malformed": sent(if_match="3"),
    "correlation-id-malformed": sent(headers={"correlation-id": "a b"}),
    "body-too-large": sent(body=b" " * (limits.BODY_BYTES_MAX + 1)),
    "unsupported-media-type": sent(headers={"content-type": "text/plain"}),
    "validation-failed": sent(body={"unknown": 1}),
    "precondition-failed": sent(if_match='"99"'),
    "idempotency-key-reused": reuse_a_key,
    "body-too-slow": drip,
    "too-busy": fill_the_queue,
    "contended": after((limits, "ATTEMPTS_MAX", 0)),
    "outcome-unknown": after((Writer, "append", raising(OutcomeUnknown("lost")))),
    "shutting-down": after((Writer, "append", raising(WriterClosed("closed")))),
    "store-unavailable": after((LogPoller, "answers", False)),
    "forbidden": with_steps(nobody),
    "too-many-requests": with_steps(at_the_limit),
    "internal-error": after((Dispatcher, "take", raising(RuntimeError("a fault of ours")))),
}
"""How every command meets what any command may meet."""


async def credit_too_often(shop: Shop, patch: pytest.MonkeyPatch, path: str, body: Any) -> Answered:
    for _ in range(2):
        assert 201 == (await shop.post(path, {**body, "order_id": "shipped"})).status
    patch.setattr(reading, "EVENTS_PER_STREAM_MAX", 1)
    patch.setattr(limits, "TAGGED_EVENTS_MAX", 1)
    return await shop.post(path, {**body, "order_id": "shipped"})


async def take_the_keys_away(shop: Shop, patch: pytest.MonkeyPatch, path: str, body: Any) -> Answered:
    patch.setattr(shop.app.state.dispatcher, "_personal", NOT_CONFIGURED)
    return await shop.post(path, body)


NO_KEYS = raising(KeysUnreachable("none"))
SEALING: dict[str, Bring] = {
    "no-key-database": take_the_keys_away,
    "keys-unavailable": after((Keyring, "seal", NO_KEYS), (Keyring, "key_of", NO_KEYS)),
}
"""How a command that takes personal data meets what those may meet."""


async def place_too_often(shop: Shop, patch: pytest.MonkeyPatch, _path: str, body: Any) -> Answered:
    for order_id in ("1", "2"):
        order = {**ORDER, "order_id": order_id, "customer_id": "guest"}
        assert 201 == (await shop.post("/v1/orders", order)).status
    patch.setattr(reading, "EVENTS_PER_STREAM_MAX", 1)
    patch.setattr(limits, "TAGGED_EVENTS_MAX", 1)
    return await shop.post("/v1/customers/guest/erasure", body)


async def too_many_tagged(shop: Shop, patch: pytest.MonkeyPatch, path: str, body: Any) -> Answered:
    patch.setattr(reading, "EVENTS_PER_STREAM_MAX", 1)
    patch.setattr(limits, "TAGGED_EVENTS_MAX", 0)
    return await shop.post(path, body)


OF_ONE: dict[tuple[str, str], Bring] = {
    ("issue_credit_note", "too-many-tagged"): credit_too_often,
    ("issue_credit_note", "limits-unavailable"): with_steps(uncountable),
    ("erase_customer", "too-many-tagged"): place_too_often,
    ("erase_customer", "limits-unavailable"): with_steps(uncountable),
    **{
        (name, "too-many-tagged"): too_many_tagged
        for name in ("redeem_coupon", "apply_coupon", "start_checkout", "check_out")
    },
    ("set_location", "too-many-locations"): after((locations, "LOCATIONS_MAX", 0)),
    ("set_price", "too-many-prices"): after((price, "PRICES_MAX", 0)),
    ("set_tax_rate", "too-many-rates"): after((tax_table, "RATES_MAX", 0)),
}
"""What one command may meet, and no other."""

COMMANDS = [
    route for router in CONTEXTS.commands for route in router.routes if isinstance(route, CommandRoute)
]


@pytest.fixture(scope="module")
async def traded(new_database: NewDatabase) -> str:
    """A log with the facts and what operators act on, to be copied for each command."""
    async with opened(url := new_database()) as shop:
        await shop.given(*FACTS)
        await acted_on.install(shop, decided=DECIDED["position"])
        (await shop.post("/v1/credit-notes", {**NOTE, "credit_note_id": "taken"})).then_accepted(
            stream="credit_note-taken", version=1
        )
    return url


@pytest.mark.parametrize("route", COMMANDS, ids=lambda route: route.command.name)
async def test_every_problem_that_a_command_documents_is_answered(
    new_database, traded, route, monkeypatch, request, tmp_path
):
    keys = {"keys_database_url": request.getfixturevalue("keys_database_url"), "home": str(tmp_path)}
    keys = keys if "no-key-database" in documented(route) else {}
    url = new_database(like=traded)
    async with opened(url, shipping_options="POST,POST-GBP", **keys) as shop:
        await bring_about(shop, route, monkeypatch)
    new_database.drop(url)


async def bring_about(shop: Shop, route: CommandRoute, monkeypatch: pytest.MonkeyPatch) -> None:
    name = route.command.name
    path, body = VALID[name]

    for code, status in documented(route).items():
        with monkeypatch.context() as patch:
            if bring := OF_ONE.get((name, code), {**BROUGHT_ABOUT, **SEALING}.get(code)):
                answer = await bring(shop, patch, path, body)
            else:
                answer = await shop.post(*REFUSED[name, code])

        assert (status, code) == (answer.status, answer.body["code"]), (code, answer.bytes)
        assert f"/problems/{code}" == answer.body["type"], "where its page is"
    assert 201 == (await shop.post(path, body)).status, "nothing else was wrong with the request"


def test_no_code_is_brought_about_that_no_command_documents():
    refused = {(route.command.name, code) for route in COMMANDS for code in documented(route)}

    assert REFUSED.keys() | OF_ONE.keys() <= refused
    assert BROUGHT_ABOUT.keys() == set.intersection(*(set(documented(route)) for route in COMMANDS))


async def test_a_refusal_that_no_document_tells_of_is_found(given, monkeypatch):
    shop = await given(*FACTS)
    (route,) = [each for each in COMMANDS if each.command.name == "ship_order"]
    monkeypatch.delitem(route.responses, 404)

    with pytest.raises(AssertionError, match="order-unknown is documented nowhere"):
        await shop.post("/v1/orders/none/shipment")
