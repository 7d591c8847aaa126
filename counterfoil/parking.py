"""`counterfoil parked`: keys of views and policies that wait for a person, and what a person may ask for."""

import asyncio
import getpass
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from commands import skipping
from commands.policies import parked as policy_parked
from domain.operations.events import EventSkipped
from projections import parking as view_parking
from projections.registry import VIEWS
from runtime import database

OUTCOME_WITHIN_S: Final = 20.0
"""How long to wait until the key's owner acted; afterwards the request stands and is carried out later."""

OUTCOME_POLL_S: Final = 0.1

_VIEW_NAMES: Final = frozenset(view.name for view in VIEWS)


def listed(database_url: str) -> list[dict[str, Any]]:
    """Every parked key with its consumer, oldest position first."""
    with database.connect(database_url, role="counterfoil_reader", name="parked") as connection:
        views = [_of_view(key) for key in view_parking.list_parked(connection)]
        policies = [_of_policy(key) for key in policy_parked.parked_keys(connection)]
    return sorted(views + policies, key=lambda key: (key["position"], key["consumer"]))


def lines(found: list[dict[str, Any]]) -> list[str]:
    """The same for people."""
    return [
        f"{key['consumer']:<18} {key['partition_key']:<24} at {key['position']:,} ({key['type']}),"
        f" {key['queued']} behind it: {key['reason']}"
        for key in found
    ]


def shown(database_url: str, consumer: str, key: str) -> dict[str, Any]:
    """One parked key.

    Raises:
        projections.errors.NotParked, policies.parked.NotParked.
    """
    with database.connect(database_url, role="counterfoil_reader", name="parked") as connection:
        if consumer in _VIEW_NAMES:
            return _of_view(view_parking.parked_in(connection, consumer, key)[0])
        return _of_policy(policy_parked.parked_key(connection, policy=consumer, partition_key=key))


def retry(database_url: str, consumer: str, key: str) -> str:
    """Ask for another try and wait for what comes of it."""
    if consumer in _VIEW_NAMES:
        with database.connect(database_url, role="counterfoil_projector", name="parked") as connection:
            request = view_parking.request_retry(connection, consumer, key, actor=_actor())
            return _wait(lambda: view_parking.outcome_of(connection, request))
    with database.connect(database_url, role="counterfoil_writer", name="parked") as connection:
        asked = policy_parked.ask(connection, "retry", policy=consumer, partition_key=key, actor=_actor())
        return _wait(lambda: policy_parked.outcome_of(connection, request=asked))


def skip(database_url: str, consumer: str, key: str, *, position: int, reason: str) -> str:
    """Ask to go on without one event and wait for what comes of it."""
    if consumer in _VIEW_NAMES:
        with database.connect(database_url, role="counterfoil_projector", name="parked") as connection:
            keys = view_parking.parked_in(connection, consumer, key)
            fact = EventSkipped(
                partition_key=key,
                view=consumer,
                shape=keys[0].build.shape,
                position=position,
                actor=_actor(),
                reason=reason,
                skipped_at=datetime.now(UTC),
            )
            if all(one.position != position for one in keys):
                return f"{consumer} {key} stands at position {keys[0].position}, not {position}: nothing was skipped"
            # The skip is a fact that every later fold of the view must know, so it is in the log first.
            asyncio.run(skipping.record(database_url, fact))
            request = view_parking.request_skip(connection, consumer, key, position=position, actor=_actor())
            return _wait(lambda: view_parking.outcome_of(connection, request))
    with database.connect(database_url, role="counterfoil_writer", name="parked") as connection:
        parked = policy_parked.parked_key(connection, policy=consumer, partition_key=key)
        if parked.position != position:
            return (
                f"{consumer} {key} stands at position {parked.position}, not {position}: nothing was skipped"
            )
        asked = policy_parked.ask(
            connection, "skip", policy=consumer, partition_key=key, actor=_actor(), note=reason
        )
        return _wait(lambda: policy_parked.outcome_of(connection, request=asked))


def _wait(outcome: Callable[[], str | None]) -> str:
    give_up = time.monotonic() + OUTCOME_WITHIN_S
    while (found := outcome()) is None:
        if time.monotonic() > give_up:
            return f"asked; nobody acted within {OUTCOME_WITHIN_S:.0f} s: does the owner of the key run?"
        time.sleep(OUTCOME_POLL_S)
    return found


def _of_view(key: view_parking.ParkedKey) -> dict[str, Any]:
    shown: dict[str, Any] = msgspec.to_builtins(key)
    return {"consumer": key.build.view, **shown}


def _of_policy(key: policy_parked.ParkedKey) -> dict[str, Any]:
    shown: dict[str, Any] = msgspec.to_builtins(key)
    return {"consumer": key.policy, **shown}


def _actor() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "operator"
