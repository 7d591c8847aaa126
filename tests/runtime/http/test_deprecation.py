"""A route that will go says so in every answer, in the form of the standards, and in the document."""

import datetime as dt
from functools import partial

import pytest
from fastapi import Response

from runtime.http.deprecation import Deprecation, deprecated
from runtime.http.principal import requires
from runtime.problems import ProblemError
from tests.runtime.http.applying import ANYBODY, pipelined
from tests.runtime.http.test_pipeline import asked

pytestmark = pytest.mark.anyio

GOING = Deprecation(since=dt.date(2026, 1, 31), sunset=dt.date(2027, 1, 31), successor="/v2/orders")
STAYING = Deprecation(since=dt.date(2026, 1, 31))


async def answer() -> Response:
    return Response("here", headers={"link": '</v1/orders?cursor=x>; rel="next"'})


async def refuse() -> Response:
    raise ProblemError("not-found", "There is nothing.")


def serving(deprecation, *endpoints):
    app = pipelined()
    for number, endpoint in enumerate(endpoints):
        declared = requires(ANYBODY)(partial(endpoint))
        if deprecation is not None:
            declared = deprecated(deprecation)(declared)
        app.get(f"/v1/{number}", response_class=Response)(declared)
    return app


async def test_answers_and_refusals_of_a_route_that_will_go_say_when():
    app = serving(GOING, answer, refuse)
    for path, status in (("/v1/0", 200), ("/v1/1", 404)):
        found = await asked(app, "GET", path)

        assert status == found.status_code
        assert "@1769817600" == found.headers["deprecation"]
        assert "Sun, 31 Jan 2027 00:00:00 GMT" == found.headers["sunset"]
        assert '</v2/orders>; rel="successor-version"' == found.headers.get_list("link")[-1]
    assert (
        '</v1/orders?cursor=x>; rel="next"' == (await asked(app, "GET", "/v1/0")).headers.get_list("link")[0]
    )


@pytest.mark.parametrize(
    ("deprecation", "said"), [(GOING, {"Deprecation", "Sunset"}), (STAYING, {"Deprecation"}), (None, set())]
)
async def test_the_document_says_it_of_every_answer(deprecation, said):
    document = serving(deprecation, answer).openapi()
    operation = document["paths"]["/v1/0"]["get"]

    assert operation["responses"]
    for response in operation["responses"].values():
        assert said == response["headers"].keys() & {"Deprecation", "Sunset"}
        assert said <= document["components"]["headers"].keys()
    assert (deprecation is not None) is operation.get("deprecated", False)
    assert ("2027-01-31" if deprecation is GOING else None) == operation.get("x-sunset")
    answered = (await asked(serving(deprecation, answer), "GET", "/v1/0")).headers
    assert {name.lower() for name in said} == answered.keys() & {"deprecation", "sunset"}
