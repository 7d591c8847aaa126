"""Problems as answers: their shape, their pages, and what an application says when it is asked wrongly."""

import httpx
import pytest
from pydantic import BaseModel

from runtime import problems
from runtime.http.application import PipelineApp
from runtime.http.principal import requires
from runtime.problem_types import CATALOGUE, ProblemType
from runtime.problems import Fault, ProblemError
from tests.runtime.http.applying import ANYBODY, pipelined

pytestmark = pytest.mark.anyio


DECLARED = ProblemType("shop-shut", 409, "The shop is shut", "It is `closed` at night.", "Come tomorrow.")
"""A problem of the business, declared where it is refused."""

PAGES = {**CATALOGUE, DECLARED.slug: DECLARED}


class Thing(BaseModel):
    name: str


@pytest.fixture
def app() -> PipelineApp:
    app = pipelined(declared=[DECLARED])

    @app.get("/refused", include_in_schema=False)
    @requires(ANYBODY)
    async def refused() -> None:
        raise ProblemError(
            "validation-failed", "Bad.", errors=[Fault(detail="Odd", pointer="/lines/3/sku")], limit=7
        )

    @app.get("/things/{number}", include_in_schema=False)
    @requires(ANYBODY)
    async def things(number: int) -> int:
        return number

    @app.post("/things", include_in_schema=False)
    @requires(ANYBODY)
    async def create(thing: Thing) -> str:
        return thing.name

    return app


@pytest.fixture
async def client(app: PipelineApp):
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
    assert '<meta name="viewport" content="width=device-width' in page.text, (
        "a telephone shows it at its own width"
    )
    assert "color-scheme:light dark" in page.text
    assert '<link rel="icon" href="data:,">' in page.text, "no browser asks for one that is not there"


async def test_the_index_names_every_type(client):
    index = await client.get("/problems")

    assert all(f'href="/problems/{slug}"' in index.text for slug in PAGES)


async def test_a_type_that_does_not_exist_has_no_page(client):
    assert 404 == (await client.get("/problems/nonsense")).status_code


def test_a_pointer_escapes_what_json_pointer_escapes():
    assert "/a~1b/~0/3" == problems.json_pointer(["a/b", "~", 3])
