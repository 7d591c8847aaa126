"""Firing a due timer: one decision on its current stream, appended under the timer's own key.

Firing it again, after a crash or from a row that is out of date, is answered from the outcome that the key has:
nothing is decided twice. A stream in which nothing is left to decide gives an outcome without events.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from msgspec import Struct

from commands import refusals
from commands.calls import Call
from commands.decision import Decision, DecisionView, events_of
from commands.execution import Caller, Execution, Slot
from commands.log_reading import LogReader
from commands.processes.due import Due
from commands.processes.timer import Timer
from event_store.log.codec import UnknownEventType
from event_store.log.fingerprints import Fingerprints
from runtime.actors import actor
from runtime.problems import ProblemError

FIRED: Final = "fired"
STALE: Final = "stale"
SKIPPED: Final = "skipped"
POSTPONED: Final = "postponed"
FAILED: Final = "failed"


class Fired(Struct, frozen=True):
    """What came of a timer: it decided something, or nothing was left to decide; an operator let it go; or why not.

    It is postponed where the same may go well another time. Otherwise it failed, and would fail again.
    """

    due: Due
    outcome: str
    reason: str = ""


async def fire(
    execution: Execution,
    timer: Timer[Any],
    due: Due,
    *,
    slot: Slot,
    reader: LogReader,
    fingerprints: Fingerprints,
    now: datetime,
    skipped: bool = False,
) -> Fired:
    """Fire a timer: decide and append once.

    Args:
        execution: appends, under the timer's key.
        timer: what it is.
        due: its row.
        slot: a place in the log's queue, given back here.
        reader: of outcomes.
        fingerprints: of this installation.
        now: the time that decisions are given.
        skipped: an operator lets it go: it gets an outcome without events.

    Raises:
        UnknownEventType: a newer version of the product wrote the stream.
    """
    decided = 0

    def decide(state: Any, view: DecisionView) -> Decision:
        nonlocal decided
        decision = Decision() if skipped else _decision(timer, state, view, due, now)
        decided = len(decision.events)
        return decision

    caller = Caller(execution, call=_call(timer, due, fingerprints), slot=slot, now=now)
    try:
        await caller.execute(timer.aggregate, due.identifier, decide, fresh=True, occurred_at=now)
    except UnknownEventType:
        raise
    except Exception as error:  # noqa: BLE001 - whatever the failure: it parks this timer's key, nothing else
        return await _not_fired(due, error, reader)
    finally:
        slot.free()
    return Fired(due, SKIPPED if skipped else FIRED if decided else STALE)


def _decision(timer: Timer[Any], state: Any, view: DecisionView, due: Due, now: datetime) -> Decision:
    """The decision of the process.

    Raises:
        ValueError: it appends to what the process does not write.
        Exception: whatever the process's own code raises; Missing: a stream has to be loaded first.
    """
    assert timer.decide is not None, f"{timer!r} decides nothing"
    decided = timer.decide(state, view, now)
    if not isinstance(decided, Decision):
        decided = Decision(events_of(timer.aggregate, due.identifier, decided))
    for aggregate, identifier, _ in decided.events:
        if aggregate.category not in timer.process.categories:
            raise ValueError(f"{timer!r} appends to {aggregate.stream(identifier)} without declaring it")
    return decided


async def _not_fired(due: Due, error: Exception, reader: LogReader) -> Fired:
    """Whether it failed for good; not if it has an outcome: an earlier worker did what fails now."""
    if isinstance(error, ProblemError) and refusals.may_pass(error):
        return Fired(due, POSTPONED, str(error))
    _, outcome = await reader.outcome(due.key)
    if outcome is not None:
        return Fired(due, STALE)
    return Fired(due, FAILED, f"{type(error).__name__}: {error}")


def _call(timer: Timer[Any], due: Due, fingerprints: Fingerprints) -> Call:
    """The fingerprint of firing a timer; it does not depend on the decision."""
    return Call(
        command=f"{timer.process.name}.{timer.name}",
        key=due.key,
        fingerprint=fingerprints.of("timer", *_named(timer, due)),
        correlation_id=due.cause.correlation_id,
        actor=actor("timer", timer.process.name),
        causation=due.causation,
        on_behalf_of=due.cause.principal,
    )


def _named(timer: Timer[Any], due: Due) -> Sequence[bytes]:
    return (timer.process.name.encode(), timer.name.encode(), due.stream.encode(), b"%d" % due.set_at)
