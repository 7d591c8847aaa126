"""The pages of an API load what they need from the API itself, and are there for who wants them."""

import http.client
import re

import httpx
import pytest
from pydantic import SecretStr

from counterfoil.applications import command_app, query_app
from runtime import api_pages
from runtime.settings import Settings
from tests.runtime.http.applying import ANSWERED_WITHIN_S, listening, pipelined

pytestmark = pytest.mark.anyio

DATABASE = SecretStr("postgresql://nobody@127.0.0.1:1/none")


@pytest.fixture(scope="module")
def port():
    app = pipelined()
    api_pages.install(app)
    with listening(app) as server:
        yield server.config.port


def asked(port, path):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWERED_WITHIN_S)
    connection.request("GET", path, headers={"Accept-Encoding": "gzip"})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer, body


def test_all_that_the_page_loads_is_there_and_kept_by_browsers(port):
    page, text = asked(port, "/docs")
    loaded = re.findall(r'(?:src|href)="(?!data:)([^"]+)"', text.decode())

    assert ["swagger-ui", "swagger-ui-bundle", "start"] == [
        address.removeprefix("docs/").partition(".")[0] for address in loaded
    ]
    kinds = []
    for address in loaded:
        answer, body = asked(port, f"/{address}")
        kinds.append(answer.headers["content-type"].partition(";")[0])
        assert (200, "public, max-age=31536000, immutable") == (
            answer.status,
            answer.headers["cache-control"],
        )
        assert body
    assert ["text/css", "text/javascript", "text/javascript"] == kinds
    assert (200, "no-cache") == (page.status, page.headers["cache-control"])
    assert 200 == asked(port, "/openapi.json")[0].status


def test_nothing_of_the_page_comes_from_elsewhere_or_stands_in_it(port):
    page, text = asked(port, "/docs")
    policy = dict(part.strip().split(" ", 1) for part in page.headers["content-security-policy"].split(";"))

    assert "'none'" == policy.pop("default-src")
    assert {"'self'", "'none'", "'self' data:"} >= set(policy.values())
    assert {"'self'"} == {policy[f"{kind}-src"] for kind in ("script", "style", "connect")}
    assert b"//" not in text
    assert [] == re.findall(rb"<script>|<style|\son\w+=", text)


@pytest.mark.parametrize("make", [command_app, query_app])
@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({}, 200),
        ({"api_pages": False}, 404),
        ({"profile": "production", "identity": "anonymous"}, 404),
        ({"profile": "production", "identity": "anonymous", "api_pages": True}, 200),
    ],
)
async def test_pages_are_there_in_development_and_in_production_when_they_are_wanted(make, given, status):
    app = make(Settings(database_url=DATABASE, **given))
    app.openapi_schema = {"openapi": "3.1.0"}  # as if it was asked for before: to make it anew takes long
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        page = await client.get("/docs")
        document = await client.get("/openapi.json")

    assert status == page.status_code
    assert 200 == document.status_code
    assert status == 404 or f"<title>{app.title}</title>" in page.text
