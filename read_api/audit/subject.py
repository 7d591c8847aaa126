"""GET /v1/customers/{customer_id}/export: every event of one customer, what belongs to them included, as one document.

It is read from the log, so it has what views leave out, and says up to which position it goes.
"""

from datetime import datetime
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec
from fastapi import APIRouter
from msgspec import Struct
from starlette.responses import Response

from projections import personal
from read_api import documentation, parameters
from read_api.connections import AsyncConnection
from read_api.reads import Reads
from read_api.reveal import HEADERS, SealedPlaces
from runtime.http.exchange import Exchange
from runtime.http.principal import Owned, confined_to
from runtime.http.routes import ExchangeRoute
from runtime.problems import ProblemError

EVENTS_MAX: Final = 10_000
"""Events of one export; `complete` says whether there are more."""

REQUIRES: Final = Owned("customers:read")
PATH: Final = "/customers/{customer_id}/export"

_EVENTS: Final = """
with subject as (
    select %(customer)s::text as id
    union
    select json_array_elements_text(e.payload -> 'merged_ids') from log.event e
    where e.stream = 'customer-' || %(customer)s and e.type like 'customers.customers_merged.v%%'
), found as (
    select e.position from subject s join log.event e on e.stream = 'customer-' || s.id
    union
    select t.position from subject s join log.tag t on t.tag = 'customer:' || s.id
    order by position limit %(most)s
)
select h.position, e.position, e.stream, e.version, e.type, e.recorded_at, e.payload::text
from log.head h left join (found f join log.event e on e.position = f.position) on true
order by e.position
"""
"""Positions come from indexes alone, and are cut before any event is read: a customer may have very many."""


class ExportedEvent(Struct, frozen=True):
    """One event, with personal fields as they are shown to the caller."""

    position: int
    stream: str
    version: int
    type: str
    recorded_at: datetime
    payload: dict[str, Any]


class CustomerExport(Struct, frozen=True):
    """All that the log has of one customer up to `position`; not `complete`: it has more than one answer may."""

    customer_id: str
    position: int
    complete: bool
    events: tuple[ExportedEvent, ...]


_EXAMPLE: Final = {
    "customer_id": "17850",
    "position": 4711,
    "complete": True,
    "events": [
        {
            "position": 17,
            "stream": "customer-17850",
            "version": 1,
            "type": "customers.customer_registered.v1",
            "recorded_at": "2026-01-31T08:26:00Z",
            "payload": {"customer_id": "17850", "name": {"shown": "plain", "text": "Ada Lovelace"}},
        }
    ],
}
_encode = msgspec.json.Encoder().encode


class ExportEndpoint:
    """Answers for everything of one customer."""

    requires = REQUIRES

    async def __call__(self) -> Response:
        """Only declares that it can be called; requests come to `answer`."""
        raise AssertionError("the pipeline calls `answer`")

    async def answer(self, exchange: Exchange) -> Response:
        """Answer one request."""
        customer_id = exchange.parameters["customer_id"]
        given = parse_qsl(exchange.scope["query_string"].decode("latin-1"), keep_blank_values=True)
        parameters.refuse_unknown(given, known=())
        only_of = confined_to(exchange.principal, REQUIRES)
        if not parameters.is_id(customer_id) or only_of not in {None, customer_id}:
            raise _unknown(customer_id)
        reads = exchange.pipeline.app.state.reads
        assert isinstance(reads, Reads)
        export = await _read(reads, customer_id)
        if not export.events:
            raise _unknown(customer_id)
        await exchange.pipeline.record(exchange, "exported", customer_id)
        places = SealedPlaces()
        for event in export.events:
            places.add(event.stream, event.payload, personal.of_event(event.type))
        await places.show(exchange, reads.opening, own=only_of is not None)
        headers = {name.decode(): value.decode() for name, value in HEADERS}
        return Response(_encode(export), media_type="application/json", headers=headers)


async def _read(reads: Reads, customer_id: str) -> CustomerExport:
    async def read(connection: AsyncConnection) -> list[tuple[Any, ...]]:
        given = {"customer": customer_id, "most": EVENTS_MAX + 1}
        return await (await connection.execute(_EVENTS, given)).fetchall()

    rows = await reads.connections.run(read)
    events = [
        ExportedEvent(position, stream, version, type_name, at, msgspec.json.decode(payload))
        for _, position, stream, version, type_name, at, payload in rows
        if position is not None
    ]
    return CustomerExport(customer_id, int(rows[0][0]), len(events) <= EVENTS_MAX, tuple(events[:EVENTS_MAX]))


def _unknown(customer_id: str) -> ProblemError:
    return ProblemError("not-found", f"There is no customer {customer_id[:64]!r}.")


def add_route(router: APIRouter) -> None:
    """Serve it with the other queries about customers."""
    identifier = documentation.keyed_parameters("customer_id", example="17850", as_of=False)[0]
    router.add_api_route(
        PATH,
        ExportEndpoint(),
        methods=["GET"],
        route_class_override=ExchangeRoute,
        name="customer_export",
        operation_id="export_customer",
        summary="All that the log has of one customer",
        description=CustomerExport.__doc__,
        response_class=Response,
        responses=documentation.responses(
            CustomerExport,
            example=_EXAMPLE,
            headers=(),
            problems=("not-found", "invalid-parameter", "too-busy", "view-unavailable"),
        ),
        openapi_extra={"parameters": [identifier]},
    )
