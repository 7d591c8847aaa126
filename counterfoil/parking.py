"""`counterfoil parked`: parked keys of every consumer, and what an operator may request."""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from commands import skipping
from counterfoil import operators
from domain.operations.events import EventSkipped
from event_store.consumers import checkpoints, parking, skips
from event_store.consumers.parking import Connection, Kind, ParkedKey
from runtime import database

OUTCOME_WITHIN_S: Final = 20.0
"""How long to wait until the key's owner acted; afterwards the request stands and is carried out later."""

OUTCOME_POLL_S: Final = 0.1


class NotDone(Exception):
    """What was asked for a parked key did not come about; the text says why."""


def listed(database_url: str) -> list[dict[str, Any]]:
    """Every parked key with its consumer, oldest position first."""
    with database.connect(database_url, role="counterfoil_reader", name="parked") as connection:
        found: list[dict[str, Any]] = msgspec.to_builtins(parking.listed(connection))
        return found


def lines(found: list[dict[str, Any]]) -> list[str]:
    """The same for people."""
    return [
        f"{key['consumer']:<18} {key['partition_key']:<24} at {key['position']:,} ({key['type']}),"
        f" {key['queued']} behind it: {key['reason']}"
        for key in found
    ]


def shown(database_url: str, consumer: str, key: str) -> dict[str, Any]:
    """One parked key; of a view with two builds, in the first that it is parked in.

    Raises:
        parking.NotParked.
    """
    with database.connect(database_url, role="counterfoil_reader", name="parked") as connection:
        found: dict[str, Any] = msgspec.to_builtins(parking.shown(connection, consumer, key)[0])
        return found


def retry(database_url: str, consumer: str, key: str, *, name: str | None = None) -> str:
    """Request another try and wait for what comes of it; `name` is that of the operator.

    Raises:
        NotDone: the key stands where it stood; the text says why.
        parking.NotParked: there was nothing to retry.
    """
    with database.connect(database_url, role="counterfoil_writer", name="parked") as connection:
        actor = operators.operator(name, login=connection.info.user)
        return _requested(connection, "retry", parking.shown(connection, consumer, key), actor=actor)


def skip(
    database_url: str, consumer: str, key: str, *, position: int, reason: str, name: str | None = None
) -> str:
    """Record that the consumer goes on without one event, and wait until it does; `name` is that of the operator.

    Raises:
        NotDone: the key stands where it stood, or at another position than the one named; the text says why.
        parking.NotParked: there was nothing to skip.
    """
    with database.connect(database_url, role="counterfoil_writer", name="parked") as connection:
        actor = operators.operator(name, login=connection.info.user)
        stands = parking.shown(connection, consumer, key)
        skipped = [each for each in stands if each.position == position]
        if not skipped:
            raise NotDone(
                f"{consumer} {key} stands at position {stands[0].position}, not {position}: nothing was skipped"
            )
        # What every later fold, or decision, must know is in the log before anybody acts on it.
        by_process = checkpoints.is_process(connection, consumer)
        for each in {each.shape: each for each in skipped}.values():
            asyncio.run(
                skipping.record(database_url, _event(each, reason, actor=actor), by_process=by_process)
            )
            if position not in skips.read(connection, consumer, shape=each.shape or None):
                raise NotDone(
                    f"{consumer} has decided about position {position} meanwhile: nothing was skipped"
                )
        return _requested(connection, "skip", skipped, actor=actor, note=reason)


def _event(key: ParkedKey, reason: str, *, actor: str) -> EventSkipped:
    return EventSkipped(
        consumer=key.consumer,
        shape=key.shape or None,
        partition_key=key.partition_key,
        position=key.position,
        actor=actor,
        reason=reason,
        skipped_at=datetime.now(UTC),
    )


def _requested(
    connection: Connection, kind: Kind, keys: Sequence[ParkedKey], *, actor: str, note: str = ""
) -> str:
    """Request it for each shape in which the key is parked; what came of that, once the key really went on."""
    of_shape = {key.shape: key for key in keys}
    requests = [parking.ask(connection, kind, key, actor=actor, note=note) for key in of_shape.values()]
    outcome = "; ".join([_outcome(connection, request) for request in requests])
    stood = {(key.scope, key.position) for key in keys}
    found = parking.of_key(connection, keys[0].consumer, keys[0].partition_key)
    # By where it stands now, whatever the words are.
    if stood & {(key.scope, key.position) for key in found}:
        raise NotDone(outcome)
    return outcome


def _outcome(connection: Connection, request: int) -> str:
    give_up = time.monotonic() + OUTCOME_WITHIN_S
    while (found := parking.outcome_of(connection, request)) is None:
        if time.monotonic() > give_up:
            raise NotDone(
                f"asked, but nobody acted within {OUTCOME_WITHIN_S:.0f} s: does the owner of the key run?"
                " The request stays and is carried out then"
            )
        time.sleep(OUTCOME_POLL_S)
    return found
