"""The OpenAPI document: every command with examples that work, and every problem with a page."""

from html import escape

import pytest
from msgspec.structs import replace

from commands.routing import CommandRoute
from counterfoil.applications import command_app
from counterfoil.contexts import CONTEXTS
from domain.rejection import Conflict, Unacceptable, Unknown
from runtime.problem_types import CATALOGUE
from runtime.settings import Settings, SettingsError
from tests import pricing_examples
from tests.cart_examples import cart_opened, checkout_started, item_added, totals
from tests.catalogue_examples import (
    CONTENT,
    category_created,
    channel_opened,
    listing_created,
    variant_added,
)
from tests.commands import mail_requests, payment_requests, shipping_requests
from tests.commands.conftest import opened
from tests.customer_examples import customer_registered
from tests.examples import confirmed, placed, product_created, shipped, stock_received, stock_reserved
from tests.payment_examples import credit_held, credit_issued
from tests.pricing_examples import price_set

pytestmark = pytest.mark.anyio

FAMILIES = [(Unknown, 404), (Conflict, 409), (Unacceptable, 422)]
PROBLEMS = {**CATALOGUE, **{problem.slug: problem for problem in CONTEXTS.problems}}
UNDOCUMENTED = {
    *("/problems", "/problems/{slug}", "/livez", "/readyz", "/metrics", "/openapi.json"),
    *("/.well-known/jwks.json", "/v1/oidc/{provider}/start", "/v1/oidc/{provider}/callback"),
    *("/v1/oidc/{provider}/link", "/v1/payment-webhooks"),
}
NEW = {
    "/v1/products": "sku",
    "/v1/channels": "channel",
    "/v1/categories": "category_id",
    "/v1/listings": "listing_id",
    "/v1/coupons": "code",
}
COMMANDS = {
    route.path for router in CONTEXTS.commands for route in router.routes if isinstance(route, CommandRoute)
}


@pytest.fixture(scope="module")
async def document(new_database):
    """The document, which no test changes: to make it takes a second."""
    async with opened(new_database()) as shop:
        return (await shop.client.get("/openapi.json")).json()


@pytest.mark.parametrize(("family", "status"), FAMILIES)
def test_every_refusal_of_the_domain_has_a_page_and_the_status_of_its_family(family, status):
    refusals = [each for context in CONTEXTS for each in context.problems if issubclass(each, family)]

    assert refusals
    assert {status} == {PROBLEMS[refusal.code].status for refusal in refusals}


async def test_every_problem_has_a_page_where_its_type_says(shop):
    pages = {code: await shop.client.get(f"/problems/{code}") for code in PROBLEMS}

    assert [] == [code for code, page in pages.items() if page.status_code != 200]


async def test_the_document_is_openapi_3_1_and_names_every_route(shop, document):
    assert document["openapi"].startswith("3.1")
    served = {route.path for route in shop.app.routes if not route.path.startswith("/docs")}
    assert served == {*document["paths"], *UNDOCUMENTED}


def commands_of(document):
    """Each command, and the batch of them."""
    return [(path, document["paths"][path]) for path in (*sorted(COMMANDS), "/v1/commands")]


async def test_every_command_documents_its_headers_an_answer_and_problems(document):
    for path, operations in commands_of(document):
        for method, operation in operations.items():
            success = "200" if path == "/v1/commands" else "201"
            assert "post" == method
            assert operation["description"]
            assert {success, "400", "413", "415", "422", "503"} <= set(operation["responses"])
            for status, response in operation["responses"].items():
                if status != success:
                    assert response["content"]["application/problem+json"]["examples"], (path, status)
            if path != "/v1/commands":
                headers = {
                    each["$ref"].rpartition("/")[2] for each in operation["parameters"] if "$ref" in each
                }
                assert {"Idempotency-Key", "If-Match", "Prefer", "Correlation-Id", "traceparent"} == headers
                assert {"ETag", "Position", "Location"} <= set(operation["responses"]["201"]["headers"])


def example_of(document, operation):
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    return document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]["example"]


async def test_every_example_of_a_body_is_accepted(database_url, keys_database_url, tmp_path, document):
    given = {"keys_database_url": keys_database_url, "home": str(tmp_path), "shipping_options": "POST"}
    async with opened(database_url, **given) as shop:
        await every_example_is_accepted(shop, document)


PAYMENTS = {
    "/v1/payments/{payment_id}/authorisation": "created",
    "/v1/payments/{payment_id}/captures": "held",
    "/v1/payments/{payment_id}/void": "voided",
    "/v1/payments/{payment_id}/refunds": "captured",
    "/v1/payments/{payment_id}/manual-refunds": "manual",
}


TARGETS = {
    **PAYMENTS,
    "/v1/store-credits/{customer_id}/credits": "known",
    "/v1/store-credits/{customer_id}/holds": "17850",
    "/v1/store-credits/{customer_id}/settlements": "17851",
    "/v1/carts/{cart_id}/addresses": "of-17851",
    "/v1/carts/{cart_id}/order": "frozen",
    "/v1/carts/{cart_id}/checkout": "started",
    "/v1/carts/{cart_id}/coupons": "saving",
    "/v1/carts/{cart_id}/assignment": "of-a-guest",
    "/v1/listings/{listing_id}/archival": "leaving",
    "/v1/customers/{customer_id}/erasure": "leaving",
    "/v1/orders/{order_id}/shipment": "shipped",
    "/v1/orders/{order_id}/shipment/label": "returned",
    "/v1/orders/{order_id}/shipment/manual-label": "unlabelled",
    "/v1/orders/{order_id}/shipment/loss": "sent",
    "/v1/orders/{order_id}/shipment/loss/claim": "gone",
    "/v1/orders/{order_id}/shipment/loss/settlement": "gone",
    "/v1/orders/{order_id}/cancellation": "cancelled",
    "/v1/orders/{order_id}/holds": "cash",
    "/v1/orders/{order_id}/hold-liftings": "cash",
}

NAMED = {"{promotion_id}": "old", "{code}": "known", "{redemption_id}": "r-1", "{mail_id}": "m-1"}

PAID_LATER = {"/v1/manual-payments": "cash", "/v1/store-credits/{customer_id}/holds": "credit"}


async def every_example_is_accepted(shop, document):
    await shop.given(
        *(customer_registered(customer_id=each) for each in ("known", "leaving", "17851")),
        product_created(),
        product_created(sku="71053"),
        price_set(price_id="spring-85123A", list_id="spring"),
        *pricing_examples.UNENDED,
        pricing_examples.coupon_created(),
        stock_received(),
        channel_opened(),
        category_created(slug="kept"),
        listing_created(content=replace(CONTENT, slug="kept")),
        listing_created(listing_id="leaving", content=replace(CONTENT, slug="leaving")),
        variant_added(),
        product_created(sku="85123B"),
        placed(order_id="shipped"),
        confirmed(order_id="shipped"),
        placed(order_id="reserved"),
        confirmed(order_id="reserved"),
        stock_reserved(order_id="reserved"),
        placed(order_id="cancelled"),
        placed(order_id="returned"),
        shipped(order_id="returned"),
        cart_opened(cart_id="filled"),
        item_added(cart_id="filled"),
        cart_opened(cart_id="c-guest", guest=True),
        cart_opened(cart_id="of-a-guest", guest=True),
        cart_opened(cart_id="of-17851", customer_id="17851"),
        product_created(sku="POST", stocked=False),
        *(
            event
            for cart_id in ("started", "saving", "frozen")
            for event in (cart_opened(cart_id=cart_id), item_added(cart_id=cart_id))
        ),
        checkout_started(cart_id="frozen", totals=totals(510)),
        *(placed(order_id=each) for each in ("cash", "credit", "paid")),
        credit_issued(customer_id="17850"),
        credit_issued(customer_id="17851"),
        credit_held(customer_id="17851", order_id="shipped"),
        *mail_requests.FACTS,
        *shipping_requests.FACTS,
        *(each for each in payment_requests.FACTS if getattr(each, "payment_id", "") in PAYMENTS.values()),
    )
    for path, operations in commands_of(document):
        if path.startswith("/v1/operations/"):
            continue  # they act on parked keys and builds: test_acts.py has some
        body = example_of(document, operations["post"])
        if path in NEW:
            body = {**body, NEW[path]: "new"}  # the example's own id is in this shop already
        if path in PAID_LATER:
            body = {**body, "order_id": PAID_LATER[path]}  # the example's own is paid by then
        if path == "/v1/stock/{sku}/losses":
            body = {**body, "order_ids": ["reserved"]}  # the example's own was placed just now
        if path == "/v1/credit-notes":
            body = {**body, "order_id": "returned"}  # the example's own was placed just now
        address = path.replace("{sku}", "85123A").replace("{order_id}", TARGETS.get(path, ""))
        address = address.replace("{location_id}", "north").replace("{channel}", "web")
        address = address.replace("{jurisdiction}", "GB").replace("{customer_id}", TARGETS.get(path, "known"))
        for name, known in NAMED.items():
            address = address.replace(name, known)
        address = address.replace("{cart_id}", TARGETS.get(path, "filled"))
        address = address.replace("{payment_id}", TARGETS.get(path, ""))
        address = address.replace("{listing_id}", TARGETS.get(path, "heart")).replace(
            "{category_id}", "hearts"
        )

        answer = await shop.post(address, body)

        assert answer.status in {200, 201}, (path, answer.bytes)


async def test_every_example_of_a_problem_is_what_that_problem_says(document):
    for _, operations in commands_of(document):
        for status, response in operations["post"]["responses"].items():
            for content in response["content"].values():
                for slug, shown in content.get("examples", {}).items():
                    assert (slug, int(status)) == (shown["value"]["code"], shown["value"]["status"])
                    assert PROBLEMS[slug].uri == shown["value"]["type"]


async def test_problem_pages_resolve_on_the_api_itself(shop):
    for problem in PROBLEMS.values():
        page = await shop.client.get(problem.uri)

        assert (200, True) == (page.status_code, escape(problem.title) in page.text)


async def test_metrics_count_commands_by_what_was_answered(given):
    shop = await given(product_created())
    await shop.post("/v1/products/85123A/price", {"unit_price": "3", "currency": "GBP"}, key="a")
    await shop.post("/v1/products/85123A/price", {"unit_price": "3", "currency": "GBP"}, key="a")
    await shop.post("/v1/products/else/price", {"unit_price": "3", "currency": "GBP"})

    text = (await shop.client.get("/metrics")).text

    for answer in ("accepted", "replayed", "product-unknown"):
        assert f'counterfoil_commands_total{{answer="{answer}",command="change_price"}} 1.0' in text
    assert (
        'counterfoil_http_requests_total{method="POST",route="/v1/products/{sku}/price",status="201"} 2.0'
        in text
    )
    assert "counterfoil_kept_states 1.0" in text


async def test_every_answer_of_the_api_carries_security_headers(shop):
    for answer in (
        await shop.post("/v1/products", {"sku": "A", "title": "A", "stocked": True}),
        await shop.post("/v1/products", b"{"),
        await shop.post("/nothing"),
    ):
        assert "nosniff" == answer.headers["x-content-type-options"]
        kept = "private, no-cache" if "etag" in answer.headers else "no-store"
        assert kept == answer.headers["cache-control"]
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


def test_an_application_without_a_database_is_refused_at_once():
    with pytest.raises(SettingsError, match="COUNTERFOIL_DATABASE_URL"):
        command_app(Settings())
