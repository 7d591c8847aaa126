"""Problems as answers: their shape, their pages, and what an application says when it is asked wrongly."""

import httpx
import pytest
from fastapi import FastAPI
from pydantic import BaseModel

from runtime import problem_pages, problems
from runtime.edge import Edge
from runtime.problem_types import CATALOGUE, ProblemType
from runtime.problems import Fault, ProblemError
from runtime.telemetry import HttpMetrics, new_registry

pytestmark = pytest.mark.anyio


DECLARED = ProblemType("shop-shut", 409, "The shop is shut", "It is `closed` at night.", "Come tomorrow.")
"""A problem of the business, declared where it is refused."""

PAGES = {**CATALOGUE, DECLARED.slug: DECLARED}


class Thing(BaseModel):
    name: str


@pytest.fixture
def app() -> FastAPI:
    app = FastAPI()
    problems.install(app)
    problem_pages.install(app, [DECLARED])
    app.add_middleware(Edge, metrics=HttpMetrics(new_registry()))

    @app.get("/refused")
    async def refused() -> None:
        raise ProblemError(
            "validation-failed", "Bad.", errors=[Fault(detail="Odd", pointer="/lines/3/sku")], limit=7
        )

    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError("secret detail")

    @app.get("/things/{number}")
    async def things(number: int) -> int:
        return number

    @app.post("/things")
    async def create(thing: Thing) -> str:
        return thing.name

    return app


@pytest.fixture
async def client(app: FastAPI):
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        yield client


async def test_a_refused_request_is_answered_with_type_title_status_detail_and_correlation_id(client):
    answer = await client.get("/refused", headers={"Correlation-Id": "c-1"})

    assert 422 == answer.status_code
    assert "application/problem+json" == answer.headers["content-type"]
    assert {
        "type": "/problems/validation-failed",
        "title": CATALOGUE["validation-failed"].title,
        "status": 422,
        "code": "validation-failed",
        "detail": "Bad.",
        "correlation_id": "c-1",
        "errors": [{"detail": "Odd", "pointer": "/lines/3/sku"}],
        "facts": {"limit": 7},
    } == answer.json()


async def test_a_fault_of_ours_shows_a_correlation_id_and_nothing_of_the_inside(client):
    answer = await client.get("/broken", headers={"Correlation-Id": "c-2"})

    assert 500 == answer.status_code
    assert "c-2" == answer.json()["correlation_id"]
    assert "secret" not in answer.text


@pytest.mark.parametrize(
    ("method", "path", "status", "slug"),
    [
        ("GET", "/nowhere", 404, "not-found"),
        ("GET", "/.git/config", 404, "not-found"),
        ("TRACE", "/things", 405, "method-not-allowed"),
        ("GET", "/things/x", 422, "validation-failed"),
        ("POST", "/things", 422, "validation-failed"),
    ],
)
async def test_what_the_framework_refuses_is_a_problem_too(client, method, path, status, slug):
    answer = await client.request(method, path)

    assert (status, slug) == (answer.status_code, answer.json()["code"])


async def test_a_wrong_member_of_a_body_is_named_by_its_pointer(client):
    answer = await client.post("/things", json={"name": 1})

    assert ["/name"] == [fault["pointer"] for fault in answer.json()["errors"]]


async def test_a_wrong_part_of_the_address_is_named_by_its_parameter(client):
    answer = await client.get("/things/x")

    assert ["number"] == [fault["parameter"] for fault in answer.json()["errors"]]


@pytest.mark.parametrize("slug", sorted(PAGES))
async def test_every_type_resolves_to_a_page_that_says_what_to_do(client, slug):
    page = await client.get(PAGES[slug].uri)

    assert 200 == page.status_code
    assert "What to do" in page.text
    assert "text/html; charset=utf-8" == page.headers["content-type"]


async def test_the_index_names_every_type(client):
    index = await client.get("/problems")

    assert all(f'href="/problems/{slug}"' in index.text for slug in PAGES)


async def test_a_type_that_does_not_exist_has_no_page(client):
    assert 404 == (await client.get("/problems/nonsense")).status_code


@pytest.mark.parametrize("path", ["/refused", "/broken", "/nowhere", "/problems", "/things/1"])
async def test_every_answer_carries_the_security_headers_and_no_banner(client, path):
    headers = (await client.get(path)).headers

    assert "nosniff" == headers["x-content-type-options"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "max-age=31536000" in headers["strict-transport-security"]
    assert "server" not in headers


async def test_answers_are_not_kept_by_caches_unless_they_say_so(client):
    assert "no-store" == (await client.get("/things/1")).headers["cache-control"]
    assert "public, max-age=3600" == (await client.get("/problems")).headers["cache-control"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"Correlation-Id": "order-7"}, "order-7"),
        ({"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}, "a" * 32),
        ({"Correlation-Id": "order-7", "traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}, "order-7"),
    ],
)
async def test_the_callers_correlation_id_is_echoed(client, given, expected):
    assert expected == (await client.get("/things/1", headers=given)).headers["correlation-id"]


@pytest.mark.parametrize("given", ["\x1b[31mred", "a b", "x" * 129, ""])
async def test_a_correlation_id_that_could_break_a_log_line_is_replaced(client, given):
    answer = await client.get("/things/1", headers={"Correlation-Id": given.encode()})

    assert given != answer.headers["correlation-id"]
    assert 32 == len(answer.headers["correlation-id"])


def test_a_pointer_escapes_what_json_pointer_escapes():
    assert "/a~1b/~0/3" == problems.json_pointer(["a/b", "~", 3])
