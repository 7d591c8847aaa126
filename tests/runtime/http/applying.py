"""Small applications on the pipeline."""

from collections.abc import Sequence
from typing import Any

from fastapi import Response
from fastapi.routing import APIRoute

from runtime import problem_pages, problems
from runtime.http.access_log import AccessLog, Mode
from runtime.http.application import PipelineApp
from runtime.http.exchange import Exchange
from runtime.http.pipeline import Steps
from runtime.http.principal import ANONYMOUS, Principal, Public
from runtime.http.routes import ExchangeRoute
from runtime.problem_types import ProblemType
from runtime.telemetry import HttpMetrics, new_registry

ANYBODY = Public("a test")


async def anonymous(_exchange: Exchange) -> Principal:
    return ANONYMOUS


def pipelined(
    *, access_log: Mode = "off", registry: Any = None, declared: Sequence[ProblemType] = (), **steps: Any
) -> PipelineApp:
    """An application without routes of its own."""
    app = PipelineApp(
        steps=Steps(**{"authenticate": anonymous, **steps}),
        problem_of=problems.problem_of,
        metrics=HttpMetrics(registry or new_registry()),
        access_log=AccessLog(access_log),
    )
    problem_pages.install(app, declared)
    return app


class Endpoint:
    """Answers exchanges with what a function makes of them."""

    def __init__(self, answer: Any, *, requires: Any = ANYBODY) -> None:
        self.answer = answer
        self.requires = requires

    async def __call__(self) -> Response:
        raise AssertionError("the pipeline calls `answer`")


def serve(
    app: PipelineApp, path: str, answer: Any, *, method: str = "POST", requires: Any = ANYBODY
) -> APIRoute:
    """Serve a path by a function of the exchange."""
    endpoint = Endpoint(answer, requires=requires)
    app.router.add_api_route(
        path,
        endpoint,
        methods=[method],
        route_class_override=ExchangeRoute,
        response_class=Response,
        include_in_schema=False,
    )
    route = app.router.routes[-1]
    assert isinstance(route, APIRoute)
    return route
