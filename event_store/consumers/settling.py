"""The effects of a command: consumers that react to its events, their outcomes, and the events of these.

Everything stands in the log: a process manager answers each trigger under a key that follows from the trigger, and a
sender each intent. So nothing is tracked, and any process can tell at any time, also years later.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Literal

import psycopg
from msgspec import Struct

from event_store.log.reading import Epoch, epoch_of

EFFECTS_MAX: Final = 1_000
"""Events that are followed from one command on; what lies behind them counts as not settled."""

PAUSE_FIRST_S: Final = 0.005
PAUSE_MAX_S: Final = 0.1
PAUSE_GROWTH: Final = 1.5
"""Pauses between two reads: most commands are settled within some milliseconds."""

State = Literal["done", "pending", "parked", "waiting", "too-many"]

Connection = psycopg.AsyncConnection[tuple[Any, ...]]

_EVENTS: Final = """
select e.position, e.stream, e.version, e.type, coalesce(e.partition_key, e.stream), e.payload::text
from log.event e where e.position between %s and %s order by e.position limit %s
"""
_REQUEST_OF: Final = """
select coalesce(o.first_position, e.position), coalesce(o.last_position, e.position)
from log.event e left join log.outcome o on o.key = decode(e.metadata ->> 'idempotency', 'hex')
    and e.position between o.first_position and o.last_position
where e.position = %s
"""
_OUTCOMES: Final = "select key, first_position, last_position from log.outcome where key = any(%s)"
_REGISTERED: Final = (
    "select consumer, registered_position from consumers.registration where consumer = any(%s)"
)
_PARKED: Final = """
select a.consumer, a.position
from unnest(%s::text[], %s::text[], %s::bigint[]) as a (consumer, partition_key, position)
join consumers.parked p on p.consumer = a.consumer and p.partition_key = a.partition_key
    and a.position between p.position and p.last_position
"""
_HISTORY: Final = """
select i.id::text, e.epoch, e.first_position from log.installation i cross join log.epoch e order by e.epoch
"""


class Caused(Struct, frozen=True):
    """One event: of the command itself, or caused by it. `cause` is the position of the event that led to it."""

    position: int
    stream: str
    version: int
    type: str
    partition_key: str
    cause: int | None
    by: str | None
    """The process manager or gateway that appended it; None: the command did."""


class Reaction(Struct, frozen=True):
    """A consumer's reaction to one event; an outcome without events is `done` as well."""

    consumer: str
    position: int
    state: State


class CausingEvent(Struct, frozen=True):
    """One event, as far as an outcome's key may follow from it."""

    installation: str
    epoch: int
    position: int
    type: str
    payload: bytes


class ReactingConsumer(Struct, frozen=True, eq=False):
    """A consumer that answers each event of a type under a key of its own.

    `shown` is how the header Settled calls it. `outside`: it asks the outside world, so nobody knows how long it takes.
    """

    consumer: str
    key: Callable[[CausingEvent], bytes]
    shown: str
    outside: bool = False


ReactingConsumers = Mapping[str, Sequence[ReactingConsumer]]
"""By the name of the event's type."""


class Effects(Struct, frozen=True):
    """All effects of a command so far."""

    events: tuple[Caused, ...]
    reactions: tuple[Reaction, ...]

    @property
    def settled(self) -> bool:
        """Whether every consumer has an outcome, or a parked key that waits for an operator."""
        return all(each.state in ("done", "parked") for each in self.reactions)

    @property
    def wait_is_over(self) -> bool:
        """Whether waiting longer is for the outside world, an operator, or nothing."""
        return not any(each.state == "pending" for each in self.reactions)

    def consumers(self, state: State) -> list[str]:
        """The consumers of which some reaction is in this state, once each."""
        return sorted({each.consumer for each in self.reactions if each.state == state})

    @property
    def header(self) -> str:
        """The same as a header: `yes`, or `no` with the consumers that are waited for."""
        parts = ["yes" if self.settled else "no"]
        for state in ("waiting", "pending", "parked"):
            parts += [f"{state}={name}" for name in self.consumers(state)]
        return "; ".join(parts)


def together(found: Iterable[Effects]) -> Effects:
    """The effects of several commands."""
    each = list(found)
    return Effects(
        tuple(event for effects in each for event in effects.events),
        tuple(reaction for effects in each for reaction in effects.reactions),
    )


async def settled(
    read: Callable[[], Awaitable[Effects]], *, wait_s: float, leaving: Callable[[], bool]
) -> Effects:
    """What `look` finds once waiting longer is in vain, the time is over, or the process is leaving."""
    give_up_s, pause_s = time.monotonic() + wait_s, PAUSE_FIRST_S
    while not ((found := await read()).wait_is_over or leaving()):
        left_s = give_up_s - time.monotonic()
        if left_s <= 0:
            break
        await asyncio.sleep(min(pause_s, left_s))
        pause_s = min(PAUSE_MAX_S, pause_s * PAUSE_GROWTH)
    return found


async def request_of(connection: Connection, position: int) -> tuple[int, int] | None:
    """First and last position of the append that an event came with; None: there is no such event."""
    row = await (await connection.execute(_REQUEST_OF, [position])).fetchone()
    return None if row is None else (int(row[0]), int(row[1]))


async def effects_of(
    connection: Connection, first: int, last: int, *, followers: ReactingConsumers
) -> Effects:
    """Follow the events at these positions to everything that they caused.

    Args:
        connection: a role that reads schemas log and consumers.
        first: position of the first event of one append.
        last: position of its last event.
        followers: the consumers that are to react, by event type.
    """
    rounds = _Rounds(connection, followers, await _history(connection))
    await rounds.take(first, last, cause=None, by=None)
    while rounds.open:
        await rounds.follow()
    return Effects(tuple(rounds.events), tuple(rounds.reactions))


class _History(Struct, frozen=True):
    """The installation of the log, and its epochs."""

    installation: str
    epochs: tuple[Epoch, ...]


class _Trigger(Struct, frozen=True):
    event: Caused
    follower: ReactingConsumer
    key: bytes


class _Rounds:
    """The effects so far; one round follows all events of the round before."""

    def __init__(self, connection: Connection, followers: ReactingConsumers, history: _History) -> None:
        self.events: list[Caused] = []
        self.reactions: list[Reaction] = []
        self.open: list[_Trigger] = []
        self._connection = connection
        self._followers = followers
        self._history = history
        self._registered: dict[str, int] = {}

    async def take(self, first: int, last: int, *, cause: int | None, by: str | None) -> None:
        """Read the events of one append, and note who reacts to them."""
        room = EFFECTS_MAX - len(self.events)
        given = [first, last, room + 1]
        rows = await (await self._connection.execute(_EVENTS, given)).fetchall()
        if len(rows) > room:
            self.reactions.append(Reaction(by or "", first, "too-many"))
            rows = rows[:room]
        for position, stream, version, type_name, key, payload in rows:
            event = Caused(position, stream, version, type_name, key, cause, by)
            self.events.append(event)
            epoch = epoch_of(self._history.epochs, position)
            followed = CausingEvent(self._history.installation, epoch, position, type_name, payload.encode())
            for follower in self._followers.get(type_name, ()):
                self.open.append(_Trigger(event, follower, follower.key(followed)))

    async def follow(self) -> None:
        """Read the outcomes of all open reactions."""
        triggers, self.open = self.open, []
        triggers = await self._concerned(triggers)
        rows = await (await self._connection.execute(_OUTCOMES, [[each.key for each in triggers]])).fetchall()
        outcomes = {bytes(key): (int(first), int(last)) for key, first, last in rows}
        missing = [each for each in triggers if each.key not in outcomes]
        parked = await self._parked(missing)
        for each in triggers:
            consumer, position = each.follower.consumer, each.event.position
            if each.key not in outcomes:
                waits: State = "waiting" if each.follower.outside else "pending"
                state: State = "parked" if (consumer, position) in parked else waits
                self.reactions.append(Reaction(each.follower.shown, position, state))
                continue
            self.reactions.append(Reaction(each.follower.shown, position, "done"))
            first, last = outcomes[each.key]
            if first:
                await self.take(first, last, cause=position, by=consumer)

    async def _concerned(self, triggers: Sequence[_Trigger]) -> list[_Trigger]:
        """Without events that were recorded before the registration of their consumer."""
        unknown = {each.follower.consumer for each in triggers} - self._registered.keys()
        if unknown:
            rows = await (await self._connection.execute(_REGISTERED, [list(unknown)])).fetchall()
            self._registered |= {str(name): int(position) for name, position in rows}
        return [
            each
            for each in triggers
            if each.follower.outside  # an intent is never too old
            or self._registered.get(each.follower.consumer, each.event.position) < each.event.position
        ]

    async def _parked(self, triggers: Sequence[_Trigger]) -> set[tuple[str, int]]:
        if not triggers:
            return set()
        given = [
            [each.follower.consumer for each in triggers],
            [each.event.partition_key for each in triggers],
            [each.event.position for each in triggers],
        ]
        rows = await (await self._connection.execute(_PARKED, given)).fetchall()
        return {(str(consumer), int(position)) for consumer, position in rows}


async def _history(connection: Connection) -> _History:
    rows = await (await connection.execute(_HISTORY)).fetchall()
    return _History(rows[0][0], tuple(Epoch(epoch=epoch, first_position=first) for _, epoch, first in rows))
