"""Finding events of the log by type, category and time.

No index knows types or categories: one would cost every append. So the log is looked through, by its key, as long as
one answer may take, and the answer says how far it came. Times are found by halving, since they never fall.
"""

import asyncio
from bisect import bisect_right
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from event_store.log import paging, reading
from event_store.log.envelope import RecordedEvent
from read_api.audit.past import Past
from read_api.checkpoints import CheckpointSnapshot
from read_api.connections import AsyncConnection
from read_api.parameters import invalid_parameter
from read_api.reads import Reads

NAMES_MAX: Final = 20
"""Types, or categories, in one request."""

NAMES_PATTERN: Final = rf"^[^\x00-\x20\x7f,]{{1,255}}(,[^\x00-\x20\x7f,]{{1,255}}){{0,{NAMES_MAX - 1}}}$"

PAGE_EVENTS_MAX: Final = 500
"""Events read from the log at a time."""

PAGE_BYTES_MAX: Final = 1024 * 1024
"""Payload bytes read at a time, as stored; a single larger event is a page of its own."""

POSITIONS_PER_STEP: Final = 20_000
"""Positions that one statement looks through."""

SEARCH_S: Final = 1.0
"""How long one answer looks for events."""

_SMALLEST: Final = timedelta(microseconds=1)


class EventQuery(Struct, frozen=True):
    """Which events: of these types, of these categories (None: any), behind one position and up to another."""

    types: Sequence[str] | None = None
    categories: Sequence[str] | None = None
    after: int = 0
    upto: int | None = None

    @property
    def is_narrow(self) -> bool:
        """Whether not every event between its positions is asked for."""
        return self.types is not None or self.categories is not None


class FoundEvents(Struct, frozen=True):
    """The events of one answer: the positions of those that are narrowly asked for (None: all behind `after`).

    All that were asked for are known up to `upto`; `end` is where the log ends, or what is asked of it.
    """

    snapshot: CheckpointSnapshot
    after: int
    upto: int
    end: int
    positions: Sequence[int] | None = None

    @property
    def has_more(self) -> bool:
        """Whether more of the log is asked for than was looked through."""
        return self.upto < self.end

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to read."""
        return self.after >= self.upto if self.positions is None else not self.positions

    def behind(self, position: int) -> "FoundEvents":
        """What is left behind a position that was read."""
        if self.positions is None:
            return replace(self, after=position)
        return replace(self, positions=self.positions[bisect_right(self.positions, position) :])


async def question(
    past: Past, *, types: str | None, categories: str | None, since: datetime | None, until: datetime | None
) -> EventQuery:
    """The question in the parameters of a request.

    Raises:
        ProblemError: `invalid-parameter`: the time from which on events are wanted has not come.
    """
    after, upto = 0, None
    if since is not None:
        try:
            after = await _before(past, since)
        except reading.TimeAhead as error:
            raise invalid_parameter("since", f"{since.isoformat()} has not come yet") from error
    if until is not None:
        try:
            upto = await _before(past, until)
        except reading.TimeAhead:
            upto = None  # all that there is by now was recorded before
    return EventQuery(_names(types), _names(categories), after, upto)


async def _before(past: Past, time: datetime) -> int:
    """The last position recorded before a time."""
    try:
        last_moment = time - _SMALLEST
    except OverflowError:
        return 0  # nothing was recorded before the calendar begins
    return await past.position_at(last_moment)


def _names(given: str | None) -> list[str] | None:
    return None if given is None else given.split(",")


async def find(reads: Reads, question: EventQuery, *, after: int, limit: int, wait_s: int) -> FoundEvents:
    """The next events, at most `limit`; without any, as soon as there is one, or after `wait_s` seconds.

    Raises:
        ViewUnavailable, TooManyReads: the log cannot be read.
    """
    clock = asyncio.get_running_loop().time
    deadline = clock() + wait_s
    start = max(after, question.after)
    while True:
        snapshot, found = await reads.snapshot(
            partial(_search, question=question, start=start, limit=limit, clock=clock)
        )
        left_s = deadline - clock()
        ended = question.upto is not None and found.upto >= question.upto
        if not found.is_empty or left_s <= 0 or ended:
            return found
        start = max(start, found.upto)
        if found.upto >= snapshot.position and not await reads.poller.wait_for(
            partial(_has_more, position=snapshot.position), timeout_s=left_s
        ):
            return found


def _has_more(snapshot: CheckpointSnapshot, *, position: int) -> bool:
    return snapshot.position > position


async def _search(
    connection: AsyncConnection,
    snapshot: CheckpointSnapshot,
    *,
    question: EventQuery,
    start: int,
    limit: int,
    clock: Callable[[], float],
) -> FoundEvents:
    end = snapshot.position if question.upto is None else min(snapshot.position, question.upto)
    if not question.is_narrow:
        return FoundEvents(snapshot, start, max(start, min(end, start + limit)), end)
    positions: list[int] = []
    began, reached = clock(), start
    while reached < end and len(positions) < limit:
        upto = min(end, reached + POSITIONS_PER_STEP)
        positions += await paging.find_async(
            connection,
            after=reached,
            upto=upto,
            types=question.types,
            categories=question.categories,
            limit=limit - len(positions),
        )
        reached = positions[-1] if len(positions) == limit else upto
        if clock() - began >= SEARCH_S:
            break
    return FoundEvents(snapshot, start, reached, end, positions)


async def read(reads: Reads, found: FoundEvents) -> list[RecordedEvent]:
    """The next page of what was found.

    Raises:
        ViewUnavailable, TooManyReads: the log cannot be read.
    """
    if found.is_empty:
        return []
    return await reads.connections.run(partial(_page, found=found))


async def _page(connection: AsyncConnection, *, found: FoundEvents) -> list[RecordedEvent]:
    if found.positions is None:
        return await paging.page_after_async(
            connection, found.after, rows_max=PAGE_EVENTS_MAX, upto=found.upto, bytes_max=PAGE_BYTES_MAX
        )
    return await paging.page_at_async(connection, found.positions[:PAGE_EVENTS_MAX], bytes_max=PAGE_BYTES_MAX)
