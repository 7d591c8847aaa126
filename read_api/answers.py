"""What answers made of views say of their freshness, and what routes let a caller wish for."""

from collections.abc import Sequence
from typing import Annotated, Final

from fastapi import Depends, Header

from read_api import freshness
from read_api.freshness import APPLIED_POSITION, PREFERENCE_APPLIED, SETTLED, Wish
from read_api.standing import Look, Standing, applied_by_all

PARKED_KEYS: Final = "Parked-Keys"


def _wish(
    min_position: Annotated[str | None, Header(include_in_schema=False)] = None,
    prefer: Annotated[list[str] | None, Header(include_in_schema=False)] = None,
) -> Wish:
    return freshness.wish(min_position, ",".join(prefer or ()))


Wished = Annotated[Wish, Depends(_wish)]
"""How a route asks for the caller's wish."""


def fresh_headers(look: Look, *, views: Sequence[str], wish: Wish) -> dict[str, str]:
    """The headers that say how fresh an answer from these views is, after checking that it is fresh enough.

    Raises:
        ProblemError: `stale-read`.
    """
    builds = [look.builds[view] for view in views]
    parked = sum(build.parked_count for build in builds)
    return headers_of([build.standing for build in builds], look, wish=wish, parked=parked)


def headers_of(standings: list[Standing], look: Look, *, wish: Wish, parked: int) -> dict[str, str]:
    """The same for an answer from rows that stand so, of views with so many parked keys.

    Raises:
        ProblemError: `stale-read`.
    """
    applied = applied_by_all(standings, look).encode()
    freshness.require(wish, standings, look, applied=applied)
    headers = {APPLIED_POSITION: applied}
    if wish.applied:
        headers[PREFERENCE_APPLIED] = wish.applied
    if wish.settled:
        headers[SETTLED] = wish.settled
    if parked:
        headers[PARKED_KEYS] = str(parked)
    return headers
