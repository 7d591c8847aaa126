"""One task per process that reads every checkpoint: four times a second, and when views moved if somebody waits."""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

import structlog

from event_store.consumers import parking
from read_api import checkpoints
from read_api.checkpoints import CheckpointSnapshot
from read_api.connections import AsyncConnection, Connections
from read_api.errors import ViewUnavailable
from read_api.moves import Moves

POLL_INTERVAL_S: Final = 0.25
"""Between two snapshots while nobody waits."""

POLL_GAP_S: Final = 0.005
"""Between two snapshots while somebody waits."""

UNHEARD_S: Final = 0.05
"""How long somebody waits to hear that views moved, before the next snapshot is read all the same.

What a view has also grows by the relay's row, of which nothing is heard.
"""

SETTLED_AFTER_S: Final = 1.0
"""Age from which a snapshot binds the document cache: what SQL had then, the cache must have now."""

SNAPSHOTS_KEPT_MAX: Final = 256
"""Snapshots kept until they are settled: those of `SETTLED_AFTER_S` with the gap between them, with room to spare."""

STALE_SNAPSHOT_S: Final = 5.0
"""Without a snapshot for this long the process says that it cannot see the database."""

ENDING: Final = "the process is ending"

log = structlog.get_logger()


class CheckpointPoller:
    """The latest snapshot, and an older one that binds the cache. Use it as an async context manager."""

    def __init__(
        self,
        connections: Connections,
        *,
        moves: Moves | None = None,
        draining: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Poll over `connections`. Once the process is `draining` nobody waits any more. `clock` gives seconds.

        While somebody waits, `moves` says when; without it, and where nothing is heard, one snapshot follows another.
        """
        self._connections = connections
        self._moves = moves
        self._draining = draining
        self._clock = clock
        self._latest: CheckpointSnapshot | None = None
        self._moved: asyncio.Future[None] | None = None
        """Done once views moved after the newest snapshot left."""
        self._kept: deque[CheckpointSnapshot] = deque(maxlen=SNAPSHOTS_KEPT_MAX)
        self._asked: list[asyncio.Future[CheckpointSnapshot]] = []
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._failing = False
        self._ended = False

    async def __aenter__(self) -> Self:
        """Start to poll."""
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop polling; nobody is left waiting for a snapshot."""
        assert self._task is not None, "left without having been entered"
        self._ended = True
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._refuse(self._asked, reason=ENDING)

    @property
    def draining(self) -> bool:
        """Whether nobody is to wait any more."""
        return self._draining() or self._ended

    @property
    def latest(self) -> CheckpointSnapshot:
        """The newest snapshot, however old.

        Raises:
            ViewUnavailable: the database was never seen since this process started.
        """
        if self._latest is None:
            raise ViewUnavailable("the database has not been seen yet")
        return self._latest

    @property
    def settled(self) -> CheckpointSnapshot:
        """The newest snapshot that left at least `SETTLED_AFTER_S` ago, or the oldest one, which asks for more.

        Raises:
            ViewUnavailable: the database was never seen since this process started.
        """
        bound = self._clock() - SETTLED_AFTER_S
        while len(self._kept) > 1 and self._kept[1].seen_at <= bound:
            self._kept.popleft()
        return self._kept[0] if self._kept else self.latest

    @property
    def has_seen(self) -> bool:
        """Whether the database ever answered."""
        return self._latest is not None

    @property
    def sees(self) -> bool:
        """Whether the database answered lately."""
        return self._latest is not None and self._clock() - self._latest.seen_at < STALE_SNAPSHOT_S

    async def next_snapshot(self) -> CheckpointSnapshot:
        """A snapshot that leaves after this call.

        Raises:
            ViewUnavailable: the database does not answer.
        """
        if self._ended:
            raise ViewUnavailable(ENDING)
        future: asyncio.Future[CheckpointSnapshot] = asyncio.get_running_loop().create_future()
        self._asked.append(future)
        self._wake.set()
        return await future

    async def wait_for(self, holds: Callable[[CheckpointSnapshot], bool], *, timeout_s: float) -> bool:
        """Poll until `holds` does; answer False after `timeout_s` seconds, or when the process is to end."""
        if self._latest is not None and holds(self._latest):
            return True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while not self.draining:
                    await self.hear()
                    if await self._holds_next(holds):
                        return True
        return False

    async def hear(self) -> None:
        """Wait until views moved after the newest snapshot left, `UNHEARD_S` at most; not where nothing is heard."""
        if self._moved is not None and self._moves is not None and self._moves.heard:
            await asyncio.wait({self._moved}, timeout=UNHEARD_S)

    async def _holds_next(self, holds: Callable[[CheckpointSnapshot], bool]) -> bool:
        try:
            return holds(await self.next_snapshot())
        except ViewUnavailable:
            await asyncio.sleep(POLL_INTERVAL_S)  # the database may come back while there is time
            return False

    async def _run(self) -> None:
        while True:
            await self._poll_once()
            await asyncio.sleep(POLL_GAP_S)
            try:
                async with asyncio.timeout(POLL_INTERVAL_S - POLL_GAP_S):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _poll_once(self) -> None:
        asked, self._asked = self._asked, []
        self._wake.clear()
        seen_at = self._clock()
        moved = None if self._moves is None else self._moves.next_move
        try:
            snapshot = checkpoints.read_snapshot(await self._connections.run(_ask), seen_at=seen_at)
        except asyncio.CancelledError:
            self._refuse(asked, reason=ENDING)
            raise
        except ViewUnavailable as error:
            self._give_up(asked, reason=str(error))
            return
        except Exception as error:  # noqa: BLE001 - without this task nothing is ever fresh again, so it goes on
            self._give_up(asked, reason=f"{type(error).__name__}: {error}")
            return
        self._note(failing=False)
        self._latest, self._moved = snapshot, moved
        self._kept.append(snapshot)
        for future in asked:
            if not future.done():
                future.set_result(snapshot)

    def _give_up(self, asked: list[asyncio.Future[CheckpointSnapshot]], *, reason: str) -> None:
        self._note(failing=True, reason=reason)
        self._refuse(asked, reason=reason)

    def _refuse(self, asked: list[asyncio.Future[CheckpointSnapshot]], *, reason: str) -> None:
        for future in asked:
            if not future.done():
                future.set_exception(ViewUnavailable(reason))

    def _note(self, *, failing: bool, reason: str = "") -> None:
        """Log that the database went or came back, once each."""
        if failing and not self._failing:
            log.warning("database_not_seen", reason=reason)
        elif self._failing and not failing:
            log.info("database_seen_again")
        self._failing = failing


async def _ask(connection: AsyncConnection) -> str:
    cursor = await connection.execute(checkpoints.SNAPSHOT, {"parked_max": parking.KEYS_SHOWN_MAX})
    row = await cursor.fetchone()
    assert row is not None, "log.head always has its one row"
    return str(row[0])
