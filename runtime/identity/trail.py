"""What an API process has to say to security streams: counts, written once a minute, and rows that are waited for.

A crash loses the counts of the minute that it fell into, and never a row that was waited for. Rows go to
`security.pending`; a consumer brings them into the log.
"""

import asyncio
import contextlib
import time
import uuid
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Literal

import psycopg
import structlog
from msgspec import Struct, structs
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from runtime import database
from runtime.http.principal import NOBODY
from runtime.problems import ProblemError

TrailKind = Literal["denied", "login-refused", "read", "exported", "revealed"]

MINUTE_S: Final = 60
ROWS_OF_ACTOR_MAX: Final = 100
"""Rows a minute about one actor; callers who did not prove who they are are one actor."""
ROWS_MAX: Final = 10_000
"""Rows a minute about everybody; what is beyond is counted with the callers who are not known."""
BATCHES_KEPT_MAX: Final = 60
"""Batches that wait for the database: an hour of them."""
AGAIN_S: Final = 5.0
"""Pause after a batch that could not be written."""
TIMEOUT_S: Final = 2.0
"""How long a row is waited for."""
CONNECTIONS: Final = 2

OTHERS: Final = "(others)"
"""The route and the code of what is counted together."""

_ADD: Final = """
insert into security.pending
    (batch, number, kind, actor, process, route, code, detail, correlation_id, since, count)
select %(batch)s, r.number, r.kind, r.actor, %(process)s, r.route, r.code, r.detail, r.correlation_id, r.since, r.count
from unnest(%(kinds)s::text[], %(actors)s::text[], %(routes)s::text[], %(codes)s::text[], %(details)s::text[],
    %(correlation_ids)s::text[], %(since)s::timestamptz[], %(counts)s::bigint[]) with ordinality
    as r (kind, actor, route, code, detail, correlation_id, since, count, number)
on conflict do nothing
"""

_UNWRITABLE: Final = (psycopg.Error, PoolTimeout, TimeoutError)

log = structlog.get_logger()

Pool = AsyncConnectionPool[psycopg.AsyncConnection[tuple[Any, ...]]]


class TrailRow(Struct, frozen=True):
    """What is said of one actor; `since` is in seconds since 1970: the minute that is counted, or the moment."""

    kind: TrailKind
    actor: str
    route: str
    code: str
    since: float
    detail: str = ""
    correlation_id: str = ""


class TrailBatch(Struct, frozen=True):
    """Rows that are inserted together, as often as it takes, and once."""

    rows: dict[TrailRow, int]
    batch: str


class AuditTrail:
    """Counts what callers are refused and read, for one process."""

    def __init__(self, url: str, *, process: str, clock: Callable[[], float] = time.time) -> None:
        """`clock` gives seconds since 1970."""
        self._process = process
        self._clock = clock
        self._counts: dict[TrailRow, int] = {}
        self._rows_of: Counter[tuple[str, float]] = Counter()
        self._unwritten: deque[TrailBatch] = deque(maxlen=BATCHES_KEPT_MAX)
        self._url = url
        self._pool: Pool | None = None

    def count(self, kind: TrailKind, *, actor: str, route: str, code: str = "") -> None:
        """Add one to what is said of an actor in this minute."""
        since = self._clock() // MINUTE_S * MINUTE_S
        row = TrailRow(kind, actor, route, code, since)
        counted = self._counts.get(row)
        if counted is None:
            row = self._within_limits(row)
            counted = self._counts.get(row, 0)
            self._rows_of[row.actor, since] += not counted
        self._counts[row] = counted + 1

    async def record(self, row: TrailRow) -> None:
        """Write a row of its own, now.

        Raises:
            ProblemError: `identity-unavailable`: it is not certain that it is written.
        """
        try:
            await self._write(TrailBatch({row: 1}, str(uuid.uuid4())))
        except _UNWRITABLE as error:
            log.warning("trail_not_written", reason=_reason(error))
            raise ProblemError(
                "identity-unavailable", "The read cannot be recorded now, so it is refused."
            ) from error

    async def flush(self, *, minutes_over: bool = True) -> None:
        """Write what was counted in minutes that are over, or all of it; what cannot be written is kept for later."""
        now = self._clock() // MINUTE_S * MINUTE_S
        over = {row: count for row, count in self._counts.items() if row.since < now or not minutes_over}
        if over:
            for row in over:
                del self._counts[row]
                self._rows_of.pop((row.actor, row.since), None)
            if len(self._unwritten) == BATCHES_KEPT_MAX:
                log.error("trail_lost", requests=sum(self._unwritten[0].rows.values()))
            self._unwritten.append(TrailBatch(over, str(uuid.uuid4())))
        while self._unwritten:
            try:
                await self._write(self._unwritten[0])
            except _UNWRITABLE as error:
                log.warning("trail_not_written", reason=_reason(error), batches=len(self._unwritten))
                return
            self._unwritten.popleft()

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Write once a minute for the length of a block, and all that was counted at its end."""
        pool = database.pool(
            self._url, role="counterfoil_recorder", name=f"{self._process} trail", size=CONNECTIONS, idle=0
        )
        async with pool:
            self._pool = pool
            writing = asyncio.create_task(self._run(), name=f"{self._process}: trail")
            try:
                yield
            finally:
                writing.cancel()
                await asyncio.gather(writing, return_exceptions=True)
                await self.flush(minutes_over=False)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(AGAIN_S if self._unwritten else MINUTE_S - self._clock() % MINUTE_S)
            await self.flush()

    def _within_limits(self, row: TrailRow) -> TrailRow:
        """The row, or the one of what is counted together."""
        if len(self._counts) >= ROWS_MAX - ROWS_OF_ACTOR_MAX:
            row = structs.replace(row, kind="denied", actor=NOBODY.actor)
        # The last row of an actor is the one of all others.
        if self._rows_of[row.actor, row.since] >= ROWS_OF_ACTOR_MAX - 1:
            return structs.replace(row, route=OTHERS, code=OTHERS)
        return row

    async def _write(self, batch: TrailBatch) -> None:
        rows: Sequence[TrailRow] = list(batch.rows)
        given = {
            "batch": batch.batch,
            "process": self._process,
            "kinds": [row.kind for row in rows],
            "actors": [row.actor for row in rows],
            "routes": [row.route for row in rows],
            "codes": [row.code for row in rows],
            "details": [row.detail for row in rows],
            "correlation_ids": [row.correlation_id for row in rows],
            "since": [datetime.fromtimestamp(row.since, UTC) for row in rows],
            "counts": list(batch.rows.values()),
        }
        assert self._pool is not None, "requests come when the application is open"
        async with asyncio.timeout(TIMEOUT_S), self._pool.connection() as connection:
            await connection.execute(_ADD, given)


def _reason(error: BaseException) -> str:
    return str(error).strip() or type(error).__name__
