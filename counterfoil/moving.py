"""Moving applications of the `eventsourcing` library into the log: what the command says.

The library is imported when a move begins: everything else of Counterfoil starts without it.
"""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

if TYPE_CHECKING:
    from event_store.eventsourcing.moving import MoveSummary, Translated

READERS_MAX: Final = 2
"""Connections for reading the log; one is used at a time."""


class MoveFailed(Exception):
    """The move was refused or could not be finished; run again, it goes on where it was."""


def move(
    database_url: str,
    applications: Sequence[str],
    *,
    address: str,
    schema: str,
    followers: Sequence[str],
    ids: Literal["uuid", "text"] | None,
    by: str | None = None,
) -> "MoveSummary":
    """Move applications from the database at an address into the log; steps are shown on standard error.

    `by` is the actor who has them moved.

    Raises:
        MoveFailed: with every reason, one a line.
    """
    if not applications and not followers:
        raise MoveFailed("name an application to move, or a follower that stays with --follower")
    if both := sorted(set(applications) & set(followers)):
        raise MoveFailed(f"{', '.join(both)} cannot both move and stay")
    try:
        from eventsourcing.persistence import PersistenceError

        from event_store.eventsourcing import moving, sources
        from event_store.eventsourcing.datastore import Datastore
    except ModuleNotFoundError as error:
        raise MoveFailed(f"{error}: install the eventsourcing library next to Counterfoil") from error
    datastore = Datastore(database_url, application=(*applications, *followers)[0], readers_max=READERS_MAX)
    try:
        with sources.opened(address, schema=schema) as source:
            return moving.move(
                source,
                applications,
                followers=followers,
                datastore=datastore,
                ids=ids,
                by=by,
                progress=lambda step: print(step, file=sys.stderr, flush=True),
            )
    except (moving.Refused, sources.SourceError) as error:
        raise MoveFailed(str(error)) from error
    except PersistenceError as error:
        raise MoveFailed(f"{error}: no application may record meanwhile; run it again, it goes on") from error
    finally:
        datastore.close()


def as_json(outcome: "MoveSummary") -> dict[str, Any]:
    """The outcome as one object."""
    found: dict[str, Any] = msgspec.to_builtins(outcome)
    return found


def lines(outcome: "MoveSummary") -> list[str]:
    """The outcome for people."""
    said: list[str] = []
    for name, moved in outcome.applications.items():
        counts = moved.counts
        said.append(
            f"{name}: {counts.events} events in the log, {counts.appended} appended now,"
            f" {counts.absent} absent versions, {counts.later} recorded since, {moved.snapshots} snapshots"
        )
        said += _translations(name, moved.tracking)
    for name, translated in outcome.followers.items():
        said += _translations(name, translated) or [f"{name}: follows nothing by old numbers"]
    return said


def _translations(follower: str, translated: "Translated") -> list[str]:
    return [
        f"{follower} follows {name} from {'the beginning' if position is None else f'position {position}'},"
        f" which was notification {number}"
        for name, (number, position) in translated.items()
    ]
