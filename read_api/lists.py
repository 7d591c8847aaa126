"""Pages of lists: the rows, where the next page begins, and how fresh all of it is, from one snapshot."""

import json
from collections.abc import Sequence
from typing import Annotated, Any, Final

import msgspec
from fastapi import Depends, Header, Request
from msgspec import Struct
from starlette.responses import Response

from read_api import freshness
from read_api.freshness import APPLIED_POSITION, PREFERENCE_APPLIED, Wish
from read_api.standing import Look, applied_by_all
from runtime.pagination import encode_cursor, next_link

PARKED_KEYS: Final = "Parked-Keys"

_encode = msgspec.json.Encoder().encode


class Page(Struct, frozen=True):
    """The rows of one page as they are shown, and the place behind the last one when there are more."""

    rows: list[dict[str, Any]]
    more_after: tuple[object, ...] | None


def _wish(
    min_position: Annotated[str | None, Header(include_in_schema=False)] = None,
    prefer: Annotated[list[str] | None, Header(include_in_schema=False)] = None,
) -> Wish:
    return freshness.wish(min_position, ",".join(prefer or ()))


Wished = Annotated[Wish, Depends(_wish)]
"""How a route asks for the caller's wish."""


def page_of(rows: list[dict[str, Any]], *, limit: int, place: Sequence[str]) -> Page:
    """A page from up to `limit` + 1 rows; `place` names the columns of the sort key."""
    shown = rows[:limit]
    more = tuple(shown[-1][column] for column in place) if len(rows) > limit else None
    return Page(shown, more)


def scope_of(request: Request, **filters: object) -> str:
    """What a cursor is bound to: the list and its filters."""
    return json.dumps([request.url.path, filters], sort_keys=True, default=str)


def page_response(
    request: Request, page: Page, *, look: Look, views: Sequence[str], wish: Wish, scope: str
) -> Response:
    """The answer with one page.

    Raises:
        ProblemError: `stale-read`.
    """
    cursor = None if page.more_after is None else encode_cursor(page.more_after, scope=scope)
    body = _encode({"items": page.rows, "next_cursor": cursor})
    headers = fresh_headers(look, views=views, wish=wish)
    if cursor is not None:
        headers["Link"] = next_link(request.url.path, request.query_params.multi_items(), cursor=cursor)
    return Response(body, media_type="application/json", headers=headers)


def fresh_headers(look: Look, *, views: Sequence[str], wish: Wish) -> dict[str, str]:
    """The headers that say how fresh an answer from these views is, after checking that it is fresh enough.

    Raises:
        ProblemError: `stale-read`.
    """
    builds = [look.builds[view] for view in views]
    standings = [build.standing for build in builds]
    applied = applied_by_all(standings, look).encode()
    freshness.require(wish, standings, look, applied=applied)
    headers = {APPLIED_POSITION: applied}
    if wish.applied:
        headers[PREFERENCE_APPLIED] = wish.applied
    if parked := sum(build.parked_count for build in builds):
        headers[PARKED_KEYS] = str(parked)
    return headers
