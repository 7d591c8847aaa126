"""Read your own write: what a caller asks of an answer's freshness, and whether a standing gives it.

`Min-Position` names what the answer must contain (a token of a Position or Applied-Position header), `Prefer: wait=N`
for how many seconds the caller would wait for it, `Prefer: handling=lenient` that an older answer will do after that.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct

from event_store import position_token
from event_store.position_token import MalformedToken, PositionToken
from read_api.standing import Look, Standing, reached
from read_api.watching import Watch
from runtime.problems import Fault, ProblemError

WAIT_MAX_S: Final = 10
"""Longest wait; a longer one is cut to it, and `Preference-Applied` says so."""

MIN_POSITION: Final = "Min-Position"
APPLIED_POSITION: Final = "Applied-Position"
PREFERENCE_APPLIED: Final = "Preference-Applied"
PARKED_POSITION: Final = "Parked-Position"

_wait = re.compile(r"\s*wait\s*=\s*\"?(\d{1,9})\"?\s*", re.IGNORECASE).fullmatch
_lenient = re.compile(r"\s*handling\s*=\s*\"?lenient\"?\s*", re.IGNORECASE).fullmatch
_strict = re.compile(r"\s*handling\s*=\s*\"?strict\"?\s*", re.IGNORECASE).fullmatch


class Wish(Struct, frozen=True):
    """What a caller asks: the token to be reached (None: anything will do), seconds to wait, older answers or not."""

    token: PositionToken | None = None
    wait_s: int = 0
    lenient: bool = False
    applied: str = ""
    """The value of Preference-Applied; empty when nothing of Prefer was applied."""


ANYTHING: Final = Wish()


def wish(min_position: str | None, prefer: str | None) -> Wish:
    """The wish in the two headers; preferences without a position to reach, or that are not known, are passed over.

    Raises:
        ProblemError: `malformed-token`.
    """
    if min_position is None:
        return ANYTHING
    try:
        token = position_token.decode(min_position)
    except MalformedToken as error:
        detail = f"{MIN_POSITION} is not the text of a Position or Applied-Position header."
        raise ProblemError(
            "malformed-token", detail, errors=[Fault(detail=detail, header=MIN_POSITION)]
        ) from error
    wait_s, lenient, applied = _preferences((prefer or "").split(","))
    return Wish(token=token, wait_s=wait_s, lenient=lenient, applied=", ".join(applied))


def wait_of(prefer: str) -> int:
    """For how many seconds a caller would wait, whatever for."""
    return _preferences(prefer.split(","))[0]


def _preferences(given: Iterable[str]) -> tuple[int, bool, list[str]]:
    """Seconds to wait, whether an older answer will do, and what was applied; the first of each counts (RFC 7240)."""
    wait_s: int | None = None
    handling: str | None = None
    for preference in given:
        if wait_s is None and (found := _wait(preference)):
            wait_s = min(int(found[1]), WAIT_MAX_S)
        elif handling is None and _lenient(preference):
            handling = "lenient"
        elif handling is None and _strict(preference):
            handling = "strict"
    applied = [] if wait_s is None else [f"wait={wait_s}"]
    applied += [] if handling is None else [f"handling={handling}"]
    return wait_s or 0, handling == "lenient", applied


async def admit(wished: Wish, watch: Watch, *, views: Sequence[str]) -> None:
    """Refuse a token that no waiting can reach, and wait for the rest as long as the caller allows.

    Returning does not mean that the token is reached: the snapshot that is read decides (`require`).

    Raises:
        ProblemError: `position-lost`, `position-beyond-head`, `malformed-token`.
        ViewUnavailable: the token cannot be judged because the database does not answer.
    """
    token = wished.token
    if token is None:
        return
    look = watch.latest
    refuse_lost(look, epoch=token.epoch, position=token.highest)
    if _beyond(token, look):
        # A look may be older than the caller's write: only one that leaves now can say that it lies in the future.
        look = await watch.next_look()
        refuse_lost(look, epoch=token.epoch, position=token.highest)
        if _beyond(token, look):
            raise ProblemError(
                "position-beyond-head",
                f"Position {token.highest} of epoch {token.epoch} is not in the log.",
                head=look.position,
                epoch=look.epoch,
            )
    if not wished.wait_s or _all_reached(token, look, views):
        return
    await watch.wait_for(lambda seen: _all_reached(token, seen, views), timeout_s=wished.wait_s)


def require(
    wished: Wish, standings: Iterable[Standing], look: Look, *, parked_at: int | None = None, applied: str
) -> bool:
    """Whether an answer from these standings is as fresh as was wished; False: it is not, and that was allowed.

    Args:
        wished: what the caller asked.
        standings: of every build the answer was made from, from the snapshot in which it was read.
        look: for how far the relay came.
        parked_at: position of the parked event when the key that was read is parked.
        applied: the Applied-Position of the answer, for the refusal.

    Raises:
        ProblemError: `stale-read`.
    """
    token = wished.token
    if token is None:
        return True
    fresh = all(reached(token, each, look.published.get(each.generation)) for each in standings)
    held_back = parked_at is not None and parked_at <= token.highest
    if fresh and not held_back:
        return True
    if wished.lenient:
        return False
    headers = {APPLIED_POSITION: applied}
    if held_back:
        detail = (
            f"The key is parked at position {parked_at}: an operator must retry or skip that event first."
        )
        raise ProblemError("stale-read", detail, headers=headers, parked_at=parked_at)
    detail = f"Position {token.highest} is not in the view yet."
    raise ProblemError("stale-read", detail, headers=headers)


def refuse_lost(look: Look, *, epoch: int, position: int) -> None:
    """Refuse a position of an epoch that is gone: what an older epoch wrote from the first position of a later one on.

    Raises:
        ProblemError: `position-lost`.
    """
    cut_at = min((first for each, first in look.first_positions.items() if each > epoch), default=None)
    if cut_at is not None and position >= cut_at:
        raise ProblemError(
            "position-lost",
            f"The log of epoch {epoch} was cut off before position {cut_at}.",
            cut_at=cut_at,
            epoch=look.epoch,
        )


def _beyond(token: PositionToken, look: Look) -> bool:
    partitions = look.partitions.get(token.generation)
    unknown = partitions is None or any(p >= partitions for p in token.partitions)
    return unknown or token.epoch > look.epoch or token.highest > look.position


def _all_reached(token: PositionToken, look: Look, views: Sequence[str]) -> bool:
    builds = [look.builds.get(view) for view in views]
    return all(
        build is not None and reached(token, build.standing, look.published.get(build.standing.generation))
        for build in builds
    )
