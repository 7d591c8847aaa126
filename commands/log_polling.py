"""Polls the log every second: its epoch, its topic generation, and whether it answers at all."""

import asyncio
import time
from collections.abc import Callable

import structlog

from commands import limits
from commands.log_reading import LogReader, LogState, LogUnreachable

log = structlog.get_logger()


class LogPoller:
    """The state of the log as one process last read it."""

    def __init__(self, reader: LogReader, *, log_state: LogState, on_new_epoch: Callable[[], None]) -> None:
        self._reader = reader
        self._on_new_epoch = on_new_epoch
        self._asked_at: float | None = None
        self.log_state = log_state

    @property
    def answers(self) -> bool:
        """Whether the log is not silent for the named time, counted from when it was asked.

        Not from its last answer: a process that was busy or paused for long has not asked since.
        """
        return self._asked_at is None or time.monotonic() - self._asked_at < limits.POLL_SILENCE_MAX_S

    async def poll(self) -> LogState:
        """Read the log's state now; a new epoch drops the kept states.

        Raises:
            LogUnreachable: the database does not answer.
        """
        self._asked_at = self._asked_at or time.monotonic()
        log_state = await self._reader.log_state()
        self._asked_at = None
        if log_state != self.log_state:
            log.info("log_state_changed", epoch=log_state.epoch, generation=log_state.generation)
        if log_state.epoch != self.log_state.epoch:
            self._on_new_epoch()
        self.log_state = log_state
        return log_state

    async def run(self) -> None:
        """Poll for ever."""
        while True:
            await asyncio.sleep(limits.POLL_PERIOD_S)
            try:
                await self.poll()
            except LogUnreachable as error:
                log.warning("log_unreachable", reason=str(error))
            except Exception:
                # The outer loop of this worker: without it this process would never be ready again.
                log.exception("log_poll_failed")
