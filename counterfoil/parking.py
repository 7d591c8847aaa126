"""`counterfoil parked`: parked keys of views and process managers, and what an operator may request."""

import asyncio
import getpass
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from commands import skipping
from commands.processes import parked as process_parked
from counterfoil.context import Contexts
from domain.operations.events import EventSkipped
from projections import parking as view_parking
from runtime import database

OUTCOME_WITHIN_S: Final = 20.0
"""How long to wait until the key's owner acted; afterwards the request stands and is carried out later."""

OUTCOME_POLL_S: Final = 0.1


class NotDone(Exception):
    """What was asked for a parked key did not come about; the text says why."""


def listed(database_url: str) -> list[dict[str, Any]]:
    """Every parked key with its consumer, oldest position first."""
    with database.connect(database_url, role="counterfoil_reader", name="parked") as connection:
        views = [_of_view(key) for key in view_parking.list_parked(connection)]
        processes = [_of_process(key) for key in process_parked.parked_keys(connection)]
    return sorted(views + processes, key=lambda key: (key["position"], key["consumer"]))


def lines(found: list[dict[str, Any]]) -> list[str]:
    """The same for people."""
    return [
        f"{key['consumer']:<18} {key['partition_key']:<24} at {key['position']:,} ({key['type']}),"
        f" {key['queued']} behind it: {key['reason']}"
        for key in found
    ]


def shown(database_url: str, consumer: str, key: str, *, contexts: Contexts) -> dict[str, Any]:
    """One parked key.

    Raises:
        projections.errors.NotParked, processes.parked.NotParked.
    """
    with database.connect(database_url, role="counterfoil_reader", name="parked") as connection:
        if contexts.view(consumer) is not None:
            return _of_view(view_parking.parked_in(connection, consumer, key)[0])
        return _of_process(process_parked.parked_key(connection, process=consumer, partition_key=key))


def retry(database_url: str, consumer: str, key: str, *, contexts: Contexts) -> str:
    """Ask for another try and wait for what comes of it.

    Raises:
        NotDone: the key stands where it stood; the text says why.
        projections.errors.NotParked, processes.parked.NotParked: there was nothing to retry.
    """
    if contexts.view(consumer) is not None:
        with database.connect(database_url, role="counterfoil_projector", name="parked") as connection:
            stood = _view_positions(connection, consumer, key)
            request = view_parking.request_retry(connection, consumer, key, actor=_actor())
            return _outcome(
                lambda: view_parking.outcome_of(connection, request),
                moved=lambda: not stood & _view_positions(connection, consumer, key),
            )
    with database.connect(database_url, role="counterfoil_writer", name="parked") as connection:
        stood = _process_positions(connection, consumer, key)
        asked = process_parked.ask(connection, "retry", process=consumer, partition_key=key, actor=_actor())
        return _outcome(
            lambda: process_parked.outcome_of(connection, request=asked),
            moved=lambda: not stood & _process_positions(connection, consumer, key),
        )


def skip(
    database_url: str, consumer: str, key: str, *, position: int, reason: str, contexts: Contexts
) -> str:
    """Ask to go on without one event and wait for what comes of it.

    Raises:
        NotDone: the key stands where it stood, or at another position than the one named; the text says why.
        projections.errors.NotParked, processes.parked.NotParked: there was nothing to skip.
    """
    if contexts.view(consumer) is not None:
        with database.connect(database_url, role="counterfoil_projector", name="parked") as connection:
            keys = view_parking.parked_in(connection, consumer, key)
            _check_position(
                consumer, key, position, stands=keys[0].position, among=[k.position for k in keys]
            )
            fact = EventSkipped(
                consumer=consumer,
                shape=keys[0].build.shape,
                partition_key=key,
                position=position,
                actor=_actor(),
                reason=reason,
                skipped_at=datetime.now(UTC),
            )
            # The skip is a fact that every later fold of the view must know, so it is in the log first.
            asyncio.run(skipping.record(database_url, fact))
            request = view_parking.request_skip(connection, consumer, key, position=position, actor=_actor())
            return _outcome(
                lambda: view_parking.outcome_of(connection, request),
                moved=lambda: position not in _view_positions(connection, consumer, key),
            )
    with database.connect(database_url, role="counterfoil_writer", name="parked") as connection:
        parked = process_parked.parked_key(connection, process=consumer, partition_key=key)
        _check_position(consumer, key, position, stands=parked.position, among=[parked.position])
        asked = process_parked.ask(
            connection, "skip", process=consumer, partition_key=key, actor=_actor(), note=reason
        )
        return _outcome(
            lambda: process_parked.outcome_of(connection, request=asked),
            moved=lambda: position not in _process_positions(connection, consumer, key),
        )


def _check_position(consumer: str, key: str, position: int, *, stands: int, among: Sequence[int]) -> None:
    if position not in among:
        raise NotDone(f"{consumer} {key} stands at position {stands}, not {position}: nothing was skipped")


def _outcome(outcome: Callable[[], str | None], *, moved: Callable[[], bool]) -> str:
    """What the owner said, once the key really went on: by where it stands now, whatever the words."""
    give_up = time.monotonic() + OUTCOME_WITHIN_S
    while (found := outcome()) is None:
        if time.monotonic() > give_up:
            raise NotDone(
                f"asked, but nobody acted within {OUTCOME_WITHIN_S:.0f} s: does the owner of the key run?"
                " The request stays and is carried out then"
            )
        time.sleep(OUTCOME_POLL_S)
    if not moved():
        raise NotDone(found)
    return found


def _view_positions(connection: view_parking.Connection, view: str, key: str) -> set[int]:
    """Where a key stands, in whichever builds of the view it is parked."""
    return {
        each.position
        for each in view_parking.list_parked(connection)
        if (each.build.view, each.partition_key) == (view, key)
    }


def _process_positions(connection: process_parked.Connection, process: str, key: str) -> set[int]:
    try:
        return {process_parked.parked_key(connection, process=process, partition_key=key).position}
    except process_parked.NotParked:
        return set()


def _of_view(key: view_parking.ParkedKey) -> dict[str, Any]:
    shown: dict[str, Any] = msgspec.to_builtins(key)
    return {"consumer": key.build.view, **shown}


def _of_process(key: process_parked.ParkedKey) -> dict[str, Any]:
    shown: dict[str, Any] = msgspec.to_builtins(key)
    return {"consumer": key.process, **shown}


def _actor() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "operator"
