"""The steps of the pipeline: their order, what each may refuse, and that no route is served past them."""

import json

import httpx
import pytest
from fastapi import Response
from starlette.responses import FileResponse
from starlette.routing import Mount, Route

from runtime.http.pipeline import Refusal
from runtime.http.principal import ANONYMOUS, Principal, requires
from runtime.http.routes import UndeclaredRoute
from runtime.problems import ProblemError
from runtime.telemetry import new_registry
from tests.runtime.http.applying import ANYBODY, pipelined, serve

pytestmark = pytest.mark.anyio

CLERK = Principal("account", "clerk-7", frozenset({"orders:place"}))
TOO_BUSY = Refusal(ProblemError("too-busy", "Later."))


def client_of(app, scheme="http"):
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=f"{scheme}://test")


async def asked(app, method="POST", path="/orders", **given):
    async with client_of(app) as client:
        return await client.request(method, path, **given)


def noting(steps, name, result=None):
    async def step(_exchange):
        steps.append(name)
        return result

    return step


async def test_every_request_passes_all_steps_in_their_order():
    steps = []
    app = pipelined(
        shed=lambda *_: steps.append("shed"),
        limit_by_address=noting(steps, "limit by address"),
        authenticate=noting(steps, "authenticate", CLERK),
        limit_by_principal=noting(steps, "limit by principal"),
    )
    serve(app, "/orders", noting(steps, "handle", Response("done")), requires="orders:place")

    answer = await asked(app)

    assert (200, "done") == (answer.status_code, answer.text)
    assert ["shed", "limit by address", "authenticate", "limit by principal", "handle"] == steps


@pytest.mark.parametrize("step", ["limit_by_address", "authenticate", "limit_by_principal"])
@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/orders"), ("GET", "/nowhere"), ("PUT", "/orders"), ("GET", "/problems")]
)
async def test_what_a_step_refuses_goes_no_further(step, method, path):
    async def refuse(_exchange):
        raise ProblemError("too-busy", "Not now.")

    steps = []
    app = pipelined(**{step: refuse})
    serve(app, "/orders", noting(steps, "handle", Response()))

    answer = await asked(app, method, path, headers={"Correlation-Id": "c-1"})

    assert (503, "too-busy", "c-1") == (
        answer.status_code,
        answer.json()["code"],
        answer.headers["correlation-id"],
    )
    assert [] == steps


async def test_what_is_shed_is_not_even_matched():
    app = pipelined(shed=lambda method, path: TOO_BUSY if (method, path) == ("POST", "/orders") else None)
    serve(app, "/orders", noting([], "handle", Response()))

    assert 503 == (await asked(app)).status_code
    assert 405 == (await asked(app, "GET")).status_code


@pytest.mark.parametrize(
    ("principal", "status"),
    [(ANONYMOUS, 200), (CLERK, 200), (Principal("guest", "g-1", frozenset({"orders:read"})), 403)],
)
async def test_only_who_has_the_permission_of_a_route_is_served(principal, status):
    app = pipelined(authenticate=noting([], "authenticate", principal))
    serve(app, "/orders", noting([], "handle", Response()), requires="orders:place")

    answer = await asked(app)

    assert status == answer.status_code
    if status == 403:
        assert "forbidden" == answer.json()["code"]
        assert "orders:place" in answer.json()["detail"]


async def test_a_command_of_a_batch_passes_the_steps_of_its_own_route():
    app = pipelined(authenticate=noting([], "authenticate", CLERK))
    place = serve(app, "/orders", noting([], "handle"), requires="orders:place")
    cancel = serve(app, "/cancellations", noting([], "handle"), requires="orders:cancel")

    async def batch(exchange):
        became = []
        for route in (place, cancel):
            entry = exchange.entry(exchange.pipeline.table.route_of(route))
            try:
                became.append(await exchange.pipeline.entry(entry, noting([], "entry", "done")))
            except ProblemError as problem:
                became.append(problem.type.slug)
        return Response(json.dumps(became))

    serve(app, "/commands", batch)

    assert ["done", "forbidden"] == (await asked(app, path="/commands")).json()


async def test_a_failure_nobody_foresaw_shows_a_correlation_id_and_nothing_of_the_inside():
    async def broken(_exchange):
        raise RuntimeError("secret detail")

    app = pipelined()
    serve(app, "/orders", broken)

    answer = await asked(app, headers={"Correlation-Id": "c-2"})

    assert (500, "internal-error", "c-2") == (
        answer.status_code,
        answer.json()["code"],
        answer.json()["correlation_id"],
    )
    assert "secret" not in answer.text


async def test_an_answer_that_breaks_off_is_not_taken_for_whole():
    async def broken(_exchange):
        class Breaking(Response):
            async def __call__(self, _scope, _receive, send):
                await send({"type": "http.response.start", "status": 200, "headers": []})
                raise RuntimeError("the log went away")

        return Breaking()

    app = pipelined()
    serve(app, "/orders", broken)

    with pytest.raises(RuntimeError, match="went away"):
        await asked(app)


async def test_requests_are_counted_by_route_and_never_by_address():
    registry = new_registry()
    app = pipelined(registry=registry)
    serve(app, "/orders/{order_id}", noting([], "handle", Response()), method="GET")

    for path in ("/orders/1", "/orders/2", "/nowhere", "/order/3"):
        await asked(app, "GET", path)

    def counted(route, status):
        labels = {"method": "GET", "route": route, "status": status}
        return registry.get_sample_value("counterfoil_http_requests_total", labels)

    assert (2, 2) == (counted("/orders/{order_id}", "200"), counted("(none)", "404"))


async def test_a_part_of_a_file_is_counted_as_one(tmp_path):
    file = tmp_path / "picture"
    file.write_bytes(b"picture")
    registry = new_registry()
    app = pipelined(registry=registry)
    serve(app, "/picture", noting([], "handle", FileResponse(file)), method="GET")

    await asked(app, "GET", "/picture", headers={"range": "bytes=0-1"})

    labels = {"method": "GET", "route": "/picture", "status": "206"}
    assert 1 == registry.get_sample_value("counterfoil_http_requests_total", labels)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/orders", "GET, HEAD, POST"),
        ("TRACE", "/orders/1", "GET, HEAD"),
        ("PURGE", "/openapi.json", "GET, HEAD"),
    ],
)
async def test_a_method_that_an_address_does_not_know_is_answered_with_those_it_knows(method, path, allowed):
    app = pipelined()
    for method_, path_ in (("POST", "/orders"), ("GET", "/orders"), ("GET", "/orders/{order_id}")):
        serve(app, path_, noting([], "handle", Response()), method=method_)

    answer = await asked(app, method, path)

    assert (405, "method-not-allowed") == (answer.status_code, answer.json()["code"])
    assert allowed == answer.headers["allow"]


async def test_head_is_answered_like_get_without_its_body():
    app = pipelined()
    serve(app, "/orders", noting([], "handle", Response("whole")), method="GET")

    answer = await asked(app, "HEAD")

    assert (200, "5", b"") == (answer.status_code, answer.headers["content-length"], answer.content)


async def test_an_address_without_parameters_wins_over_one_with():
    app = pipelined()
    serve(app, "/orders/{order_id}", noting([], "handle", Response("one")), method="GET")
    serve(app, "/orders/open", noting([], "handle", Response("open")), method="GET")

    assert "open" == (await asked(app, "GET", "/orders/open")).text
    assert "one" == (await asked(app, "GET", "/orders/1")).text


def route_by_hand(app):
    app.add_api_route("/backdoor", noting([], "handle", None), methods=["GET"])


def without_version(app):
    app.add_api_route("/orders", requires(ANYBODY)(noting([], "handle", None)), methods=["GET"])


def foreign_route(app):
    app.router.routes.append(Route("/backdoor", noting([], "handle", None)))


def mounted(app):
    app.router.routes.append(Mount("/backdoor", app=pipelined()))


def middleware(app):
    app.add_middleware(lambda inner: inner)


@pytest.mark.parametrize("past", [route_by_hand, without_version, foreign_route, mounted, middleware])
async def test_an_application_with_a_way_past_the_pipeline_does_not_start(past):
    app = pipelined()
    past(app)

    with pytest.raises(UndeclaredRoute):
        await app({"type": "lifespan"}, noting([], "receive"), noting([], "send"))


async def test_what_is_added_after_the_start_is_not_served():
    app = pipelined()
    await asked(app)

    @app.get("/late")
    @requires(ANYBODY)
    async def late() -> str:
        return "served"

    assert 404 == (await asked(app, "GET", "/late")).status_code
