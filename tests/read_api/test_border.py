"""Whatever is asked, the answer is a status that says what is meant, in a format that is documented."""

import contextlib
import functools
import string
from urllib.parse import quote

import pytest
from anyio.from_thread import start_blocking_portal
from hypothesis import example, given, settings
from hypothesis import strategies as st

from counterfoil.applications import query_app
from projections.ordering.views import order_details
from read_api import connections
from runtime.problem_types import CATALOGUE
from runtime.settings import Settings, SettingsError
from tests.read_api.conftest import running
from tests.read_api.stage import Stage, order, token

ADDRESSES = (
    "/v1/orders/{}",
    "/v1/products/{}",
    "/v1/stock/{}",
    "/v1/customers/{}/totals",
    "/v1/skus/{}/sales",
    "/v1/streams/{}/events",
    "/v1/orders",
    "/v1/products",
    "/v1/stock",
    "/v1/sales/daily",
    "/v1/totals",
    "/v1/events",
    "/v1/views",
    "/v1/status",
)
NAMES = (
    *("as_of", "after", "limit", "limit ", "cursor", "customer", "status", "from", "to", "country", "x"),
    *("sort", "ids", "pinned", "available_max", "type", "category", "since", "until"),
)


@pytest.fixture(scope="module")
def client(small_shop):
    with served(small_shop.database_url, small_shop.redis_url) as client:
        yield client


@pytest.fixture(scope="module")
def client_of_a_whole_log(new_shop, redis_server):
    """Its log has an event at each position up to the head, so that every time of the past is found in it."""
    stage = Stage(new_shop(), redis_server.url)
    stage.write(order_details, [order()], position=2)
    for version in (1, 2):
        stage.append("order-536365", version=version, position=version, payload={})
    stage.everybody_stands(2)
    with served(stage.database_url, stage.redis_url) as client:
        yield client
    stage.close()


class Blocking:
    """A client for tests that hypothesis calls many times: it waits for each answer itself."""

    def __init__(self, portal, client) -> None:
        self.app = client.app
        self._portal = portal
        self._client = client

    def request(self, method, address, **given):
        return self._portal.call(functools.partial(self._client.request, method, address, **given))

    def get(self, address, **given):
        return self.request("GET", address, **given)


@contextlib.contextmanager
def served(database_url, redis_url=None):
    """A query API in a thread of its own."""
    with start_blocking_portal() as portal:
        opened = running(database_url, redis_url)
        with portal.wrap_async_context_manager(opened) as client:
            yield Blocking(portal, client)


def _values():
    plain = st.sampled_from(
        [
            "",
            "0",
            "1",
            "-1",
            "9" * 30,
            "NaN",
            "1e308",
            "true",
            "2026-01-31",
            "9999-12-31",
            "0001-01-01",
            "\x00",
            "'",
            "%",
            "2026-01-31T08:26:00Z",
            "0000-00-00T00:00:00Z",
            "9999-12-31T23:59:59.999999-23:59",
            "placed",
            "536365",
        ]
    )
    return plain | st.text(max_size=80) | st.text(string.printable, max_size=300)


def _headers():
    text = st.text(st.characters(min_codepoint=33, max_codepoint=255), min_size=0, max_size=300)
    positions = st.dictionaries(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1), max_size=4)
    tokens = st.builds(token, positions, epoch=st.integers(0, 2**40), generation=st.integers(0, 2**40))
    return st.fixed_dictionaries(
        {},
        optional={
            "Min-Position": tokens | text,
            "Prefer": st.sampled_from(
                ["wait=0", "wait=,,", "handling=lenient", "wait=0;wait=1, handling=strict"]
            )
            | text,
            "If-None-Match": text,
            "Correlation-Id": text,
            "Accept": st.sampled_from(["text/csv", "application/x-ndjson", "image/png"]) | text,
        },
    )


def test_no_request_makes_the_server_fail(client_of_a_whole_log):
    @settings(max_examples=400, deadline=None)
    @example(address="/v1/events", name="", query=[("since", "2026-01-31T08:26:00Z")], headers={})
    @given(
        address=st.sampled_from(ADDRESSES),
        name=_values(),
        query=st.lists(st.tuples(st.sampled_from(NAMES), _values()), max_size=4),
        headers=_headers(),
    )
    def ask(address, name, query, headers):
        path = address.format(_quoted(name))
        sent = {header: value.encode("latin-1") for header, value in headers.items()}

        answer = client_of_a_whole_log.get(path, params=query, headers=sent)

        # A token that says only what exists may truly not be reached: that is the one 503 here.
        assert answer.status_code < 500 or answer.json()["code"] == "stale-read", answer.text
        if answer.status_code >= 400:
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["code"] in CATALOGUE
        assert answer.headers["x-content-type-options"] == "nosniff"

    ask()


def _quoted(text):
    return quote(text, safe="", errors="replace")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
def test_nothing_but_get_is_known(client, method):
    for address in ADDRESSES:
        answer = client.request(method, address.format("1"))

        assert answer.status_code == 405
        assert "GET" in answer.headers["allow"]


@pytest.mark.parametrize(
    "address",
    ["/", "/order/1", "/v1/orders/", "/.git/config", "/docs/x", "/v1/orders/1/lines", "/problems/x"],
)
def test_an_address_that_is_not_there_is_a_problem_too(client, address):
    answer = client.get(address)

    assert answer.status_code == 404
    assert answer.json()["code"] == "not-found"


DOCUMENTED = {
    "/v1/orders/{order_id}",
    "/v1/orders/{order_id}/contact",
    "/v1/orders/{order_id}/history",
    "/v1/orders/{order_id}/receipt",
    "/v1/events/{position}/receipt",
    "/v1/log/checkpoint",
    "/v1/log/consistency",
    "/v1/operations/acts",
    "/v1/operations/acts/{position}",
    "/v1/media/{name}",
    "/v1/prices/{sku}",
    "/v1/promotions",
    "/v1/promotions/{promotion_id}",
    "/v1/coupons/{code}",
    "/v1/product-search",
    "/v1/products/{sku}",
    "/v1/listings/{listing_id}",
    "/v1/listings",
    "/v1/categories/{category_id}",
    "/v1/categories",
    "/v1/channels/{channel}",
    "/v1/channels",
    "/v1/channel-listings",
    "/v1/category-listings",
    "/v1/stock/{sku}",
    "/v1/channel-price-lists/{channel}",
    "/v1/customer-groups/{customer_id}",
    "/v1/tax-tables/{jurisdiction}",
    "/v1/carts",
    "/v1/carts/{cart_id}",
    "/v1/carts/{cart_id}/addresses",
    "/v1/customers",
    "/v1/customer-search",
    "/v1/customers/{customer_id}",
    "/v1/customers/{customer_id}/export",
    "/v1/customers/{customer_id}/totals",
    "/v1/shipments/{order_id}",
    "/v1/accounts",
    "/v1/accounts/{account_id}",
    "/v1/mails",
    "/v1/mails/{mail_id}",
    "/v1/payments",
    "/v1/payments/{payment_id}",
    "/v1/orders/{order_id}/payments",
    "/v1/payment-ledger",
    "/v1/store-credits/{customer_id}",
    "/v1/skus/{sku}/sales",
    "/v1/streams/{stream}/events",
    "/v1/orders",
    "/v1/order-history",
    "/v1/products",
    "/v1/stock",
    "/v1/stock-reservations",
    "/v1/stock-backorders",
    "/v1/located-stock",
    "/v1/locations",
    "/v1/sales/daily",
    "/v1/totals",
    "/v1/totals/daily",
    "/v1/events",
    "/v1/views",
    "/v1/status",
}


def test_every_address_is_documented_with_an_example_and_a_problem(client):
    document = client.get("/openapi.json").json()

    assert document["openapi"].startswith("3.1")
    assert set(document["paths"]) == DOCUMENTED
    for path, operations in document["paths"].items():
        responses = operations["get"]["responses"]
        for content in responses["200"]["content"].values():
            assert "example" in content or content["schema"].get("format") == "binary", path
        problems = [response for status, response in responses.items() if status >= "4"]
        assert "422" not in responses, path
        assert problems, path
        for problem in problems:
            assert problem["content"]["application/problem+json"]["examples"], path


def test_the_documented_example_of_an_order_is_one_that_could_be(client):
    """The example's members are those of a real answer."""
    document = client.get("/openapi.json").json()
    example = document["paths"]["/v1/orders/{order_id}"]["get"]["responses"]["200"]["content"][
        "application/json"
    ]["example"]

    assert list(example) == list(client.get("/v1/orders/536365").json())


def test_the_parameters_of_hot_routes_are_documented(client):
    document = client.get("/openapi.json").json()
    order_id, include, *common = document["paths"]["/v1/orders/{order_id}"]["get"]["parameters"]
    names = [each["$ref"].rpartition("/")[2] for each in common]

    assert ["order_id", "include"] == [order_id["name"], include["name"]]
    assert {"customer", "payments", "products", "shipment", "stock"} == set(
        include["schema"]["items"]["enum"]
    )
    assert names == ["as_of", "Min-Position", "Prefer", "If-None-Match", "Correlation-Id", "traceparent"]


def test_problem_types_resolve_to_pages(client):
    problem = client.get("/v1/orders/1?x=1").json()

    assert client.get(problem["type"]).status_code == 200


def test_requests_are_counted_by_route(small_shop):
    with served(small_shop.database_url) as client:
        client.get("/v1/orders/536365")
        client.get("/v1/orders/1")
        metrics = client.get("/metrics").text

    assert 'counterfoil_reads_total{source="sql",view="order_details"} 2.0' in metrics
    assert 'counterfoil_server_answers{server="postgres"} 1.0' in metrics
    assert 'server="redis"' not in metrics
    counted = 'counterfoil_http_requests_total{method="GET",route="/v1/orders/{order_id}",status="%d"} 1.0'
    assert counted % 200 in metrics
    assert counted % 404 in metrics


def test_a_draining_process_is_not_ready(small_shop):
    with served(small_shop.database_url) as client:
        assert client.get("/readyz").status_code == 200

        client.app.state.readiness.drain()

        assert client.get("/readyz").status_code == 503
        assert client.get("/v1/orders/536365").status_code == 200


def test_without_a_database_there_is_no_query_api():
    with pytest.raises(SettingsError, match="COUNTERFOIL_DATABASE_URL"):
        query_app(Settings.model_construct(database_url=None, redis_url=None))


def test_a_process_that_never_saw_the_database_is_alive_and_not_ready(monkeypatch):
    monkeypatch.setattr(connections, "CONNECTION_WAIT_S", 1.0)
    with served("postgresql://nobody@127.0.0.1:1/none") as client:
        answer = client.get("/v1/orders/1")

        assert client.get("/livez").status_code == 200
        assert client.get("/readyz").status_code == 503
        assert answer.status_code == 503
        assert answer.json()["code"] == "view-unavailable"
