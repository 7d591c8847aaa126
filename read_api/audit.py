"""Reading the log itself: events by stream and by position, and any keyed resource as it was.

What is read here is never stale: the log is where everything else comes from.
"""

import asyncio
import contextlib
import functools
import json
import re
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Final

import msgspec
import psycopg
from fastapi import Path, Query, Request
from msgspec import Meta, Raw, Struct
from psycopg_pool import ConnectionPool, PoolTimeout
from starlette.responses import Response, StreamingResponse

from event_store import paging, reading
from event_store.envelope import RecordedEvent
from event_store.partitioning import partition_of
from event_store.position_token import PositionToken
from projections import replay
from projections.errors import FoldFailed
from read_api import freshness, parameters
from read_api.connections import AsyncConnection
from read_api.documentation import ALWAYS, ANSWER_HEADERS, FRESHNESS, PAGE_HEADERS, responses
from read_api.errors import TooManyReads, ViewUnavailable
from read_api.freshness import APPLIED_POSITION, PREFERENCE_APPLIED, Wish
from read_api.lists import Wished
from read_api.parameters import Limit, invalid_parameter
from read_api.reading.resource import Resource
from read_api.reads import OpenReads, Reads
from read_api.standing import Look
from read_api.watching import Watch
from runtime import database, rfc3339
from runtime.http.principal import requires
from runtime.pagination import next_link
from runtime.problems import ProblemError

STREAM_NAME_LENGTH_MAX: Final = 255
"""Characters of a stream's name."""

EVENTS_DEFAULT: Final = 1_000
EVENTS_MAX: Final = 100_000
"""Events that one request for the log is answered with; a caller goes on after the last line it read."""

PAGE_EVENTS_MAX: Final = 500
"""Events read from the log at a time."""

PAGE_BYTES_MAX: Final = 1024 * 1024
"""Payload bytes read at a time, as stored; a single larger event is a page of its own."""

PAST_READS_MAX: Final = 2
"""Folds under way at once: each takes a thread and a connection."""

PAST_WAITING_MAX: Final = 32
"""Requests that wait for a fold; more are refused at once."""

PAST_TIMEOUT_S: Final = 5.0
"""What one fold may wait for its connection, seconds."""

NDJSON: Final = "application/x-ndjson"

_PAST_SETTINGS: Final = {"statement_timeout": "5s", "default_transaction_read_only": "on"}

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

_is_position = re.compile(r"[0-9]{1,19}").fullmatch
_encode = msgspec.json.Encoder().encode


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
        raise ProblemError("not-found", "No stream can have this name.")
    await freshness.admit(wish, reads.watch, views=())

    async def read(connection: AsyncConnection, _look: Look) -> list[RecordedEvent]:
        page = await reading.read_stream_async(connection, stream, after_version=after, limit=limit + 1)
        if page or after < 0:
            return page
        first = await reading.read_stream_async(connection, stream, limit=1)
        if not first:
            raise _no_stream(stream)
        return []

    look, events = await reads.snapshot(read)
    if not events and after < 0:
        raise _no_stream(stream)
    more = len(events) > limit
    page = events[:limit]
    following = page[-1].version if more else None
    body = StreamPage(stream, [shown(event) for event in page], following)
    headers = _log_headers(look, wish)
    if following is not None:
        query = request.query_params.multi_items()
        headers["Link"] = next_link(request.url.path, query, cursor=str(following), parameter="after")
    return Response(_encode(body), media_type="application/json", headers=headers)


@router.get(
    "/events",
    operation_id="list_events",
    summary="The log, one JSON text per line",
    response_class=Response,
    responses=responses(
        str,
        example=_LINE_EXAMPLE,
        headers=ANSWER_HEADERS,
        problems=ALWAYS,
        description="Events in the order of their positions, as many as there are up to the limit: each line is"
        " the JSON text of an `Event`.",
        media_type=NDJSON,
    ),
    openapi_extra=FRESHNESS,
)
@requires("audit:read")
async def events(
    *,
    reads: OpenReads,
    wish: Wished,
    after: Annotated[
        int, Query(ge=0, le=parameters.POSITION_MAX, description="Only positions above this.")
    ] = 0,
    limit: Annotated[int, Query(ge=1, le=EVENTS_MAX, description="Lines at most.")] = EVENTS_DEFAULT,
) -> Response:
    """Positions have no holes: a caller goes on with `after` set to the last position it read, also when cut off."""
    await freshness.admit(wish, reads.watch, views=())

    async def read(connection: AsyncConnection, look: Look) -> list[RecordedEvent]:
        return await _page(connection, after=after, upto=min(look.position, after + limit))

    look, first = await reads.snapshot(read)
    lines = _lines(reads, first, upto=min(look.position, after + limit))
    return StreamingResponse(lines, media_type=NDJSON, headers=_log_headers(look, wish))


async def _lines(reads: Reads, page: list[RecordedEvent], *, upto: int) -> AsyncIterator[bytes]:
    """The first page, then more pages up to a position; between pages no connection is held.

    A failure in between cuts the answer off in mid-air, which tells a caller that there is more.
    """
    while page:
        last = page[-1].position
        yield b"".join(_encode(shown(event)) + b"\n" for event in page)
        if last >= upto:
            return
        page = await reads.connections.run(functools.partial(_page, after=last, upto=upto))


async def _page(connection: AsyncConnection, *, after: int, upto: int) -> list[RecordedEvent]:
    return await paging.page_after_async(
        connection, after, rows_max=PAGE_EVENTS_MAX, upto=upto, bytes_max=PAGE_BYTES_MAX
    )


def _no_stream(stream: str) -> ProblemError:
    return ProblemError("not-found", f"There is no stream {stream!r}.")


def _log_headers(look: Look, wish: Wish) -> dict[str, str]:
    """The log has everything up to its head."""
    generation = max(look.partitions)
    at_head = dict.fromkeys(range(look.partitions[generation]), look.position)
    headers = {APPLIED_POSITION: PositionToken(look.epoch, generation, at_head).encode()}
    if wish.applied:
        headers[PREFERENCE_APPLIED] = wish.applied
    return headers


class AsItWas(Struct, frozen=True):
    """A row as of a position of the log; `applied` is that position as a token."""

    as_of: int
    body: bytes | None
    applied: str


class Past:
    """Folds one key's events up to a position, in threads: folding is work for a processor, not for the event loop."""

    def __init__(self, url: str, *, watch: Watch) -> None:
        """Prepare connections to `url`; none is opened yet."""
        self._watch = watch
        self._pool = ConnectionPool(
            database.address(url, role="counterfoil_reader", name="query-api past", settings=_PAST_SETTINGS),
            kwargs={"autocommit": True},
            min_size=0,
            max_size=PAST_READS_MAX,
            timeout=PAST_TIMEOUT_S,
            open=False,
        )
        self._turns = asyncio.Semaphore(PAST_READS_MAX)
        self._waiting = 0

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Open connections when they are needed, and close them at the end."""
        await asyncio.to_thread(self._pool.open, wait=False)
        try:
            yield
        finally:
            await asyncio.to_thread(self._pool.close)

    async def row(self, resource: Resource, key: str, *, as_of: str) -> AsItWas:
        """The row of an id at a position, or at a time: an RFC 3339 text with offset.

        Raises:
            ProblemError: `invalid-parameter`, `position-beyond-head`.
            TooManyReads: too many others wait.
            ViewUnavailable: the log cannot be read.
        """
        moment = _moment(as_of)
        if self._waiting >= PAST_WAITING_MAX:
            raise TooManyReads("too many reads of the past are waiting")
        self._waiting += 1
        try:
            async with self._turns:
                position, body = await asyncio.to_thread(self._fold, resource, key, moment)
        finally:
            self._waiting -= 1
        return AsItWas(position, body, self._applied(resource, key, position))

    def _fold(self, resource: Resource, key: str, moment: int | datetime) -> tuple[int, bytes | None]:
        try:
            with self._pool.connection() as connection:
                position = _position(connection, moment)
                row = replay.fold_prefix(connection, resource.view, (key,), upto=position)
        except FoldFailed as error:
            detail = (
                f"The event at position {error.position} cannot be folded, so nothing is known of later ones."
            )
            raise ProblemError("stale-read", detail, parked_at=error.position) from error
        except (psycopg.OperationalError, PoolTimeout) as error:
            raise ViewUnavailable(f"the log cannot be read: {type(error).__name__}") from error
        return position, None if row is None else _encode(row)

    def _applied(self, resource: Resource, key: str, position: int) -> str:
        look = self._watch.latest
        generation = max(look.partitions)
        partition = partition_of(resource.partition_key(key) or "", look.partitions[generation])
        return PositionToken(look.epoch, generation, {partition: position}).encode()


def _moment(as_of: str) -> int | datetime:
    if _is_position(as_of):
        return int(as_of)
    try:
        return rfc3339.moment(as_of)
    except ValueError as error:
        hint = " A plus sign in an address is written %2B." if " " in as_of else ""
        detail = f"as_of is a position of the log, or an RFC 3339 time with offset such as 2026-01-31T12:00:00Z.{hint}"
        raise invalid_parameter("as_of", detail) from error


def _position(connection: reading.Connection, moment: int | datetime) -> int:
    if isinstance(moment, datetime):
        try:
            return reading.position_at(connection, moment)
        except reading.TimeAhead as error:
            raise invalid_parameter("as_of", f"{error}: the answer could still change") from error
    head = reading.head(connection).position
    if moment > head:
        raise ProblemError("position-beyond-head", f"The log ends at position {head}.", head=head)
    return moment
