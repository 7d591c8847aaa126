"""Read your own write: what a caller asks of an answer's freshness, and whether checkpoints give it.

`Min-Position` names what the answer must contain (a token of a Position or Applied-Position header), `Prefer: wait=N`
for how many seconds the caller would wait for it, `Prefer: handling=lenient` that an older answer will do after that.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct

from event_store.transport import position_token
from event_store.transport.position_token import MalformedToken, PositionToken
from read_api.checkpoints import Checkpoints, CheckpointSnapshot, reached
from read_api.polling import CheckpointPoller
from runtime import problems
from runtime.http.preferences import preferences
from runtime.problems import Fault, ProblemError

MIN_POSITION: Final = "Min-Position"
APPLIED_POSITION: Final = "Applied-Position"
PREFERENCE_APPLIED: Final = "Preference-Applied"
PARKED_POSITION: Final = "Parked-Position"
SETTLED: Final = "Settled"


class Wish(Struct, frozen=True):
    """What a caller asks: the token to be reached (None: anything will do), seconds to wait, older answers or not."""

    token: PositionToken | None = None
    wait_s: int = 0
    lenient: bool = False
    applied: str = ""
    """The value of Preference-Applied; empty when nothing of Prefer was applied."""
    until_settled: bool = False
    """Whether the token is to grow by what came of the commands that it names."""
    settled: str = ""
    """The value of the header Settled; empty unless that was done."""


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
    preferred = preferences([prefer or ""])
    return Wish(
        token=token,
        wait_s=preferred.wait_s or 0,
        lenient=preferred.handling == "lenient",
        applied=preferred.applied("wait", "handling", "until"),
        until_settled=preferred.until is not None,
    )


async def refuse_impossible(token: PositionToken, poller: CheckpointPoller, *, waits: bool) -> None:
    """Refuse a token that no waiting can reach; `waits`: the caller has time until views move.

    Raises:
        ProblemError: `position-lost`, `position-beyond-head`, `malformed-token`.
        ViewUnavailable: the token cannot be judged because the database does not answer.
    """
    snapshot = poller.latest
    refuse_lost(snapshot, epoch=token.epoch, position=token.highest)
    if _beyond(token, snapshot):
        # A snapshot may be older than the caller's write: only one that leaves now can say that it lies in the future.
        # Who waits for a view is helped by one that leaves when views moved, and many of them by the same.
        snapshot = await poller.next_snapshot(patient=waits)
        refuse_lost(snapshot, epoch=token.epoch, position=token.highest)
        if _beyond(token, snapshot):
            detail = f"Position {token.highest} of epoch {token.epoch} is not in the log"
            fault = Fault(detail=detail, header=MIN_POSITION)
            raise problems.of_fault(
                "position-beyond-head", fault, head=snapshot.position, epoch=snapshot.epoch
            )


async def wait(wished: Wish, poller: CheckpointPoller, *, views: Sequence[str], timeout_s: float) -> None:
    """Wait until these views have what the token names, so many seconds at most."""
    token = wished.token
    if token is None or _all_reached(token, poller.latest, views):
        return
    await poller.wait_for(lambda seen: _all_reached(token, seen, views), timeout_s=timeout_s)


def require(
    wished: Wish,
    all_checkpoints: Iterable[Checkpoints],
    snapshot: CheckpointSnapshot,
    *,
    parked_at: int | None = None,
    applied: str,
) -> bool:
    """Whether an answer from these checkpoints is as fresh as was wished; False: it is not, and that was allowed.

    Args:
        wished: what the caller asked.
        all_checkpoints: of every build the answer was made from, from the snapshot in which it was read.
        snapshot: for how far the relay came.
        parked_at: position of the parked event when the key that was read is parked.
        applied: the Applied-Position of the answer, for the refusal.

    Raises:
        ProblemError: `stale-read`.
    """
    token = wished.token
    if token is None:
        return True
    fresh = all(reached(token, each, snapshot.published.get(each.generation)) for each in all_checkpoints)
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


def refuse_lost(snapshot: CheckpointSnapshot, *, epoch: int, position: int) -> None:
    """Refuse a position of an epoch that is gone: what an older epoch wrote from the first position of a later one on.

    Raises:
        ProblemError: `position-lost`.
    """
    cut_at = min((first for each, first in snapshot.first_positions.items() if each > epoch), default=None)
    if cut_at is not None and position >= cut_at:
        raise ProblemError(
            "position-lost",
            f"The log of epoch {epoch} was cut off before position {cut_at}.",
            cut_at=cut_at,
            epoch=snapshot.epoch,
        )


def _beyond(token: PositionToken, snapshot: CheckpointSnapshot) -> bool:
    partitions = snapshot.partitions.get(token.generation)
    unknown = partitions is None or any(p >= partitions for p in token.partitions)
    return unknown or token.epoch > snapshot.epoch or token.highest > snapshot.position


def _all_reached(token: PositionToken, snapshot: CheckpointSnapshot, views: Sequence[str]) -> bool:
    builds = [snapshot.builds.get(view) for view in views]
    return all(
        build is not None
        and reached(token, build.checkpoints, snapshot.published.get(build.checkpoints.generation))
        for build in builds
    )
