"""The log itself: events of one stream, and the log from a position on, narrowed by type, category and time."""

import json
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Final

import msgspec
from fastapi import Depends, Header, Path, Query, Request
from msgspec import Meta, Raw, Struct
from pydantic import BeforeValidator
from starlette.responses import Response, StreamingResponse

from event_store.log import reading
from event_store.log.envelope import RecordedEvent
from event_store.transport.position_token import PositionToken
from read_api import parameters
from read_api.answers import Wished
from read_api.audit import finding
from read_api.audit.finding import NAMES_PATTERN, EventQuery, FoundEvents
from read_api.audit.past import Past
from read_api.checkpoints import CheckpointSnapshot
from read_api.connections import AsyncConnection
from read_api.documentation import ALWAYS, FRESHNESS, PAGE_HEADERS, responses
from read_api.freshness import APPLIED_POSITION, PREFERENCE_APPLIED, Wish
from read_api.parameters import Limit
from read_api.reads import OpenReads, Reads
from runtime import rfc3339
from runtime.http.preferences import preferences
from runtime.http.principal import requires
from runtime.pagination import next_link
from runtime.problems import ProblemError

STREAM_NAME_LENGTH_MAX: Final = 255
"""Characters of a stream's name."""

EVENTS_DEFAULT: Final = 1_000
EVENTS_MAX: Final = 100_000
"""Events that one request for the log is answered with; a caller goes on after the last line it read."""

NEXT_AFTER: Final = "Next-After"
NDJSON: Final = "application/x-ndjson"

_EVENT_EXAMPLE: Final = {
    "position": 4711,
    "stream": "stock-85123A",
    "version": 3,
    "type": "inventory.stock_adjusted.v1",
    "recorded_at": "2026-01-31T08:26:00.123456Z",
    "partition_key": "stock-85123A",
    "leaf": "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "metadata": {
        "actor": "warehouse-7",
        "command": "adjust_stock",
        "correlation_id": "0af7651916cd43dd8448eb211c80319c",
    },
    "payload": {
        "sku": "85123A",
        "delta": -2,
        "reason": "count",
        "note": "",
        "adjusted_at": "2026-01-31T08:26:00Z",
    },
}
_STREAM_EXAMPLE: Final = {"stream": "stock-85123A", "events": [_EVENT_EXAMPLE], "next_after": None}

_LINE_EXAMPLE: Final = json.dumps(_EVENT_EXAMPLE) + "\n"
_AN_OBJECT: Final = Meta(extra_json_schema={"type": "object", "additionalProperties": True})

router = parameters.query_router("audit")

_encode = msgspec.json.Encoder().encode


Names = Annotated[str | None, Query(pattern=NAMES_PATTERN)]
Moment = Annotated[datetime | None, BeforeValidator(rfc3339.moment)]


def _past(request: Request) -> Past:
    past = request.scope["app"].state.past
    assert isinstance(past, Past)
    return past


OpenPast = Annotated[Past, Depends(_past)]


def _wait(prefer: Annotated[list[str] | None, Header(include_in_schema=False)] = None) -> int:
    return preferences(prefer or ()).wait_s or 0


Waiting = Annotated[int, Depends(_wait)]
"""How a route asks for the seconds that the caller would wait, whatever for."""


class Event(Struct, frozen=True):
    """One event as the log holds it; `leaf` is the hash that the log's proofs are made of, in hex."""

    position: int
    stream: str
    version: int
    type: str
    recorded_at: datetime
    partition_key: str
    leaf: str
    metadata: Annotated[Raw, _AN_OBJECT]
    payload: Annotated[Raw, _AN_OBJECT]


class StreamPage(Struct):
    """Events of one stream; `next_after` is where the next page begins, if there is one."""

    stream: str
    events: list[Event]
    next_after: int | None


def shown(event: RecordedEvent) -> Event:
    """An event as it is shown, payload and metadata in the very bytes that were stored."""
    return Event(
        position=event.position,
        stream=event.stream,
        version=event.version,
        type=event.type,
        recorded_at=event.recorded_at,
        partition_key=event.key,
        leaf=event.leaf.hex(),
        metadata=_on_one_line(event.metadata),
        payload=_on_one_line(event.payload),
    )


def _on_one_line(stored: bytes) -> Raw:
    """JSON holds line breaks only between its parts, never raw inside a text, so a space says the same."""
    return Raw(
        stored.replace(b"\n", b" ").replace(b"\r", b" ") if b"\n" in stored or b"\r" in stored else stored
    )


@router.get(
    "/streams/{stream}/events",
    operation_id="list_stream_events",
    summary="Events of one stream",
    response_class=Response,
    responses=responses(
        StreamPage,
        example=_STREAM_EXAMPLE,
        headers=PAGE_HEADERS,
        problems=("not-found", *ALWAYS),
        description="Events in the order of their versions.",
    ),
    openapi_extra=FRESHNESS,
)
@requires("audit:read")
async def stream_events(
    request: Request,
    stream: Annotated[
        str, Path(examples=["order-536365"], json_schema_extra={"maxLength": STREAM_NAME_LENGTH_MAX})
    ],
    *,
    reads: OpenReads,
    wish: Wished,
    after: Annotated[
        int, Query(ge=-1, le=parameters.POSITION_MAX, description="Only versions above this.")
    ] = -1,
    limit: Limit = parameters.LIMIT_DEFAULT,
) -> Response:
    """Read on with `after` set to the last version that was read. Streams of applications may begin with version 0."""
    if len(stream) > STREAM_NAME_LENGTH_MAX or "\x00" in stream:
        raise ProblemError("not-found", "The name is no name of a stream.")
    wish = await reads.admission.admit(wish, views=())

    async def read(connection: AsyncConnection, _snapshot: CheckpointSnapshot) -> list[RecordedEvent]:
        page = await reading.read_stream_async(connection, stream, after_version=after, limit=limit + 1)
        if page or after < 0:
            return page
        first = await reading.read_stream_async(connection, stream, limit=1)
        if not first:
            raise _no_stream(stream)
        return []

    snapshot, events = await reads.snapshot(read)
    if not events and after < 0:
        raise _no_stream(stream)
    more = len(events) > limit
    page = events[:limit]
    following = page[-1].version if more else None
    body = StreamPage(stream, [shown(event) for event in page], following)
    headers = _log_headers(snapshot, wish)
    if following is not None:
        query = request.query_params.multi_items()
        headers["Link"] = next_link(request.url.path, query, cursor=str(following), parameter="after")
    return Response(_encode(body), media_type="application/json", headers=headers)


async def _question(
    past: OpenPast,
    types: Annotated[
        Names,
        Query(
            alias="type",
            description="Only of these types, with commas between them.",
            examples=["ordering.order_placed.v2"],
        ),
    ] = None,
    categories: Annotated[
        Names,
        Query(
            alias="category",
            description="Only of streams of these categories: what their names begin with, up to the first `-`.",
            examples=["order,stock"],
        ),
    ] = None,
    since: Annotated[Moment, Query(description="Only recorded at this time or later.")] = None,
    until: Annotated[Moment, Query(description="Only recorded before this time.")] = None,
) -> EventQuery:
    return await finding.question(past, types=types, categories=categories, since=since, until=until)


@router.get(
    "/events",
    operation_id="list_events",
    summary="The log, one JSON text per line",
    response_class=Response,
    responses=responses(
        str,
        example=_LINE_EXAMPLE,
        headers=(*PAGE_HEADERS, NEXT_AFTER),
        problems=ALWAYS,
        description="Events in the order of their positions, as many as there are up to the limit: each line is"
        " the JSON text of an `Event`.",
        media_type=NDJSON,
    ),
    openapi_extra=FRESHNESS,
)
@requires("audit:read")
async def events(
    request: Request,
    *,
    reads: OpenReads,
    wish: Wished,
    wait_s: Waiting,
    question: Annotated[EventQuery, Depends(_question)],
    after: Annotated[
        int, Query(ge=0, le=parameters.POSITION_MAX, description="Only positions above this.")
    ] = 0,
    limit: Annotated[int, Query(ge=1, le=EVENTS_MAX, description="Lines at most.")] = EVENTS_DEFAULT,
) -> Response:
    """Go on with `after` set to `Next-After`, or, where an answer was cut off, to the last position that was read.

    An answer with filters looks through the log as far as its time allows, so it may have few lines, or none, although
    there are more: `Next-After` says how far it came. With `Prefer: wait=N` an answer without a line waits for one.
    """
    wish = await reads.admission.admit(wish, views=())
    found = await finding.find(reads, question, after=after, limit=limit, wait_s=wait_s)
    headers = _log_headers(found.snapshot, wish, waited=wait_s) | {NEXT_AFTER: str(found.upto)}
    if found.has_more:
        query = request.query_params.multi_items()
        headers["Link"] = next_link(request.url.path, query, cursor=str(found.upto), parameter="after")
    first = await finding.read(reads, found)
    return StreamingResponse(_lines(reads, found, first), media_type=NDJSON, headers=headers)


async def _lines(reads: Reads, found: FoundEvents, page: list[RecordedEvent]) -> AsyncIterator[bytes]:
    """The first page, then the others; between pages no connection is held.

    A failure in between cuts the answer off in mid-air, which tells a caller that there is more.
    """
    while page:
        yield b"".join(_encode(shown(event)) + b"\n" for event in page)
        found = found.behind(page[-1].position)
        page = await finding.read(reads, found)


def _no_stream(stream: str) -> ProblemError:
    return ProblemError("not-found", f"There is no stream {stream!r}.")


def _log_headers(snapshot: CheckpointSnapshot, wish: Wish, *, waited: int | None = None) -> dict[str, str]:
    """The log has everything up to its head; `waited`: how long the caller would have waited for a line."""
    generation = max(snapshot.partitions)
    at_head = dict.fromkeys(range(snapshot.partitions[generation]), snapshot.position)
    headers = {APPLIED_POSITION: PositionToken(snapshot.epoch, generation, at_head).encode()}
    applied = wish.applied or (f"wait={waited}" if waited else "")
    if applied:
        headers[PREFERENCE_APPLIED] = applied
    return headers
