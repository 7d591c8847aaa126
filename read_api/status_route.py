"""GET /v1/status and GET /v1/views: where log, relay, views, process managers and consumers stand.

Each answer is one snapshot of all it shows.
"""

from typing import Final

import msgspec
from starlette.responses import Response

from read_api import parameters
from read_api.checkpoints import applied_by_all
from read_api.connections import AsyncConnection
from read_api.documentation import responses
from read_api.freshness import APPLIED_POSITION
from read_api.reads import OpenReads
from read_api.status import READ_STATUS, Status, ViewStanding, decode_status
from runtime.http.principal import requires

_encode = msgspec.json.Encoder().encode

router = parameters.query_router("operation")

_VIEWS_EXAMPLE: Final = [
    {
        "name": "order_details",
        "shape": 1,
        "build": 1,
        "position": 1205,
        "lag_events": 0,
        "lag_seconds": 0.0,
        "parked": 0,
        "stopped": None,
    }
]
EXAMPLE: Final = {
    "log": {"installation": "5f0c7d62-8f0f-4c0e-9c0a-0a4f3c9d2b11", "position": 1205, "epoch": 1},
    "relay": {"position": 1205, "lag_events": 0, "generation": 1, "carrier": "kafka"},
    "views": _VIEWS_EXAMPLE,
    "process_managers": [
        {"name": "fulfilment", "position": 1205, "lag_events": 0, "lag_seconds": 0.0, "parked": 0}
    ],
    "consumers": [
        {"name": "event-counts", "position": 1205, "lag_events": 0, "lag_seconds": 0.0, "parked": 0}
    ],
    "paused": [{"name": "timers", "act": 1198, "paused_at": "2026-03-02T09:30:00Z"}],
}


@router.get(
    "/status",
    operation_id="get_status",
    summary="Where log, relay, views, process managers and consumers stand",
    response_class=Response,
    responses=responses(
        Status, example=EXAMPLE, headers=(), problems=("invalid-parameter", "too-busy", "view-unavailable")
    ),
)
@requires("status:read")
async def get_status(reads: OpenReads) -> Response:
    """Everybody stands at the same unchanged head in two answers in a row: nothing moves any more."""
    return Response(await reads.connections.run(_read), media_type="application/json")


@router.get(
    "/views",
    operation_id="list_views",
    summary="Where every view stands",
    response_class=Response,
    responses=responses(
        list[ViewStanding],
        example=_VIEWS_EXAMPLE,
        headers=(APPLIED_POSITION,),
        problems=("invalid-parameter", "too-busy", "view-unavailable"),
    ),
)
@requires("status:read")
async def views(*, reads: OpenReads) -> Response:
    """`position`: every event up to there is in the rows. `parked` counts keys that wait for an operator."""
    snapshot, status = await reads.snapshot(lambda connection, _snapshot: _read(connection))
    all_checkpoints = [build.checkpoints for build in snapshot.builds.values()]
    headers = (
        {APPLIED_POSITION: applied_by_all(all_checkpoints, snapshot).encode()} if all_checkpoints else {}
    )
    return Response(_encode(decode_status(status).views), media_type="application/json", headers=headers)


async def _read(connection: AsyncConnection) -> str:
    row = await (await connection.execute(READ_STATUS)).fetchone()
    assert row is not None, "an expression answers one row"
    return str(row[0])
