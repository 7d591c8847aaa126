"""Routes for commands: FastAPI documents them, but body bytes go straight into the payload and answer bytes out.

Solving dependencies and serialising responses costs more than deciding and appending together; the route class is
FastAPI's own seam for doing without.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from fastapi import APIRouter
from starlette.responses import Response

from commands import answers, limits
from commands.dispatcher import Command, Dispatcher, Endpoint, Sent
from commands.documentation import ALWAYS, ANSWER_HEADERS, REQUEST_HEADERS, problem_responses
from commands.request_parts import read_body, read_headers, require_json, valid_key
from domain.rejection import Rejection
from runtime.http import api_version, contract, principal
from runtime.http.exchange import Exchange
from runtime.http.principal import Requirement
from runtime.http.routes import ExchangeRoute

E = TypeVar("E", bound=Endpoint)


class CommandRoute(ExchangeRoute):
    """A POST route whose endpoint is a command."""

    def __init__(self, path: str, endpoint: Endpoint, **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        self.command = Command.of(endpoint)

    async def answer(self, exchange: Exchange) -> Response:
        """Take one command in; see `commands.dispatcher`."""
        command, dispatcher = self.command, dispatcher_of(exchange)
        headers = read_headers(exchange.headers)
        key = valid_key(headers.key)
        body = await read_body(exchange, declared=headers.length, limit=limits.BODY_BYTES_MAX)
        if body:
            require_json(headers)
        sent = Sent(
            key=key,
            target=None if command.target is None else exchange.parameters[command.target],
            body=body or b"{}",
            if_match=headers.if_match,
            correlation_id=exchange.correlation_id,
            principal=exchange.principal,
        )
        [slot] = dispatcher.execution.reserve(1)
        answer = await dispatcher.take(command, sent, slot=slot)
        settled = None
        if headers.preferences is not None and headers.preferences.until is not None:
            settled = await dispatcher.settled(sent, headers.preferences)
        touched = answer.touched if settled is None else (*answer.touched, *settled.touched)
        return answers.accepted(
            answer,
            position_token=dispatcher.execution.position_token(touched),
            location=dispatcher.locations.of(answer),
            settled=settled,
        )


def dispatcher_of(exchange: Exchange) -> Dispatcher:
    """The dispatcher that the application opened at its start."""
    dispatcher = exchange.pipeline.app.state.dispatcher
    assert isinstance(dispatcher, Dispatcher)
    return dispatcher


def command_router(tag: str) -> APIRouter:
    """A router for the commands of one context."""
    return APIRouter(prefix=api_version.PREFIX, route_class=CommandRoute, tags=[tag])


def command(
    router: APIRouter,
    path: str,
    *,
    requires: Requirement,
    refusals: Sequence[type[Rejection]] = (),
    problems: Sequence[str] = (),
) -> Callable[[E], E]:
    """Serve an endpoint as a command at a path below the API's version, for callers who have what it requires.

    For the document, `refusals` are what it may refuse, and `problems` what it may meet besides those of every command.
    """

    def serve(endpoint: E) -> E:
        endpoint = principal.requires(requires)(endpoint)
        responses = problem_responses((*ALWAYS, *problems), refusals)
        responses[201] = {
            "description": "The command was accepted.",
            "headers": contract.headers(*ANSWER_HEADERS),
        }
        router.add_api_route(
            path,
            endpoint,
            methods=["POST"],
            status_code=201,
            response_model=answers.Accepted,
            responses=responses,
            operation_id=endpoint.__name__,
            openapi_extra={"parameters": contract.refer("parameters", *REQUEST_HEADERS)},
        )
        return endpoint

    return serve
