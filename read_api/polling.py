"""One task per process that reads every checkpoint: four times a second, and when views moved if somebody waits."""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self, TypeVar

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

T = TypeVar("T")

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
        """Done once views moved after the newest snapshot left; None where nothing is heard."""
        self._kept: deque[CheckpointSnapshot] = deque(maxlen=SNAPSHOTS_KEPT_MAX)
        self._asked: list[asyncio.Future[CheckpointSnapshot]] = []
        self._patient: list[asyncio.Future[CheckpointSnapshot]] = []
        """Those who asked for the first snapshot behind a move."""
        self._waiting: dict[asyncio.Future[bool], Callable[[CheckpointSnapshot], bool]] = {}
        self._waited_from = 0.0
        """Since when somebody waits without a further snapshot having been read, in seconds of the loop's clock."""
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
        self._refuse([*self._asked, *self._patient], reason=ENDING)
        self._end_waits()

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

    async def next_snapshot(self, *, patient: bool = False) -> CheckpointSnapshot:
        """A snapshot that leaves after this call; the `patient` wait for one until views moved, as in `wait_for`.

        Raises:
            ViewUnavailable: the database does not answer.
        """
        if self._ended:
            raise ViewUnavailable(ENDING)
        future: asyncio.Future[CheckpointSnapshot] = asyncio.get_running_loop().create_future()
        if patient:
            self._wait_from_now()
            self._patient.append(future)
        else:
            self._asked.append(future)
        self._wake.set()
        return await future

    async def wait_for(self, holds: Callable[[CheckpointSnapshot], bool], *, timeout_s: float) -> bool:
        """Wait until `holds` does; answer False after `timeout_s` seconds, or when the process is to end.

        The next snapshot is read once views moved after the newest one left, but after `UNHEARD_S` at the latest, and
        at once where nothing is heard. It is judged for everybody who waits, so to wait longer costs little more.
        """
        if self._latest is not None and holds(self._latest):
            return True
        if self.draining:
            return False
        loop = asyncio.get_running_loop()
        held: asyncio.Future[bool] = loop.create_future()
        self._wait_from_now()
        self._waiting[held] = holds
        self._wake.set()
        gives_up = loop.call_later(timeout_s, _answer, held, False)
        try:
            return await held
        finally:
            gives_up.cancel()
            self._waiting.pop(held, None)

    def _wait_from_now(self) -> None:
        if not (self._waiting or self._patient):
            self._waited_from = asyncio.get_running_loop().time()

    async def _run(self) -> None:
        while True:
            await self._poll_once()
            if self.draining:
                self._end_waits()
            await asyncio.sleep(POLL_GAP_S)
            await self._until_due()

    async def _until_due(self) -> None:
        """Wait until somebody asks, views moved for those who wait, or the newest snapshot is old."""
        loop = asyncio.get_running_loop()
        old_at = loop.time() + POLL_INTERVAL_S - POLL_GAP_S
        while not self._asked:
            due_at = min(old_at, self._due_at(loop.time()))
            if due_at <= loop.time():
                return
            self._wake.clear()
            try:
                async with asyncio.timeout_at(due_at):
                    await self._wake.wait()
            except TimeoutError:
                return

    def _due_at(self, now: float) -> float:
        """When a snapshot is to be read for those who wait; never where nobody does, or the database is away."""
        if self._failing or not (self._waiting or self._patient):
            return math.inf
        if self._moved is None or self._moved.done() or self._moves is None or not self._moves.heard:
            return now
        return self._waited_from + UNHEARD_S

    async def _poll_once(self) -> None:
        asked, self._asked, self._patient = [*self._asked, *self._patient], [], []
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
        self._take(snapshot, moved)
        for future in asked:
            _answer(future, snapshot)

    def _take(self, snapshot: CheckpointSnapshot, moved: asyncio.Future[None] | None) -> None:
        if moved is not None and moved is not self._moved:
            moved.add_done_callback(lambda _: self._wake.set())
        self._latest, self._moved = snapshot, moved
        self._kept.append(snapshot)
        self._waited_from = asyncio.get_running_loop().time()
        for held, holds in self._waiting.items():
            try:
                if holds(snapshot):
                    _answer(held, True)
            except Exception as error:  # noqa: BLE001 - the fault of one who waits must not end what all wait for
                if not held.done():
                    held.set_exception(error)

    def _end_waits(self) -> None:
        for held in self._waiting:
            _answer(held, False)

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


def _answer(future: "asyncio.Future[T]", answer: T) -> None:
    """Answer one who may have given up waiting."""
    if not future.done():
        future.set_result(answer)


async def _ask(connection: AsyncConnection) -> str:
    cursor = await connection.execute(checkpoints.SNAPSHOT, {"parked_max": parking.KEYS_SHOWN_MAX})
    row = await cursor.fetchone()
    assert row is not None, "log.head always has its one row"
    return str(row[0])
