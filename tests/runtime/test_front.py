"""What is served directly is answered as if it had gone through the framework."""

import functools

import httpx
import pytest
from fastapi import Request, Response
from fastapi.routing import APIRoute
from prometheus_client import CollectorRegistry, generate_latest

from runtime import problems
from runtime.edge import Edge
from runtime.front import FrontedApp
from runtime.problems import ProblemError
from runtime.telemetry import HttpMetrics


class RawRoute(APIRoute):
    async def handle(self, scope, receive, send):
        response = await self.endpoint(Request(scope), name=scope["path_params"]["name"])
        await response(scope, receive, send)


@pytest.fixture
def registry():
    return CollectorRegistry()


@pytest.fixture
def app(registry):
    app = FrontedApp(telemetry={"tracing": False, "metrics": False, "logs": False})
    problems.install(app)
    edge = functools.partial(Edge, metrics=HttpMetrics(registry))
    app.add_middleware(edge)

    async def thing(request: Request, name: str) -> Response:
        assert request.app is app
        if name == "absent":
            raise ProblemError("not-found", "There is no such thing.")
        if name == "broken":
            raise ZeroDivisionError
        return Response(name)

    app.router.add_api_route("/things/{name}", thing, route_class_override=RawRoute)
    route = next(each for each in app.routes if isinstance(each, RawRoute))

    def find(scope):
        prefix, _, name = scope["path"].rpartition("/")
        return (route, {"name": name}) if prefix == "/direct" else None

    app.serve_directly(find, edge=edge)
    return app


@pytest.mark.anyio
@pytest.mark.parametrize(("name", "status"), [("here", 200), ("absent", 404), ("broken", 500)])
async def test_direct_and_routed_answers_are_the_same(app, name, status):
    asked = {"Correlation-Id": "same"}
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=asked) as client:
        routed = await client.get(f"/things/{name}")
        direct = await client.get(f"/direct/{name}")

    assert status == routed.status_code == direct.status_code
    assert routed.headers == direct.headers
    assert routed.content == direct.content


@pytest.mark.anyio
async def test_what_is_not_found_is_left_to_the_router(app):
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        answer = await client.get("/nowhere/here")

    assert answer.status_code == 404


@pytest.mark.anyio
async def test_direct_answers_are_counted_under_the_template_of_their_route(app, registry):
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        await client.get("/direct/here")

    assert b'route="/things/{name}",status="200"} 1.0' in generate_latest(registry)
