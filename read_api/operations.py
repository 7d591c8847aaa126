"""What came of operators' acts: GET /v1/operations/acts, newest first, and one of them by its position."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal, LiteralString, cast

from fastapi import Path, Query
from msgspec import Struct
from starlette.responses import Response

from read_api import parameters
from read_api.connections import AsyncConnection
from read_api.documentation import responses
from read_api.parameters import Limit
from read_api.reads import OpenReads
from read_api.routing import Queries
from runtime.http.principal import requires
from runtime.problems import ProblemError

router = parameters.query_router("operations")

POSITION_DIGITS_MAX: Final = 19
"""Of the largest position."""

Kind = Literal["rebuild", "promotion", "rollback", "drop", "retry", "skip", "pause", "resume"]

_COLUMNS: Final = """
select json_build_object(
    'position', e.position, 'kind', k.kind,
    'subject', coalesce(e.payload ->> 'view', e.payload ->> 'consumer'),
    'actor', e.payload ->> 'actor', 'reason', e.payload ->> 'reason',
    'requested_at', to_char(e.recorded_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'state', coalesce(a.state, 'requested'), 'outcome', coalesce(a.outcome, ''),
    'ended_at', to_char(a.ended_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'shape', a.shape, 'build', a.build,
    'folded_to', b.folded_to, 'fold_to', b.fold_to
)::text
"""
_JOINS: Final = """
cross join lateral (
    select case e.type when 'operations.event_skipped.v1' then 'skip'
        else replace(split_part(e.type, '.', 2), '_requested', '') end as kind
) k
left join views.build b on k.kind = 'rebuild' and a.state in ('running', 'done')
    and (b.view, b.shape, b.build) = (a.subject, a.shape, a.build)
"""
ONE: Final = (
    _COLUMNS
    + """
from log.event e left join consumers.act a on (a.position, a.leaf) = (e.position, e.leaf)
"""
    + _JOINS
    + "where e.position = %(position)s and split_part(e.type, '.', 1) = 'operations'"
)
"""One act by its position, as JSON."""
_NEWEST: Final = (
    _COLUMNS
    + """
from consumers.act a join log.event e on (e.position, e.leaf) = (a.position, a.leaf)
"""
    + _JOINS
    + """
where a.position < %(before)s and (%(kind)s::text is null or a.kind = %(kind)s)
order by a.position desc limit %(limit)s
"""
)


class Act(Struct):
    """What an operator asked for, and its result.

    `state` is `requested` until the consumer `acts` saw it, `running` until it ended as `done` or `failed`; `outcome`
    says so in words. `folded_to` of `fold_to` positions is how far a rebuild is, or was when it ended, while there is
    its build.
    """

    position: int
    kind: Kind
    subject: str
    actor: str
    reason: str
    requested_at: datetime
    state: Literal["requested", "running", "done", "failed"]
    outcome: str
    ended_at: datetime | None
    shape: int | None
    build: int | None
    folded_to: int | None
    fold_to: int | None


_EXAMPLE: Final[dict[str, Any]] = {
    "position": 4711,
    "kind": "rebuild",
    "subject": "order_details",
    "actor": "operator:jo",
    "reason": "a fold was repaired",
    "requested_at": "2026-03-01T12:00:00.000000Z",
    "state": "running",
    "outcome": "",
    "ended_at": None,
    "shape": 1,
    "build": 2,
    "folded_to": 2_000,
    "fold_to": 4_711,
}
_PROBLEMS: Final = ("invalid-parameter", "too-busy", "view-unavailable")


@router.get(
    "/operations/acts/{position}",
    operation_id="get_act",
    summary="An operator's act, and its result",
    response_class=Response,
    responses=responses(Act, example=_EXAMPLE, headers=(), problems=("not-found", *_PROBLEMS)),
)
@requires("operation:read")
async def act(
    position: Annotated[
        int,
        Path(
            ge=1,
            le=parameters.POSITION_MAX,
            examples=[4711],
            json_schema_extra={"maxLength": POSITION_DIGITS_MAX},
        ),
    ],
    reads: OpenReads,
) -> Response:
    """`position` is that of the event, as the answer to the command said."""
    found = await reads.connections.run(lambda connection: _texts(connection, ONE, position=position))
    if not found:
        raise ProblemError("not-found", f"There is no act at position {position}.")
    return Response(found[0], media_type="application/json")


@router.get(
    "/operations/acts",
    operation_id="list_acts",
    summary="Operators' acts, newest first",
    response_class=Response,
    responses=responses(list[Act], example=[_EXAMPLE], headers=(), problems=_PROBLEMS),
)
@requires("operation:read")
async def acts(
    reads: OpenReads,
    limit: Limit = parameters.LIMIT_DEFAULT,
    before: Annotated[
        int, Query(ge=1, le=parameters.POSITION_MAX, description="Only acts at lower positions.")
    ] = parameters.POSITION_MAX,
    kind: Annotated[Kind | None, Query(description="Only acts of this kind.")] = None,
) -> Response:
    """Those that were seen by the consumer that carries acts out; go on with `before` set to the last position."""
    found = await reads.connections.run(
        lambda connection: _texts(connection, _NEWEST, before=before, kind=kind, limit=limit)
    )
    return Response(f"[{','.join(found)}]", media_type="application/json")


async def _texts(connection: AsyncConnection, statement: LiteralString, **given: object) -> list[str]:
    rows = await (await connection.execute(statement, given)).fetchall()
    return [cast("str", text) for (text,) in rows]


QUERIES: Final = Queries(
    router=router,
    by_position=dict.fromkeys(("builds", "retries", "skips", "pauses"), "/operations/acts/{position}"),
)
