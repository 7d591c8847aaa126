"""Recording that a view goes on without one event: an operator's command, which has no HTTP route."""

import hashlib
from typing import Final

from commands.calls import Call, fingerprint, key_digest
from commands.decision import View
from commands.execution import Caller, Execution
from commands.log_reading import LogReader
from commands.states import States
from commands.watching import Watch
from domain.event import Event
from domain.operations.events import EventSkipped
from domain.operations.skips import SKIPS, Skipped
from event_store import codec, fingerprints
from event_store.fingerprints import Fingerprints
from runtime import database

COMMAND: Final = "skip_event"


async def record(database_url: str, fact: EventSkipped) -> None:
    """Append the fact unless the view leaves that event out already.

    Raises:
        ProblemError: the log cannot be reached, or it is not known whether it took the fact: try again.
    """

    def decide(skipped: Skipped | None, _view: View) -> list[Event]:
        return [] if (fact.shape, fact.position) in (skipped or ()) else [fact]

    async with await database.connect_async(
        database_url, role="counterfoil_writer", name="operator secret"
    ) as conn:
        call = _call(fact, await fingerprints.read_async(conn))
    readers = database.pool(database_url, role="counterfoil_reader", name="operator reader", size=2)
    async with readers:
        reader = LogReader(readers)
        states = States(reader)
        watch = Watch(reader, standing=await reader.standing(), on_new_epoch=states.drop_all)
        async with Execution.open(
            database_url, name="operator writer", reader=reader, states=states, watch=watch
        ) as execution:
            (slot,) = execution.reserve(1)
            caller = Caller(execution, call=call, slot=slot, now=fact.skipped_at)
            await caller.execute(SKIPS, fact.consumer, decide, occurred_at=fact.skipped_at)


def _call(fact: EventSkipped, made_by: Fingerprints) -> Call:
    """One skip of one event is one command, however often an operator repeats it."""
    key = f"{COMMAND}:{fact.consumer}:{fact.shape}:{fact.position}"
    _, payload = codec.encode(fact)
    return Call(
        command=COMMAND,
        key=key_digest(COMMAND, key),
        fingerprint=fingerprint(made_by, key, command=COMMAND, target=fact.consumer, canonical=b""),
        correlation_id=hashlib.sha256(payload).hexdigest()[:32],
        actor=fact.actor,
    )
