"""A look at the log every second: which epoch and topic generation it is in, and whether it answers at all."""

import asyncio
import time
from collections.abc import Callable

import structlog

from commands import limits
from commands.log_reading import LogReader, LogUnreachable, Standing

log = structlog.get_logger()


class Watch:
    """What one process last saw of the log's standing."""

    def __init__(self, reader: LogReader, *, standing: Standing, on_new_epoch: Callable[[], None]) -> None:
        self._reader = reader
        self._on_new_epoch = on_new_epoch
        self._answered_at = time.monotonic()
        self.standing = standing

    @property
    def answers(self) -> bool:
        """The log answered within the named time."""
        return time.monotonic() - self._answered_at < limits.WATCH_SILENCE_MAX_S

    async def look(self) -> Standing:
        """See where the log stands now; a new epoch is told to whoever keeps states.

        Raises:
            LogUnreachable: the database does not answer.
        """
        standing = await self._reader.standing()
        self._answered_at = time.monotonic()
        if standing != self.standing:
            log.info("log_standing_changed", epoch=standing.epoch, generation=standing.generation)
        if standing.epoch != self.standing.epoch:
            self._on_new_epoch()
        self.standing = standing
        return standing

    async def run(self) -> None:
        """Look for ever."""
        while True:
            await asyncio.sleep(limits.WATCH_PERIOD_S)
            try:
                await self.look()
            except LogUnreachable as error:
                log.warning("log_unreachable", reason=str(error))
            except Exception:
                # The outer loop of this worker: were it to end, this process would never be ready again.
                log.exception("watch_failed")
