"""POST /v1/commands: up to 500 commands at once. They are independent; those on one stream keep their order."""

import asyncio
from collections.abc import Iterable
from typing import Annotated, Any, Final

import msgspec
import structlog
from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response
from starlette.routing import BaseRoute

from commands import answers, batch_documentation, limits, payloads
from commands.dispatcher import Command, Dispatcher, Sent
from commands.execution import Slot
from commands.payloads import Payload
from commands.recording import Answer
from commands.request_parts import read_body, read_headers, require_json
from commands.routing import CommandRoute, dispatcher_of
from domain.ids import AnyId
from domain.text import PublicText, Word
from runtime import problems
from runtime.http import api_version
from runtime.http.deprecation import deprecation_of
from runtime.http.exchange import Exchange
from runtime.http.principal import Known
from runtime.http.routes import ExchangeRoute
from runtime.problems import Fault, ProblemError

PATH: Final = f"{api_version.PREFIX}/commands"

log = structlog.get_logger()


class Entry(Payload):
    """One command of a batch, its body not yet read; `commands.batch_documentation` says what each may hold."""

    key: Annotated[str, PublicText("an idempotency key: the log has a digest of it")]
    command: Word
    target: AnyId | None = None
    body: dict[str, Any] = Field(default={})
    if_match: int | None = Field(default=None, ge=0)


class Batch(Payload):
    """Commands that are independent of each other: each gets its own answer."""

    commands: Annotated[list[Entry], Field(min_length=1, max_length=limits.BATCH_COMMANDS_MAX)]


class _RawEntry(msgspec.Struct):
    body: msgspec.Raw = msgspec.Raw(b"{}")


class _RawBatch(msgspec.Struct):
    commands: list[_RawEntry]


_slices = msgspec.json.Decoder(_RawBatch)


class SendCommands:
    """Answers batches of the commands that these routes serve."""

    requires: Final = Known("each command of a batch requires its own permission")

    def __init__(self, routes: Iterable[CommandRoute]) -> None:
        self._routes = {route.command.name: route for route in routes}
        self._deprecated = {
            name: deprecation.members
            for name, route in self._routes.items()
            if (deprecation := deprecation_of(route.endpoint)) is not None
        }

    async def __call__(self) -> Response:
        """Only declares that it can be called; requests come to `answer`."""
        raise AssertionError("the pipeline calls `answer`")

    async def answer(self, exchange: Exchange) -> Response:
        """Carry out the commands of one batch."""
        dispatcher = dispatcher_of(exchange)
        headers = read_headers(exchange.headers)
        require_json(headers)
        body = await read_body(exchange, declared=headers.length, limit=limits.BATCH_BYTES_MAX)
        entries = read_entries(body)
        slots = dispatcher.execution.reserve(len(entries))
        # Tasks start in this order and each comes to its stream's turn before it waits for anything: so commands on
        # one stream are carried out in the order given.
        outcomes = await asyncio.gather(
            *(
                self._outcome(entry, raw, exchange=exchange, dispatcher=dispatcher, slot=slot)
                for (entry, raw), slot in zip(entries, slots, strict=True)
            )
        )
        results = (
            _result(
                entry.key, outcome, exchange.correlation_id, deprecation=self._deprecated.get(entry.command)
            )
            for (entry, _), outcome in zip(entries, outcomes, strict=True)
        )
        token = dispatcher.execution.position_token(
            touched for each in outcomes if isinstance(each, Answer) for touched in each.touched
        )
        return answers.batch(results, position_token=token)

    async def _outcome(
        self, entry: Entry, raw: bytes, *, exchange: Exchange, dispatcher: Dispatcher, slot: Slot
    ) -> Answer | ProblemError:
        """The result of one command; a failure does not affect the others."""
        try:
            route = self._route(entry.command)
            if entry.target is not None and route.command.target is None:
                return _without_target(route.command)
            sent = Sent(
                key=entry.key,
                target=entry.target,
                body=raw,
                if_match=entry.if_match,
                correlation_id=exchange.correlation_id,
                principal=exchange.principal,
            )
            one = exchange.entry(exchange.pipeline.table.route_of(route))
            answer = await exchange.pipeline.entry(
                one, lambda _: dispatcher.take(route.command, sent, slot=slot)
            )
        except ProblemError as problem:
            return problem
        finally:
            slot.free()
        assert isinstance(answer, Answer)
        return answer

    def _route(self, name: str) -> CommandRoute:
        route = self._routes.get(name)
        if route is not None:
            return route
        fault = Fault(detail=f"The command '{name[:100]}' does not exist", pointer="/command")
        raise problems.of_fault("unknown-command", fault, known=sorted(self._routes))


def batch_router(routes: Iterable[BaseRoute]) -> APIRouter:
    """A router for batches of the commands that these routes serve."""
    router = APIRouter(tags=["batch"])
    router.add_api_route(
        PATH,
        SendCommands(route for route in routes if isinstance(route, CommandRoute)),
        methods=["POST"],
        route_class_override=ExchangeRoute,
        name="send_commands",
        summary="Send up to 500 commands at once",
        description=(
            "They are independent: each gets its own answer, and those on one stream are carried out in the order "
            "given."
        ),
        response_class=Response,
        responses=batch_documentation.RESPONSES,
        operation_id="send_commands",
        openapi_extra={"requestBody": batch_documentation.REQUEST_BODY},
    )
    return router


def read_entries(body: bytes) -> list[tuple[Entry, bytes]]:
    """The entries of a batch, each with the bytes of its command's body.

    Raises:
        ProblemError: the body is not JSON, or not a batch.
    """
    batch = payloads.validated(Batch, body)
    try:
        raw = [bytes(entry.body) for entry in _slices.decode(body).commands]
    except msgspec.MsgspecError as error:  # NaN and the like, in a command's body
        raise problems.unreadable(str(error)) from None
    # A member that a command's own body names twice is refused there, and leaves the other commands alone.
    members_before = sum(map(payloads.members_in, raw)) - sum(
        payloads.members_of(each.body) for each in batch.commands
    )
    payloads.require_single(batch, body, already_read=members_before)
    return list(zip(batch.commands, raw, strict=True))


def _without_target(command: Command) -> ProblemError:
    fault = Fault(detail=f"The command {command.name} has no target", pointer="/target")
    return problems.invalid([fault])


def _result(
    key: str, outcome: Answer | ProblemError, correlation_id: str, *, deprecation: dict[str, str] | None
) -> dict[str, Any]:
    # In the result and not in headers, which would say that the address of batches will go.
    announced = {} if deprecation is None else {"deprecation": deprecation}
    if isinstance(outcome, ProblemError):
        return {"key": key, **outcome.document(correlation_id), **announced}
    result = {"key": key, "status": 201, **answers.members(outcome), **announced}
    return {**result, "replayed": True} if outcome.replayed else result
