"""Headers that every request may bring and every answer has."""

import httpx
import pytest
from fastapi import Response

from tests.runtime.http.applying import pipelined, serve

pytestmark = pytest.mark.anyio


@pytest.fixture
def app():
    async def tagged(_exchange):
        return Response("x", headers={"etag": '"3"'})

    async def plain(_exchange):
        return Response("x")

    made = pipelined()
    serve(made, "/plain", plain, method="GET")
    serve(made, "/tagged", tagged, method="GET")
    return made


async def headers_of(app, path="/plain", *, scheme="http", **given):
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=f"{scheme}://test") as client:
        return (await client.get(path, **given)).headers


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"Correlation-Id": "order-7"}, "order-7"),
        ({"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}, "a" * 32),
        ({"Correlation-Id": "order-7", "traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}, "order-7"),
    ],
)
async def test_the_callers_correlation_id_is_echoed(app, given, expected):
    assert expected == (await headers_of(app, headers=given))["correlation-id"]


async def test_a_trace_that_cannot_be_read_is_ignored(app):
    assert 32 == len((await headers_of(app, headers={"traceparent": "00-x"}))["correlation-id"])


@pytest.mark.parametrize("given", [[b"\x1b[31mred"], [b"a b"], [b"x" * 129], [b""], [b"one", b"two"]])
async def test_a_malformed_correlation_id_is_refused_and_the_answer_names_the_one_made_up(app, given):
    headers = [(b"Correlation-Id", each) for each in given]
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        answer = await client.get("/plain", headers=headers)

    assert (400, "correlation-id-malformed") == (answer.status_code, answer.json()["code"])
    assert ["Correlation-Id"] == [fault["header"] for fault in answer.json()["errors"]]
    assert answer.json()["correlation_id"] == answer.headers["correlation-id"]
    assert 32 == len(answer.headers["correlation-id"])


@pytest.mark.parametrize("path", ["/plain", "/nowhere", "/problems", "/openapi.json"])
async def test_every_answer_carries_the_security_headers_and_no_banner(app, path):
    headers = await headers_of(app, path)

    assert "nosniff" == headers["x-content-type-options"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "no-referrer" == headers["referrer-policy"]
    assert "server" not in headers


async def test_browsers_have_to_stay_with_tls_over_tls_only(app):
    assert "strict-transport-security" not in await headers_of(app)
    assert "max-age=31536000" in (await headers_of(app, scheme="https"))["strict-transport-security"]


async def test_what_has_an_entity_tag_may_be_kept_for_its_caller_and_nothing_else_unless_it_says_so(app):
    assert "no-store" == (await headers_of(app))["cache-control"]
    assert "private, no-cache" == (await headers_of(app, "/tagged"))["cache-control"]
    assert "public, max-age=3600" == (await headers_of(app, "/problems"))["cache-control"]
