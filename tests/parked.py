"""What an operator requests about a parked key, without the command line."""

import asyncio

from commands.calls import Call, key_digest
from commands.execution import Caller
from commands.log_access import opened
from commands.processes.trigger import outcome_fingerprint, outcome_key
from domain.operations.events import EventSkipped
from domain.operations.skips import SKIPS
from event_store.consumers import parking
from event_store.consumers.parking import Connection
from event_store.log import fingerprints, reading
from event_store.transport import generations
from runtime import database


def request_retry(conn: Connection, consumer: str, key: str) -> int:
    """Request that a key is tried again where it stands."""
    return parking.ask(conn, "retry", parking.shown(conn, consumer, key)[0], actor="operator")


def request_skip(conn: Connection, consumer: str, key: str, *, position: int) -> int:
    """Request that a key goes on behind the event that it stands at."""
    (found,) = [each for each in parking.shown(conn, consumer, key) if each.position == position]
    return parking.ask(conn, "skip", found, actor="operator")


def record_skip(url: str, skip: EventSkipped, *, by_process: bool = False) -> None:
    """Append a skip whether or not its key is parked; `by_process`: under its trigger's key, as the command does."""
    asyncio.run(_record(url, skip, by_process=by_process))


async def _record(url: str, skip: EventSkipped, *, by_process: bool) -> None:
    with database.connect(url, role="counterfoil_writer", name="test") as conn:
        made_by = fingerprints.read(conn)
        key, asked = key_digest("test", repr(skip)), b"f" * 32
        if by_process:
            leaf = reading.leaf_at(conn, skip.position)
            assert leaf is not None
            epoch = generations.epochs(conn).at(skip.position)
            key = outcome_key(skip.consumer, epoch=epoch, position=skip.position)
            asked = outcome_fingerprint(made_by, skip.consumer, leaf=leaf)
    async with opened(url, role="counterfoil_reader", name="test", readers=2) as on:
        (slot,) = on.execution.reserve(1)
        call = Call(command="skip_event", key=key, fingerprint=asked, correlation_id="test", actor=skip.actor)
        caller = Caller(on.execution, call=call, slot=slot, now=skip.skipped_at)
        await caller.execute(SKIPS, skip.consumer, lambda _skipped, _view: [skip])
