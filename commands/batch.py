"""POST /commands: up to 500 commands at once. They are independent; those on one stream keep their order."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Annotated, Any, Final

import msgspec
import structlog
from fastapi import APIRouter, Request
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import BaseRoute

from commands import answers, limits, payloads
from commands.documentation import OF_A_BATCH, problem_responses
from commands.execution import Answer, Slot
from commands.intake import Command, Intake, Sent
from commands.payloads import Payload
from commands.requests import read_body, read_headers, require_json
from commands.routing import CommandRoute, intake_of
from runtime import problems
from runtime.problems import Fault, ProblemError, correlation_id_of, respond

PATH: Final = "/commands"

log = structlog.get_logger()


class Entry(Payload):
    """One command of a batch."""

    key: str = Field(description="The command's idempotency key.")
    command: str = Field(description="Its name: create_product, place_order, …")
    target: str | None = Field(
        default=None, description="The id in the address of its own route, if it has one."
    )
    body: dict[str, Any] = Field(default={}, description="The body of its own route.")
    if_match: int | None = Field(default=None, ge=0, description="The version that its stream must be at.")


class Batch(Payload):
    """Commands that are independent of each other: each gets its own answer."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "commands": [
                    {
                        "key": "product-1",
                        "command": "create_product",
                        "body": {"sku": "71053", "title": "White metal lantern", "stocked": True},
                    },
                    {
                        "key": "price-1",
                        "command": "change_price",
                        "target": "71053",
                        "body": {"unit_price": "3.39", "currency": "GBP"},
                    },
                ]
            }
        }
    )

    commands: Annotated[list[Entry], Field(min_length=1, max_length=limits.BATCH_COMMANDS_MAX)]


class Results(BaseModel):
    """One result per command, in order: the answer of its own route or a problem, with `status` and `key`."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "results": [
                    {
                        "key": "product-1",
                        "status": 201,
                        "stream": "product-71053",
                        "version": 1,
                        "position": 1,
                        "id": "71053",
                    }
                ]
            }
        }
    )

    results: list[dict[str, Any]]


class _RawEntry(msgspec.Struct):
    body: msgspec.Raw = msgspec.Raw(b"{}")


class _RawBatch(msgspec.Struct):
    commands: list[_RawEntry]


_REF = "#/components/schemas/{model}"
_slices = msgspec.json.Decoder(_RawBatch)


class BatchRoute(APIRoute):
    """The route of the batch; like a command's, it reads its bytes itself."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Take the request in without FastAPI's dependencies; the endpoint gets it as it is."""

        async def handle(request: Request) -> Response:
            try:
                answer = await self.endpoint(request)
            except ProblemError as problem:
                return respond(problem, correlation_id_of(request))
            except ClientDisconnect:
                return Response(status_code=400)  # nobody is there to read it
            assert isinstance(answer, Response)
            return answer

        return handle


def batch_router(routes: Iterable[BaseRoute]) -> APIRouter:
    """A router for batches of the commands that these routes serve."""
    commands = {
        command.name: command
        for command in (Command.of(route.endpoint) for route in routes if isinstance(route, CommandRoute))
    }
    router = APIRouter(route_class=BatchRoute, tags=["batch"])

    async def send_commands(request: Request) -> Response:
        """Send up to 500 commands at once.

        They are independent: each gets its own answer, and those on one stream are carried out in the order given.
        """
        return await _answered(request, commands)

    router.add_api_route(
        PATH,
        send_commands,
        methods=["POST"],
        response_model=Results,
        responses=problem_responses(OF_A_BATCH),
        operation_id="send_commands",
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": Batch.model_json_schema(ref_template=_REF)}},
            }
        },
    )
    return router


async def _answered(request: Request, commands: Mapping[str, Command]) -> Response:
    intake = intake_of(request)
    headers = read_headers(request.scope["headers"])
    require_json(headers)
    body = await read_body(request.receive, declared=headers.length, limit=limits.BATCH_BYTES_MAX)
    entries = read_entries(body)
    correlation_id = correlation_id_of(request)
    slots = intake.execution.reserve(len(entries))
    # Tasks start in this order and each comes to its stream's turn before it waits for anything: so commands on
    # one stream are carried out in the order given.
    outcomes = await asyncio.gather(
        *(
            _outcome(entry, raw, intake=intake, commands=commands, slot=slot, correlation_id=correlation_id)
            for (entry, raw), slot in zip(entries, slots, strict=True)
        )
    )
    results = (
        _result(entry.key, outcome, correlation_id)
        for (entry, _), outcome in zip(entries, outcomes, strict=True)
    )
    token = intake.execution.position_token(outcome for outcome in outcomes if isinstance(outcome, Answer))
    return answers.batch(results, position_token=token)


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
    beside = sum(map(payloads.members_in, raw)) - sum(
        payloads.members_of(each.body) for each in batch.commands
    )
    payloads.require_single(batch, body, beside=beside)
    return list(zip(batch.commands, raw, strict=True))


async def _outcome(
    entry: Entry,
    raw: bytes,
    *,
    intake: Intake,
    commands: Mapping[str, Command],
    slot: Slot,
    correlation_id: str,
) -> Answer | ProblemError:
    """What became of one command: whatever it is, the others are not touched by it."""
    try:
        command = _named(entry.command, commands)
        if entry.target is not None and command.target is None:
            return _without_target(command)
        sent = Sent(
            key=entry.key,
            target=entry.target,
            body=raw,
            if_match=entry.if_match,
            correlation_id=correlation_id,
        )
        return await intake.take(command, sent, slot=slot)
    except ProblemError as problem:
        return problem
    except Exception:  # the other commands of the batch have answers of their own, and keep them
        log.exception("command_failed", command=entry.command)
        return ProblemError("internal-error", "The command could not be answered.")
    finally:
        slot.free()


def _without_target(command: Command) -> ProblemError:
    fault = Fault(detail=f"The command {command.name} has no target", pointer="/target")
    return problems.invalid([fault])


def _named(name: str, commands: Mapping[str, Command]) -> Command:
    command = commands.get(name)
    if command is not None:
        return command
    fault = Fault(detail=f"There is no command '{name[:100]}'", pointer="/command")
    raise ProblemError("unknown-command", f"{fault.detail}.", errors=(fault,), known=sorted(commands))


def _result(key: str, outcome: Answer | ProblemError, correlation_id: str) -> dict[str, Any]:
    if isinstance(outcome, ProblemError):
        return {"key": key, **outcome.document(correlation_id)}
    result = {"key": key, "status": 201, **answers.members(outcome)}
    return {**result, "replayed": True} if outcome.replayed else result
