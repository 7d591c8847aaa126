"""Pauses: a consumer, or a view, that does nothing until an operator lets it go on; one stream for each."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from msgspec import Struct

from domain.aggregate import Aggregate
from domain.event import Event
from domain.operations.events import PauseRequested, ResumeRequested
from domain.rejection import Conflict, Unknown


class Paused(Struct, frozen=True):
    """Whether operators want it paused."""

    wanted: bool


class DecidePause(Protocol):
    """How a pause, or its end, is decided."""

    def __call__(
        self,
        paused: Paused | None,
        *,
        consumer: str,
        known: Collection[str],
        actor: str,
        reason: str,
        now: datetime,
    ) -> list[Event]:
        """The event that asks for it; refused where there is no such consumer, or it is not paused."""
        ...


@dataclass(kw_only=True, eq=False)
class ConsumerUnknown(Unknown):
    """No consumer and no view has this name."""

    title = "The consumer does not exist"
    meaning = "No view and no consumer that can be paused has this name; the member `known` lists them."
    remedy = "Check the name: case matters. A new consumer is known when its process has run."

    consumer: str
    known: list[str]

    def __str__(self) -> str:
        return f"there is no consumer {self.consumer} that can be paused; there are {', '.join(self.known)}"


@dataclass(kw_only=True, eq=False)
class NotPaused(Conflict):
    """Nobody paused it, or somebody let it go on."""

    title = "The consumer is not paused"
    meaning = "The consumer, or the view, is not paused, or was resumed meanwhile."
    remedy = "No action is needed. If the consumer makes no progress, follow the runbook about lag."

    consumer: str

    def __str__(self) -> str:
        return f"{self.consumer} is not paused"


def evolve(paused: Paused | None, event: Event) -> Paused:
    """Return what operators want after `event`."""
    del paused  # the last one counts
    return Paused(isinstance(event, PauseRequested))


PAUSES: Final[Aggregate[Paused]] = Aggregate("pauses", evolve, (PauseRequested, ResumeRequested))


def pause(
    paused: Paused | None, *, consumer: str, known: Collection[str], actor: str, reason: str, now: datetime
) -> list[Event]:
    """Have a consumer, or the workers of a view, do nothing; nothing where that is so."""
    _require_known(consumer, known)
    if paused is not None and paused.wanted:
        return []
    return [PauseRequested(consumer=consumer, actor=actor, reason=reason, requested_at=now)]


def resume(
    paused: Paused | None, *, consumer: str, known: Collection[str], actor: str, reason: str, now: datetime
) -> list[Event]:
    """Let it go on."""
    _require_known(consumer, known)
    if paused is None or not paused.wanted:
        raise NotPaused(consumer=consumer)
    return [ResumeRequested(consumer=consumer, actor=actor, reason=reason, requested_at=now)]


def _require_known(consumer: str, known: Collection[str]) -> None:
    if consumer not in known:
        raise ConsumerUnknown(consumer=consumer, known=sorted(known))
