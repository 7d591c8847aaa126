"""Questions: what a decision would come to, by the states that the log has now. Nothing is appended and nothing kept.

A question is sent like a command, with a body, and needs no idempotency key: asked again, it is answered anew.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Annotated, Any, Final, TypeVar, get_type_hints

import msgspec
from fastapi import APIRouter, Depends
from starlette.responses import Response

from commands import limits, payloads, refusals
from commands.decision import DecisionView, NotLoaded, Selection, StreamState, TagQuery
from commands.dispatcher import Clock
from commands.documentation import problem_responses
from commands.log_polling import LogPoller
from commands.log_reading import LogUnreachable
from commands.payloads import Payload
from commands.request_parts import read_body, read_headers, require_json
from commands.states import States
from domain.rejection import Rejection
from runtime.http import answer_shapes, principal
from runtime.http.exchange import Exchange
from runtime.http.principal import Requirement
from runtime.http.routes import ExchangeRoute

T = TypeVar("T")
Q = TypeVar("Q", bound=Callable[..., Awaitable[Any]])

ALWAYS: Final = (
    "malformed-json",
    "body-too-slow",
    "body-too-large",
    "unsupported-media-type",
    "validation-failed",
    "too-busy",
    "store-unavailable",
)
"""Problems that every question may meet."""

_encode = msgspec.json.Encoder().encode


class Asking:
    """Answers the questions of one process."""

    def __init__(self, states: States, *, poller: LogPoller, clock: Clock) -> None:
        self._states = states
        self._poller = poller
        self._clock = clock

    @property
    def now(self) -> datetime:
        """The time of a question."""
        return self._clock()

    async def ask(self, answer: Callable[[DecisionView], T]) -> T:
        """The answer by the newest states; `answer` may be called several times.

        Raises:
            ProblemError: the question is refused, or cannot be answered at the moment.
        """
        states: dict[str, StreamState[Any]] = {}
        selections: dict[TagQuery, Selection] = {}
        try:
            for _ in range(limits.READ_ROUNDS_MAX):
                try:
                    return answer(DecisionView(states.get, selections.get))
                except NotLoaded as missing:
                    await self._load(missing, states, selections)
        except Rejection as refusal:
            raise refusals.problem_of(refusal) from refusal
        except LogUnreachable as error:
            raise refusals.store_unavailable() from error
        raise AssertionError(f"a question still reads new streams after {limits.READ_ROUNDS_MAX} rounds")

    async def _load(
        self,
        missing: NotLoaded,
        states: dict[str, StreamState[Any]],
        selections: dict[TagQuery, Selection],
    ) -> None:
        if not self._poller.answers:
            raise refusals.store_unavailable()
        loaded, *selected = await asyncio.gather(
            self._states.load(missing.streams),
            *(self._states.select(question) for question in missing.questions),
        )
        states.update(loaded)
        selections.update(zip(missing.questions, selected, strict=True))


def _carried() -> Asking:
    raise AssertionError("routes hand it over themselves")


Asked = Annotated[Asking, Depends(_carried)]
"""How an endpoint asks for the states."""


class QuestionRoute(ExchangeRoute):
    """A POST route whose endpoint (body, asking) answers a question with a struct."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        self.payload: type[Payload] = get_type_hints(endpoint)["body"]

    async def answer(self, exchange: Exchange) -> Response:
        """Read the body, and have the endpoint answer."""
        asking = exchange.pipeline.app.state.asking
        assert isinstance(asking, Asking), "the application is open"
        headers = read_headers(exchange.headers)
        body = await read_body(exchange, declared=headers.length, limit=limits.BODY_BYTES_MAX)
        require_json(headers)
        answered = await self.endpoint(body=payloads.read(self.payload, body), asking=asking)
        return Response(_encode(answered), media_type="application/json")


def question(
    router: APIRouter,
    path: str,
    *,
    requires: Requirement,
    shape: type[msgspec.Struct],
    example: dict[str, Any],
    refusals: Sequence[type[Rejection]] = (),
    problems: Sequence[str] = (),
) -> Callable[[Q], Q]:
    """Serve an endpoint as a question at a path of a router of commands, below the API's version.

    For the document, `shape` and `example` are of its answer, `refusals` and `problems` what it may meet besides those
    of every question.
    """

    def serve(endpoint: Q) -> Q:
        endpoint = principal.requires(requires)(endpoint)
        answered = {
            "description": "The answer.",
            "content": {"application/json": {"schema": answer_shapes.schema_of(shape), "example": example}},
        }
        router.add_api_route(
            path,
            endpoint,
            methods=["POST"],
            route_class_override=QuestionRoute,
            response_class=Response,
            response_model=None,
            responses={200: answered, **problem_responses((*ALWAYS, *problems), refusals)},
            operation_id=endpoint.__name__,
        )
        return endpoint

    return serve
