"""Waiting until a command is settled: until every process manager that its events concern has an outcome or is parked.

What the outside world is asked for is not waited for: nobody knows how long it takes.
"""

from collections.abc import Callable, Iterator
from typing import Final

from msgspec import Struct

from commands import limits
from commands.log_reading import LogReader, LogUnreachable, Outcome
from event_store.consumers import settling
from event_store.consumers.settling import Effects, ReactingConsumers
from runtime.http.preferences import Preferences

NOTHING: Final = Effects((), ())
"""The effects of a command without events."""


class Settled(Struct, frozen=True):
    """The effects of a command within its caller's preferred time; `applied` are the preferences that counted.

    `effects` None: the log could not be read.
    """

    effects: Effects | None
    applied: str

    @property
    def header(self) -> str:
        """`yes`, or `no` with what is waited for."""
        return "no; pending=unknown" if self.effects is None else self.effects.header

    @property
    def touched(self) -> Iterator[tuple[str, int]]:
        """The partition keys of what it led to, each with a position."""
        for event in () if self.effects is None else self.effects.events:
            yield event.partition_key, event.position


class Settling(Struct):
    """Follows commands to their effects, for a bounded number of callers at a time."""

    reader: LogReader
    followers: ReactingConsumers
    draining: Callable[[], bool]
    waiting: int = 0

    async def effects_at(self, position: int) -> Effects | None:
        """The effects of the command that recorded the event at a position; None if the log has no such event.

        Raises:
            LogUnreachable: the database does not answer.
        """

        async def ask(connection: settling.Connection) -> Effects | None:
            request = await settling.request_of(connection, position)
            if request is None:
                return None
            return await settling.effects_of(connection, *request, followers=self.followers)

        return await self.reader.read(ask)

    async def settled(self, key: bytes, preferred: Preferences) -> Settled:
        """The effects of the command with this key, within the preferred time."""
        wait_s = preferred.wait_s or 0
        applied = preferred.applied("wait", "until")
        try:
            _, outcome = await self.reader.outcome(key)
            if outcome is None or not outcome.last:
                return Settled(NOTHING, applied)
            return Settled(await self._followed(outcome, wait_s=wait_s), applied)
        except LogUnreachable:
            return Settled(None, applied)

    async def _followed(self, outcome: Outcome, *, wait_s: float) -> Effects:
        if self.waiting >= limits.SETTLING_CALLERS_MAX:
            wait_s = 0
        self.waiting += 1
        try:
            return await settling.settled(
                lambda: self._effects(outcome), wait_s=wait_s, leaving=self.draining
            )
        finally:
            self.waiting -= 1

    async def _effects(self, outcome: Outcome) -> Effects:
        first, last = outcome.first, outcome.last
        return await self.reader.read(
            lambda connection: settling.effects_of(connection, first, last, followers=self.followers)
        )
