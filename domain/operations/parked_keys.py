"""Retries and skips of parked keys: what an operator may have done about a consumer that stands still at an event."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from msgspec import Struct

from domain.aggregate import Aggregate
from domain.event import Event
from domain.operations.events import EventSkipped, RetryRequested
from domain.operations.skips import Skipped
from domain.rejection import Conflict, Unknown


class Parked(Struct, frozen=True):
    """A key that is parked, of a view in one shape; the shape is None for other consumers."""

    shape: int | None
    position: int


class Retries(Struct, frozen=True):
    """How often keys of a consumer were to be tried again, and the last of them."""

    requested: int
    partition_key: str


@dataclass(kw_only=True, eq=False)
class KeyNotParked(Unknown):
    """Nothing of this key stands still for this consumer."""

    title = "The key is not parked"
    meaning = "The consumer (view, process manager or other) has no parked key of this name."
    remedy = (
        "`counterfoil parked list` names every parked key with its consumer. It may have continued meanwhile."
    )

    consumer: str
    partition_key: str

    def __str__(self) -> str:
        return f"{self.consumer} has nothing parked for {self.partition_key!r}."


@dataclass(kw_only=True, eq=False)
class ParkedElsewhere(Conflict):
    """The key is parked at another event than the one to be skipped."""

    title = "The key is parked at another event"
    meaning = "The skip names a position, and the key is parked at another one. Nothing was skipped."
    remedy = "Examine the key again (`counterfoil parked show`) before you skip its present event."

    consumer: str
    partition_key: str
    position: int
    stands_at: int

    def __str__(self) -> str:
        return (
            f"{self.consumer} {self.partition_key} stands at position {self.stands_at}, not {self.position}:"
            " nothing was skipped."
        )


@dataclass(kw_only=True, eq=False)
class AlreadySkipped(Conflict):
    """The skip is in the log, and the owner of the key has yet to go on."""

    title = "The event is skipped already"
    meaning = "The log has a skip of this event for this consumer; the owner of the key carries it out when it runs."
    remedy = "Wait for the owner of the key; if it does not run, start it. A retry continues, too."

    consumer: str
    position: int

    def __str__(self) -> str:
        return f"{self.consumer} goes on without the event at position {self.position} already."


@dataclass(kw_only=True, eq=False)
class AlreadyDecided(Conflict):
    """The process manager decided about its trigger before it could be skipped."""

    title = "The process manager has decided already"
    meaning = "A trigger is decided or skipped, never both, and this one was decided meanwhile. Nothing was skipped."
    remedy = "No action is needed: the key continues by itself."

    consumer: str
    position: int

    def __str__(self) -> str:
        return f"{self.consumer} has decided about position {self.position} meanwhile: nothing was skipped."


def evolve(retries: Retries | None, event: Event) -> Retries:
    """Return what was requested after `event`."""
    assert isinstance(event, RetryRequested), "a stream of retries holds nothing else"
    return Retries(requested=1 + (retries.requested if retries else 0), partition_key=event.partition_key)


RETRIES: Final[Aggregate[Retries]] = Aggregate("retries", evolve, (RetryRequested,))


def retry(
    parked: Sequence[Parked], *, consumer: str, partition_key: str, actor: str, reason: str, now: datetime
) -> list[Event]:
    """Have a key tried again where it stands."""
    if not parked:
        raise KeyNotParked(consumer=consumer, partition_key=partition_key)
    return [
        RetryRequested(
            consumer=consumer,
            partition_key=partition_key,
            position=parked[0].position,
            actor=actor,
            reason=reason,
            requested_at=now,
        )
    ]


def skip(
    skipped: Skipped | None,
    parked: Sequence[Parked],
    *,
    consumer: str,
    partition_key: str,
    position: int,
    actor: str,
    reason: str,
    now: datetime,
) -> list[Event]:
    """Let a consumer go on without the event at which a key stands: in each shape in which it is parked there."""
    if not parked:
        raise KeyNotParked(consumer=consumer, partition_key=partition_key)
    shapes = dict.fromkeys(each.shape for each in parked if each.position == position)
    if not shapes:
        raise ParkedElsewhere(
            consumer=consumer, partition_key=partition_key, position=position, stands_at=parked[0].position
        )
    wanted = [shape for shape in shapes if (shape, position) not in (skipped or ())]
    if not wanted:
        raise AlreadySkipped(consumer=consumer, position=position)
    return [
        EventSkipped(
            consumer=consumer,
            shape=shape,
            partition_key=partition_key,
            position=position,
            actor=actor,
            reason=reason,
            skipped_at=now,
        )
        for shape in wanted
    ]
