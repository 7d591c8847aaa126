"""`counterfoil parked`: parked keys of every consumer, and what an operator may request."""

from typing import Any

import msgspec

from counterfoil.acts import requesting
from counterfoil.acts.requesting import ActsClient
from event_store.consumers import parking
from runtime import database


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


def retry(asked: ActsClient, consumer: str, key: str, *, reason: str = "") -> str:
    """Have a key tried again and wait for what comes of it.

    Raises:
        Refused: nothing of it is parked.
        NotDone: the key stands where it stood; the text says why.
    """
    return requesting.act(
        asked,
        "retry_key",
        consumer,
        within_s=requesting.REQUEST_WITHIN_S,
        partition_key=key,
        reason=reason,
    ).outcome


def skip(asked: ActsClient, consumer: str, key: str, *, position: int, reason: str) -> str:
    """Record that the consumer goes on without one event, and wait until it does.

    Raises:
        Refused: the key is not parked, or stands at another position.
        NotDone: the key stands where it stood; the text says why.
    """
    return requesting.act(
        asked,
        "skip_event",
        consumer,
        within_s=requesting.REQUEST_WITHIN_S,
        partition_key=key,
        position=position,
        reason=reason,
    ).outcome
