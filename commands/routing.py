"""Routes for commands: FastAPI documents them, but body bytes go straight into the payload and answer bytes out.

Solving dependencies and serialising responses costs more than deciding and appending together; the route class is
FastAPI's own seam for doing without.
"""

from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from fastapi import APIRouter, FastAPI, Request
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import Receive, Scope, Send

from commands import answers, limits
from commands.documentation import ALWAYS, ANSWER_HEADERS, problem_responses
from commands.intake import Command, Endpoint, Intake, Sent
from commands.requests import Headers, read_body, read_headers, require_json, valid_key
from domain.rejection import Rejection
from runtime import direct
from runtime.front import Find
from runtime.problems import ProblemError, correlation_id_of, respond
from runtime.telemetry import HttpMetrics

E = TypeVar("E", bound=Endpoint)


class CommandRoute(APIRoute):
    """A POST route whose endpoint is a command."""

    def __init__(self, path: str, endpoint: Endpoint, **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        handle = self.get_route_handler()

        async def serve(scope: Scope, receive: Receive, send: Send) -> None:
            response = await handle(Request(scope, receive, send))
            await response(scope, receive, send)

        self.app = serve  # without the two exit stacks for dependencies that commands do not have

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Take the request in without FastAPI's dependencies; see `commands.intake`."""
        command = Command.of(self.endpoint)

        async def handle(request: Request) -> Response:
            try:
                return await _answered(command, request)
            except ProblemError as problem:
                return respond(problem, correlation_id_of(request))
            except ClientDisconnect:
                return Response(status_code=400)  # nobody is there to read it

        return handle


def at_fixed_paths(routes: Iterable[BaseRoute]) -> Find:
    """Finds the command of a request by its path alone, for commands whose path has no parameter."""
    found = {route.path: route for route in _without_parameters(routes)}

    def find(scope: Scope) -> tuple[APIRoute, dict[str, str]] | None:
        route = found.get(scope["path"]) if scope["method"] == "POST" else None
        return None if route is None else (route, {})

    return find


def answered_directly(app: FastAPI, *, metrics: HttpMetrics) -> dict[tuple[bytes, bytes], direct.Direct]:
    """By method and target, what answers the commands whose path has no parameter without ASGI."""
    return {
        (b"POST", route.path.encode()): direct.at_the_edge(
            _directly(Command.of(route.endpoint), app), method="POST", route=route.path, metrics=metrics
        )
        for route in _without_parameters(app.routes)
    }


def _without_parameters(routes: Iterable[BaseRoute]) -> Iterator[CommandRoute]:
    for route in routes:
        if isinstance(route, CommandRoute) and not route.param_convertors:
            yield route


async def _answered(command: Command, request: Request) -> Response:
    headers = read_headers(request.scope["headers"])
    key = valid_key(headers.key)
    body = await read_body(request.receive, declared=headers.length, limit=limits.BODY_BYTES_MAX)
    target = None if command.target is None else request.path_params[command.target]
    sent = _sent(headers, key=key, target=target, body=body, correlation_id=correlation_id_of(request))
    return await _taken(command, sent, intake=intake_of(request))


def _directly(command: Command, app: FastAPI) -> direct.Endpoint:
    async def answer(raw: direct.Headers, body: bytes, correlation_id: str) -> Response:
        try:
            headers = read_headers(raw)
            key = valid_key(headers.key)
            sent = _sent(headers, key=key, target=None, body=body, correlation_id=correlation_id)
            return await _taken(command, sent, intake=app.state.intake)
        except ProblemError as problem:
            return respond(problem, correlation_id)

    return answer


def _sent(headers: Headers, *, key: str, target: str | None, body: bytes, correlation_id: str) -> Sent:
    if body:
        require_json(headers)
    return Sent(key, target, body or b"{}", headers.if_match, correlation_id)


async def _taken(command: Command, sent: Sent, *, intake: Intake) -> Response:
    [slot] = intake.execution.reserve(1)
    answer = await intake.take(command, sent, slot=slot)
    return answers.accepted(
        answer,
        position_token=intake.execution.position_token((answer,)),
        location=answers.location(answer, intake.locations),
    )


def intake_of(request: Request) -> Intake:
    """The intake that the application opened at its start."""
    intake = request.scope["app"].state.intake
    assert isinstance(intake, Intake)
    return intake


def command_router(tag: str) -> APIRouter:
    """A router for the commands of one context."""
    return APIRouter(route_class=CommandRoute, tags=[tag])


def command(router: APIRouter, path: str, *, refusals: Sequence[type[Rejection]] = ()) -> Callable[[E], E]:
    """Serve an endpoint as a command at a path. `refusals` are what it may refuse, for the document."""

    def serve(endpoint: E) -> E:
        responses = problem_responses(ALWAYS, refusals)
        responses[201] = {"description": "The command was accepted.", "headers": ANSWER_HEADERS}
        router.add_api_route(
            path,
            endpoint,
            methods=["POST"],
            status_code=201,
            response_model=answers.Accepted,
            responses=responses,
            operation_id=endpoint.__name__,
        )
        return endpoint

    return serve
