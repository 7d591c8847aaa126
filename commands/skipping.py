"""Recording that a consumer goes on without one event: an operator's command, which has no HTTP route."""

import hashlib
from typing import Final

from commands.calls import Call, fingerprint, key_digest
from commands.decision import View
from commands.execution import Caller
from commands.opening import opened
from commands.processes.trigger import outcome_fingerprint, outcome_key
from domain.event import Event
from domain.operations.events import EventSkipped
from domain.operations.skips import SKIPS, Skipped
from event_store.log import codec, fingerprints, reading
from event_store.log.fingerprints import Fingerprints
from event_store.log.reading import Connection
from event_store.transport import generations
from runtime import database

COMMAND: Final = "skip_event"


async def record(database_url: str, skip: EventSkipped, *, by_process: bool) -> None:
    """Append the skip unless the consumer goes on without that event already.

    With `by_process` it becomes the outcome of the trigger, under the trigger's own key: one that was decided meanwhile
    keeps that outcome, and nothing is appended.

    Raises:
        ProblemError: the log cannot be reached, or it is not known whether it took the skip: try again.
    """

    def decide(skipped: Skipped | None, _view: View) -> list[Event]:
        return [] if (skip.shape, skip.position) in (skipped or ()) else [skip]

    with database.connect(database_url, role="counterfoil_writer", name="operator secret") as conn:
        made_by = fingerprints.read(conn)
        key, asked = _of_trigger(conn, skip, made_by) if by_process else _of_command(skip, made_by)
    async with opened(database_url, role="counterfoil_reader", name="operator", readers=2) as on:
        (slot,) = on.execution.reserve(1)
        call = _call(skip, key=key, asked=asked)
        caller = Caller(on.execution, call=call, slot=slot, now=skip.skipped_at)
        await caller.execute(SKIPS, skip.consumer, decide, occurred_at=skip.skipped_at)


def _of_command(skip: EventSkipped, made_by: Fingerprints) -> tuple[bytes, bytes]:
    """One skip of one event is one command, however often an operator repeats it."""
    key = f"{COMMAND}:{skip.consumer}:{skip.shape}:{skip.position}"
    asked = fingerprint(made_by, key, command=COMMAND, target=skip.consumer, canonical=b"")
    return key_digest(COMMAND, key), asked


def _of_trigger(conn: Connection, skip: EventSkipped, made_by: Fingerprints) -> tuple[bytes, bytes]:
    """A trigger has one outcome, decided or skipped."""
    leaf = reading.leaf_at(conn, skip.position)
    assert leaf is not None, "a key is parked at an event of the log"
    epoch = generations.epochs(conn).at(skip.position)
    key = outcome_key(skip.consumer, epoch=epoch, position=skip.position)
    return key, outcome_fingerprint(made_by, skip.consumer, leaf=leaf)


def _call(skip: EventSkipped, *, key: bytes, asked: bytes) -> Call:
    _, payload = codec.encode(skip)
    return Call(
        command=COMMAND,
        key=key,
        fingerprint=asked,
        correlation_id=hashlib.sha256(payload).hexdigest()[:32],
        actor=skip.actor,
    )
