"""Whatever is sent: a 4xx that names the place, nothing appended, and never a fault of ours."""

import asyncio
import copy
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import hypothesis
import pytest
from hypothesis import HealthCheck
from hypothesis import strategies as st

from commands import limits, request_parts
from counterfoil.testing.http import Answered, new_key
from runtime.http.exchange import Exchange
from runtime.problems import ProblemError
from tests.commands.conftest import opened
from tests.commands.http_spec import Shop
from tests.examples import confirmed, placed, product_created, stock_received
from tests.sizes import BAD_BODIES, BAD_HEADERS

pytestmark = pytest.mark.anyio

ORDER = {"country": "x", "currency": "GBP", "lines": [{"sku": "85123A", "quantity": 1}]}
NOTE = {"country": "x", "currency": "GBP", "lines": [{"sku": "85123A", "quantity": 1, "unit_price": "1"}]}
COMMANDS = {
    "/v1/products": {"sku": "N", "title": "New", "stocked": True, "unit_price": "1.5", "currency": "GBP"},
    "/v1/products/85123A/price": {"unit_price": "1.5", "currency": "GBP"},
    "/v1/stock/85123A/receipts": {"quantity": 1, "reference": "r"},
    "/v1/stock/85123A/adjustments": {"delta": 1, "reason": "count", "note": "n"},
    "/v1/orders": {**ORDER, "order_id": "n", "customer_id": "c", "placed_at": "2010-12-01T08:26:00Z"},
    "/v1/orders/536365/cancellation": {"reason": "customer"},
    "/v1/orders/536365/shipment": {},
    "/v1/credit-notes": {**NOTE, "credit_note_id": "n", "order_id": "o", "issued_at": "2010-12-01T08:26:00Z"},
    "/v1/commands": {
        "commands": [{"key": "k", "command": "receive_stock", "target": "85123A", "body": {"quantity": 1}}]
    },
}


@pytest.fixture(scope="module")
async def busy_shop(new_database: Callable[[], str]) -> AsyncIterator[Shop]:
    """One shop for all the bad requests: none of them may change it."""
    async with opened(new_database()) as shop:
        yield await shop.given(product_created(), stock_received(), placed(), confirmed())


def line(**members: object) -> dict[str, object]:
    return {**ORDER, "lines": [{"sku": "85123A", "quantity": 1, **members}]}


NOT_ACCEPTABLE = [
    ("/v1/orders", {**ORDER, "total": 1}, ["/total"]),
    ("/v1/orders", line(discount=1), ["/lines/0/discount"]),
    ("/v1/orders", line(quantity=0), ["/lines/0/quantity"]),
    ("/v1/orders", line(quantity=-1), ["/lines/0/quantity"]),
    ("/v1/orders", line(quantity=10_000_001), ["/lines/0/quantity"]),
    ("/v1/orders", line(quantity=1.0), ["/lines/0/quantity"]),
    ("/v1/orders", line(quantity=True), ["/lines/0/quantity"]),
    ("/v1/orders", line(quantity="1"), ["/lines/0/quantity"]),
    ("/v1/orders", line(quantity="١"), ["/lines/0/quantity"]),  # noqa: RUF001 - a digit of another script
    ("/v1/orders", line(quantity=None), ["/lines/0/quantity"]),
    ("/v1/orders", line(unit_price=2.55), ["/lines/0/unit_price"]),
    ("/v1/orders", line(unit_price="-1"), ["/lines/0/unit_price"]),
    ("/v1/orders", line(unit_price="1e3"), ["/lines/0/unit_price"]),
    ("/v1/orders", line(unit_price="NaN"), ["/lines/0/unit_price"]),
    ("/v1/orders", line(unit_price="1.123456789"), ["/lines/0/unit_price"]),
    ("/v1/orders", line(unit_price="١"), ["/lines/0/unit_price"]),  # noqa: RUF001
    ("/v1/orders", line(unit_price="1\n"), ["/lines/0/unit_price"]),
    ("/v1/orders", line(sku=""), ["/lines/0/sku"]),
    ("/v1/orders", line(sku="a" * 65), ["/lines/0/sku"]),
    ("/v1/orders", line(sku="a~b"), ["/lines/0/sku"]),
    ("/v1/orders", line(sku="a\x00b"), ["/lines/0/sku"]),
    ("/v1/orders", line(sku="a\n"), ["/lines/0/sku"]),
    ("/v1/orders", line(sku="'; drop table log.event; --"), ["/lines/0/sku"]),
    ("/v1/orders", {**ORDER, "lines": []}, ["/lines"]),
    ("/v1/orders", {**ORDER, "lines": [{"sku": "85123A", "quantity": 1}] * 2_001}, ["/lines"]),
    ("/v1/orders", {**ORDER, "lines": {}}, ["/lines"]),
    ("/v1/orders", {**ORDER, "currency": "GBX"}, ["/currency"]),
    ("/v1/orders", {**ORDER, "currency": "gbp"}, ["/currency"]),
    ("/v1/orders", {**ORDER, "country": ""}, ["/country"]),
    ("/v1/orders", {**ORDER, "country": "a\x00"}, ["/country"]),
    ("/v1/orders", {**ORDER, "country": " "}, ["/country"]),
    ("/v1/orders", {**ORDER, "country": "a\u009b31m"}, ["/country"]),
    ("/v1/orders", {**ORDER, "order_id": " a"}, ["/order_id"]),
    ("/v1/orders", {**ORDER, "placed_at": "2010-12-01T08:26:00"}, ["/placed_at"]),
    ("/v1/orders", {**ORDER, "placed_at": 1291191960}, ["/placed_at"]),
    ("/v1/orders", {**ORDER, "placed_at": "20110327"}, ["/placed_at"]),
    ("/v1/orders", {**ORDER, "placed_at": "1291191960"}, ["/placed_at"]),
    ("/v1/orders", {**ORDER, "placed_at": "2010-12-01"}, ["/placed_at"]),
    ("/v1/orders", {**ORDER, "placed_at": "2010-12-01T08:26Z"}, ["/placed_at"]),
    ("/v1/orders", {**ORDER, "placed_at": "2010-12-01T08:26:00+0100"}, ["/placed_at"]),
    ("/v1/orders", {**ORDER, "placed_at": "2010-12-01T08:26:00.1234567Z"}, ["/placed_at"]),
    ("/v1/orders", {**ORDER, "placed_at": "2010-02-30T08:26:00Z"}, ["/placed_at"]),
    ("/v1/orders", {**ORDER, "placed_at": "0001-01-01T00:00:00+14:00"}, ["/placed_at"]),
    ("/v1/orders", {**ORDER, "placed_at": "9999-12-31T23:59:59-14:00"}, ["/placed_at"]),
    ("/v1/orders", {"currency": "GBP"}, ["/country", "/lines"]),
    ("/v1/orders", [], [""]),
    ("/v1/orders", "text", [""]),
    ("/v1/products", {"sku": "A", "title": "", "stocked": True}, ["/title"]),
    ("/v1/products", {"sku": "A", "title": "x" * 501, "stocked": True}, ["/title"]),
    ("/v1/products", {"sku": "A", "title": "x\x00", "stocked": True}, ["/title"]),
    ("/v1/products", {"sku": "A", "title": "\u00a0 \u3000", "stocked": True}, ["/title"]),
    ("/v1/products", {"sku": "A", "title": "x\u0085", "stocked": True}, ["/title"]),
    ("/v1/products", {"sku": "A", "title": "two\nlines", "stocked": True}, ["/title"]),
    ("/v1/products", {"sku": "A", "title": "x", "stocked": 1}, ["/stocked"]),
    ("/v1/products", {"sku": "A", "title": "x"}, ["/stocked"]),
    ("/v1/stock/85123A/receipts", {}, ["/quantity"]),
    ("/v1/stock/85123A/receipts", {"quantity": 1, "reference": "x" * 201}, ["/reference"]),
    ("/v1/stock/85123A/receipts", {"quantity": 1, "reference": "x\ty"}, ["/reference"]),
    ("/v1/stock/85123A/adjustments", {"delta": 1, "reason": "loss", "note": "\x1b[31m"}, ["/note"]),
    ("/v1/stock/85123A/adjustments", {"delta": 1, "reason": "loss", "note": "\u009b31m"}, ["/note"]),
    ("/v1/stock/85123A/adjustments", {"delta": -10_000_001, "reason": "loss"}, ["/delta"]),
    ("/v1/stock/85123A/adjustments", {"delta": 1, "reason": "theft"}, ["/reason"]),
    ("/v1/stock/85123A/adjustments", {"delta": 1, "reason": "loss", "note": "x" * 501}, ["/note"]),
    ("/v1/orders/536365/cancellation", {"reason": "whim"}, ["/reason"]),
    ("/v1/orders/536365/shipment", {"carrier": "x"}, ["/carrier"]),
    ("/v1/credit-notes", {**NOTE, "lines": [{"sku": "85123A", "quantity": 1}]}, ["/lines/0/unit_price"]),
    ("/v1/products/85123A/price", {"unit_price": None, "currency": "GBP"}, ["/unit_price"]),
]


@pytest.mark.parametrize(("path", "body", "pointers"), NOT_ACCEPTABLE)
async def test_what_cannot_be_accepted_is_named_by_pointer_and_changes_nothing(
    busy_shop, path, body, pointers
):
    answer = await busy_shop.post(path, body)

    answer.then_refused(422, "validation-failed", at=pointers)
    assert 4 == busy_shop.position


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({**ORDER, "lines": []}, "Entries: at least 1, not 0"),
        ({**ORDER, "lines": ORDER["lines"] * 2_001}, "Entries: at most 2000, not 2001"),
        ({**ORDER, "placed_at": "2010-02-30T08:26:00Z"}, "There is no such time"),
        ({**ORDER, "placed_at": "2200-01-01T00:00:00Z"}, "A time is in the years 1900 to 2199"),
        ({**ORDER, "placed_at": "1900-01-01T00:00:00+00:01"}, "A time is in the years 1900 to 2199"),
    ],
)
async def test_a_value_beyond_its_bounds_is_refused_in_words_for_callers(busy_shop, body, said):
    answer = await busy_shop.post("/v1/orders", body)

    assert [said] == [fault["detail"] for fault in answer.body["errors"]]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (b"", None),
        (b"{", ""),
        (b"null junk", ""),
        (b"[" * 1_000_000, ""),
        (b'{"a":' * 150_000, ""),
        (b'{"country":"\\ud800"}', ""),
        (b'{"country":"\\udc00x"}', ""),
        (b'{"country":"\xff"}', ""),
        (b'{"country":"a\nb"}', ""),
        (b"\xef\xbb\xbf{}", ""),
        (b'{"country":' + b"9" * 5_000 + b"}", ""),
        (
            b'{"country":"x","country":"y","currency":"GBP","lines":[{"sku":"85123A","quantity":1}]}',
            "/country",
        ),
        (
            b'{"country":"x","currency":"GBP","lines":[{"sku":"85123A","quantity":1,"quantity":2}]}',
            "/lines/0/quantity",
        ),
        (
            b'{"country":"x","currency":"GBP","lines":[{"sku":"85123A","quantity":1,"quantit\\u0079":2}]}',
            "/lines/0/quantity",
        ),
    ],
)
async def test_what_is_not_json_is_refused_with_the_place(busy_shop, body, pointer):
    answer = await busy_shop.post("/v1/orders", body)

    if pointer is None:
        answer.then_refused(422, "validation-failed")
    else:
        answer.then_refused(400, "malformed-json", at=[pointer])
    assert 4 == busy_shop.position


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e308", b"0.001", b"-0.0"])
async def test_numbers_that_are_no_quantity_are_refused(busy_shop, number):
    answer = await busy_shop.post("/v1/stock/85123A/receipts", b'{"quantity":%b}' % number)

    answer.then_refused(422, "validation-failed", at=["/quantity"])


async def test_text_that_postgres_and_logs_could_stumble_over_is_kept_as_it_is(given):
    shop = await given(product_created(), stock_received())
    note = "Ω 🎁 \r\n\t '\"\\ ${jndi} {{7*7}} \u2028 '; drop table log.event; --"

    answer = await shop.post("/v1/stock/85123A/adjustments", {"delta": 1, "reason": "other", "note": note})

    answer.then_accepted(stream="stock-85123A", version=2)
    assert note == shop.events("stock-85123A")[-1].note


@pytest.mark.parametrize("sku", ["-a", "a~b", "a%00b", "%C3%A9", "a" * 65, "%0d%0aSet-Cookie:x"])
async def test_an_address_that_can_name_nothing_is_refused_by_its_parameter(busy_shop, sku):
    answer = await busy_shop.post(f"/v1/stock/{sku}/receipts", {"quantity": 1})

    answer.then_refused(422, "validation-failed", at=["sku"])


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "", "application/jsonx"]
)
async def test_a_body_that_does_not_say_it_is_json_is_refused(busy_shop, content_type):
    answer = await busy_shop.post(
        "/v1/stock/85123A/receipts", {"quantity": 1}, headers={"content-type": content_type}
    )

    answer.then_refused(415, "unsupported-media-type", at=["Content-Type"])


@pytest.mark.parametrize("encoding", ["gzip", "br", "gzip, identity"])
async def test_an_encoded_body_is_refused_with_what_would_be_taken(busy_shop, encoding):
    answer = await busy_shop.post(
        "/v1/stock/85123A/receipts", {"quantity": 1}, headers={"content-encoding": encoding}
    )

    answer.then_refused(415, "unsupported-media-type", at=["Content-Encoding"])
    assert "identity" == answer.headers["accept-encoding"]


@pytest.mark.parametrize(
    ("name", "code"),
    [("Idempotency-Key", "idempotency-key-malformed"), ("If-Match", "if-match-malformed")],
)
@pytest.mark.parametrize("path", ["/v1/orders", "/v1/stock/85123A/receipts"])
async def test_a_header_that_counts_once_and_was_sent_twice_is_refused(busy_shop, path, name, code):
    headers = [("content-type", "application/json"), (name, '"1"'), (name, '"2"')]
    if name != "Idempotency-Key":
        headers.append(("idempotency-key", new_key()))

    answer = Answered(await busy_shop.client.post(path, content=b"{}", headers=headers))

    answer.then_refused(400, code, at=[name])
    assert 4 == busy_shop.position


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "application/vnd.shop+json"])
async def test_json_by_another_name_is_json(given, content_type):
    shop = await given(product_created())

    answer = await shop.post(
        "/v1/stock/85123A/receipts", {"quantity": 1}, headers={"content-type": content_type}
    )

    answer.then_accepted(stream="stock-85123A", version=1)


async def test_a_body_beyond_the_limit_is_refused(busy_shop):
    body = b'{"note":"' + b"x" * limits.BODY_BYTES_MAX + b'"}'

    answer = await busy_shop.post("/v1/stock/85123A/adjustments", body)

    answer.then_refused(413, "body-too-large", limit_bytes=limits.BODY_BYTES_MAX)
    assert "close" == answer.headers["connection"]


def arriving(receive) -> Exchange:
    return Exchange({"headers": []}, receive)


async def test_a_body_beyond_the_limit_is_not_read_to_its_end():
    sent = 0

    async def endless() -> dict[str, object]:
        nonlocal sent
        sent += 65_536
        return {"type": "http.request", "body": b"x" * 65_536, "more_body": True}

    with pytest.raises(ProblemError) as refused:
        await request_parts.read_body(arriving(endless), declared=0, limit=limits.BODY_BYTES_MAX)

    assert "body-too-large" == refused.value.type.slug
    assert sent <= limits.BODY_BYTES_MAX + 65_536


async def test_a_body_that_announces_too_much_is_not_read_at_all():
    async def unread() -> dict[str, object]:
        raise AssertionError("nothing is read")

    with pytest.raises(ProblemError) as refused:
        await request_parts.read_body(
            arriving(unread), declared=limits.BODY_BYTES_MAX + 1, limit=limits.BODY_BYTES_MAX
        )

    assert "body-too-large" == refused.value.type.slug


async def test_a_body_that_drips_is_given_up_in_time(monkeypatch):
    monkeypatch.setattr(limits, "BODY_TIMEOUT_S", 0.05)

    async def dripping() -> dict[str, object]:
        await asyncio.sleep(0.01)
        return {"type": "http.request", "body": b" ", "more_body": True}

    with pytest.raises(ProblemError) as refused:
        await request_parts.read_body(arriving(dripping), declared=0, limit=limits.BODY_BYTES_MAX)

    assert ("body-too-slow", "close") == (refused.value.type.slug, refused.value.headers["connection"])


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/orders", 405, "method-not-allowed"),
        ("DELETE", "/v1/products", 405, "method-not-allowed"),
        ("TRACE", "/v1/orders", 405, "method-not-allowed"),
        ("POST", "/nothing", 404, "not-found"),
        ("POST", "/v1/orders/", 404, "not-found"),
        ("GET", "/.git/config", 404, "not-found"),
    ],
)
async def test_what_is_not_a_command_is_not_there(busy_shop, method, path, status, code):
    answer = Answered(await busy_shop.client.request(method, path))

    answer.then_refused(status, code)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(), max_size=20)
    | st.sampled_from(["85123A", "GBP", "2010-12-01T08:26:00Z", "1.50", "\x00", "A" * 600]),
    lambda values: st.lists(values, max_size=4) | st.dictionaries(st.text(max_size=8), values, max_size=4),
    max_leaves=12,
)


def _paths(document: object, path: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    below: list[tuple[object, ...]] = []
    if isinstance(document, dict):
        below = [found for name, value in document.items() for found in _paths(value, (*path, name))]
    elif isinstance(document, list):
        below = [found for index, value in enumerate(document) for found in _paths(value, (*path, index))]
    return [path, *below]


def _with(document: object, path: tuple[object, ...], value: object) -> object:
    if not path:
        return value
    changed = copy.deepcopy(document)
    place: Any = changed
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return changed


@st.composite
def nearly_right(draw: st.DrawFn) -> tuple[str, bytes]:
    """A command of which one part was replaced by something else, or whose bytes were damaged."""
    path = draw(st.sampled_from(sorted(COMMANDS)))
    body = COMMANDS[path]
    changed = _with(body, draw(st.sampled_from(_paths(body))), draw(JSON))
    content = json.dumps(changed, ensure_ascii=draw(st.booleans())).encode(errors="surrogatepass")
    if draw(st.booleans()):
        at = draw(st.integers(0, len(content)))
        content = content[:at] + draw(st.binary(max_size=3)) + content[at + draw(st.integers(0, 3)) :]
    return path, content


@hypothesis.settings(
    max_examples=BAD_BODIES.chosen,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@hypothesis.given(sent=nearly_right())
@hypothesis.example(sent=("/v1/orders", b""))
async def test_no_body_makes_the_api_fail_and_what_is_refused_appends_nothing(busy_fuzzed_shop, sent):
    shop = busy_fuzzed_shop
    path, content = sent
    before = shop.position

    answer = await shop.post(path, content, key=None if path == "/v1/commands" else "")

    assert 200 <= answer.status < 500, (path, content, answer.bytes)
    if path == "/v1/commands" and answer.status == 200:
        statuses = {result["status"] for result in answer.body["results"]}
        assert all(200 <= status < 500 for status in statuses), answer.bytes
    elif answer.status != 201:
        assert before == shop.position
        assert "application/problem+json" == answer.headers["content-type"]


@pytest.fixture(scope="module")
async def busy_fuzzed_shop(new_database: Callable[[], str]) -> AsyncIterator[Shop]:
    """A shop of its own, since some of what is made up is acceptable."""
    async with opened(new_database()) as shop:
        yield await shop.given(product_created(), stock_received(), placed(), confirmed())


@hypothesis.settings(
    max_examples=BAD_HEADERS.chosen,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@hypothesis.given(
    name=st.sampled_from(["idempotency-key", "if-match", "correlation-id", "traceparent", "content-type"]),
    value=st.binary(max_size=300).filter(lambda value: not {0, 10, 13} & set(value)),
)
async def test_no_header_makes_the_api_fail(busy_fuzzed_shop, name, value):
    sent = {
        b"content-type": b"application/json",
        b"idempotency-key": new_key().encode(),
        name.encode(): value,
    }
    answer = await busy_fuzzed_shop.client.post(
        "/v1/stock/85123A/receipts", content=b'{"quantity":1}', headers=list(sent.items())
    )

    assert 200 <= answer.status_code < 500, answer.content
    assert answer.headers["correlation-id"].isascii()
