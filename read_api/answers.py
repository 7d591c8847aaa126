"""What answers made of views say of their freshness, and what routes let a caller wish for."""

from collections.abc import Sequence
from typing import Annotated, Final

from fastapi import Depends, Header

from read_api import freshness
from read_api.checkpoints import Checkpoints, CheckpointSnapshot, applied_by_all
from read_api.freshness import APPLIED_POSITION, PREFERENCE_APPLIED, SETTLED, Wish

PARKED_KEYS: Final = "Parked-Keys"


def _wish(
    min_position: Annotated[str | None, Header(include_in_schema=False)] = None,
    prefer: Annotated[list[str] | None, Header(include_in_schema=False)] = None,
) -> Wish:
    return freshness.wish(min_position, ",".join(prefer or ()))


Wished = Annotated[Wish, Depends(_wish)]
"""How a route asks for the caller's wish."""


def fresh_headers(snapshot: CheckpointSnapshot, *, views: Sequence[str], wish: Wish) -> dict[str, str]:
    """The headers that say how fresh an answer from these views is, after checking that it is fresh enough.

    Raises:
        ProblemError: `stale-read`.
    """
    builds = [snapshot.builds[view] for view in views]
    parked = sum(build.parked_count for build in builds)
    return headers_of([build.checkpoints for build in builds], snapshot, wish=wish, parked=parked)


def headers_of(
    all_checkpoints: list[Checkpoints], snapshot: CheckpointSnapshot, *, wish: Wish, parked: int
) -> dict[str, str]:
    """The same for an answer from rows that stand so, of views with so many parked keys.

    Raises:
        ProblemError: `stale-read`.
    """
    applied = applied_by_all(all_checkpoints, snapshot).encode()
    freshness.require(wish, all_checkpoints, snapshot, applied=applied)
    headers = {APPLIED_POSITION: applied}
    if wish.applied:
        headers[PREFERENCE_APPLIED] = wish.applied
    if wish.settled:
        headers[SETTLED] = wish.settled
    if parked:
        headers[PARKED_KEYS] = str(parked)
    return headers
