"""Small applications on the pipeline."""

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import uvicorn
from fastapi import Response
from fastapi.routing import APIRoute

from devservers import child
from runtime import problem_pages
from runtime.http import problem_answers
from runtime.http.access_log import AccessLog, Mode
from runtime.http.application import PipelineApp
from runtime.http.exchange import Exchange
from runtime.http.pipeline import Steps
from runtime.http.principal import ANONYMOUS, Principal, Public
from runtime.http.protocol import PipelineProtocol
from runtime.http.routes import ExchangeRoute
from runtime.problem_types import ProblemType
from runtime.telemetry import HttpMetrics, new_registry

ANYBODY = Public("a test")
ANSWERED_WITHIN_S = 60


async def anonymous(_exchange: Exchange) -> Principal:
    return ANONYMOUS


def pipelined(
    *,
    access_log: Mode = "off",
    registry: Any = None,
    declared: Sequence[ProblemType] = (),
    origins: Sequence[str] = (),
    **steps: Any,
) -> PipelineApp:
    """An application without routes of its own."""
    app = PipelineApp(
        steps=Steps(**{"authenticate": anonymous, **steps}),
        problem_of=problem_answers.problem_of,
        metrics=HttpMetrics(registry or new_registry()),
        access_log=AccessLog(access_log),
        origins=origins,
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


@contextlib.contextmanager
def listening(app: PipelineApp, *, keep_alive_s: int = 2 * ANSWERED_WITHIN_S) -> Iterator[uvicorn.Server]:
    """A server of an application on a port of its own, in a thread.

    Unless another time is given, what closes a connection within a test closes it for another reason than its age.
    """
    config = uvicorn.Config(
        app,
        host="127.0.0.1",
        port=child.free_port(),
        http=PipelineProtocol,
        ws="none",
        log_config=None,
        proxy_headers=False,
        timeout_graceful_shutdown=ANSWERED_WITHIN_S,
        timeout_keep_alive=keep_alive_s,
    )
    with serving(config) as server:
        yield server


@contextlib.contextmanager
def serving(config: uvicorn.Config) -> Iterator[uvicorn.Server]:
    """A server of this configuration, started, in a thread."""
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        give_up = time.monotonic() + ANSWERED_WITHIN_S
        while not server.started:
            assert time.monotonic() < give_up
            time.sleep(0.01)
        yield server
    finally:
        server.should_exit = True
        thread.join()
