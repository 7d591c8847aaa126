"""`counterfoil views`: builds as they stand, and a new one beside the live one, from first fold to promotion."""

from typing import Any

from counterfoil import addresses, progress, status
from counterfoil.context import Contexts
from event_store.consumers import parking
from projections import builds, verifying
from projections import rebuild as rebuilding
from projections.errors import NoSuchBuild
from projections.storing import BuildId, Connection
from projections.verifying import Verification
from projections.view import View
from runtime import database
from runtime.documents import RedisDocuments
from runtime.settings import Settings


class NotDeclared(Exception):
    """A build has a shape of its view that no context declares, so nobody knows its folds."""


def listed(database_url: str, *, contexts: Contexts) -> list[dict[str, Any]]:
    """Every build of every view, the live ones with their lag."""
    lags = {view.name: view for view in status.read(database_url).views}
    with database.connect(database_url, role="counterfoil_reader", name="views") as connection:
        found = builds.listed(connection)
        parked = parking.counts(connection)
    return [
        {
            "name": build.id.view,
            "shape": build.id.shape,
            "build": build.id.build,
            "live": build.live,
            "declared": contexts.view(build.id.view, shape=build.id.shape) is not None,
            "state": build.state,
            "folded_to": build.folded_to,
            "fold_to": build.fold_to,
            "position": lags[build.id.view].position if build.live else None,
            "lag_events": lags[build.id.view].lag_events if build.live else None,
            "parked": parked.get(build.id.scope, 0),
            "stopped": build.stopped,
        }
        for build in found
    ]


def lines(found: list[dict[str, Any]]) -> list[str]:
    """The same for people."""
    shown = []
    for build in found:
        label = f"{build['name']} s{build['shape']} b{build['build']}"
        parked = f", {build['parked']} parked" if build["parked"] else ""
        unknown = "" if build["declared"] else f"  {status.UNDECLARED}"
        shown.append(f"{label:<28} {'live' if build['live'] else '    '}  {_stands(build)}{parked}{unknown}")
    return shown


def _stands(build: dict[str, Any]) -> str:
    if build["live"]:
        return status.position_of(build)
    if build["stopped"]:
        return f"STOPPED: {build['stopped']}"
    if build["state"] == "folding":
        return f"folding, {build['folded_to']:,} of {build['fold_to']:,}"
    return str(build["state"])


def rebuild(database_url: str, name: str, *, contexts: Contexts) -> dict[str, Any]:
    """Fold a new build, or go on with an interrupted one, and wait until the workers have taken it over.

    Raises:
        ProjectionError: which, says why and what to do.
    """
    view = named(name, contexts)
    build: BuildId | None = None
    applied = 0
    with progress.step(f"folding {name}", total=_head(database_url), unit="positions") as step:
        for folded in rebuilding.rebuild(database_url, view):
            build, applied = folded.build, folded.applied
            step.move_to(folded.done)
    assert build is not None, "a rebuild tells at least that it ended"
    with progress.step(f"catching up {build.label}", total=None, unit="positions") as step:
        for caught in rebuilding.catch_up(database_url, view, build):
            step.move_to(caught.done)
    return {"view": name, "shape": build.shape, "build": build.build, "applied": applied}


def verify(database_url: str, name: str, *, contexts: Contexts) -> dict[str, Any]:
    """Compare every build of a view with a fold of the log, and the one beside the live one with that."""
    named(name, contexts)
    with database.connect(database_url, role="counterfoil_reader", name="verify") as connection:
        own = [
            build
            for build in builds.listed(connection)
            if build.id.view == name and build.state == "following"
        ]
        if not own:
            raise NoSuchBuild(f"no build of {name} follows the log yet")
        found = [_verified(connection, in_shape(build.id, contexts), build.id) for build in own]
    return {
        "ok": all(one.matches for one in found),
        "view": name,
        "builds": [
            {
                "shape": one.build.shape,
                "build": one.build.build,
                "keys": one.keys,
                "digest": one.digest,
                "expected_digest": one.expected_digest,
                "position": one.position,
                "matches": one.matches,
                "differing": one.differing,
                "differences": [difference.message for difference in one.differences],
            }
            for one in found
        ],
    }


def verified_lines(found: dict[str, Any]) -> list[str]:
    """What `verify` found, in sentences; every difference it names follows its build."""
    shown: list[str] = []
    for build in found["builds"]:
        label = f"{found['view']} s{build['shape']} b{build['build']}"
        if build["matches"]:
            shown.append(
                f"{label} matches the log up to {build['position']:,}:"
                f" {build['keys']:,} keys, digest {build['digest'][:16]}"
            )
            continue
        named = len(build["differences"])
        some = f", the first {named:,} are" if named < build["differing"] else ""
        shown.append(f"{label} DIFFERS from the log in {build['differing']:,} keys{some}:")
        shown += [f"  {difference}" for difference in build["differences"]]
    return shown


def promote(database_url: str, name: str, *, contexts: Contexts) -> dict[str, Any]:
    """Let the build beside the live one answer."""
    return _moved(name, rebuilding.promote(database_url, named(name, contexts)))


def rollback(database_url: str, name: str, *, contexts: Contexts) -> dict[str, Any]:
    """Let the build before answer again."""
    return _moved(name, rebuilding.rollback(database_url, named(name, contexts)))


def drop(settings: Settings, name: str, *, contexts: Contexts) -> dict[str, Any]:
    """Remove the build that does not answer, with its documents."""
    redis_url = addresses.resolve(settings).redis_url
    documents = None if redis_url is None else RedisDocuments(redis_url)
    try:
        dropped = rebuilding.drop(
            addresses.database_url(settings), named(name, contexts), documents=documents
        )
    finally:
        if documents is not None:
            documents.close()
    return {"view": name, "dropped": f"s{dropped.shape} b{dropped.build}"}


def named(name: str, contexts: Contexts) -> View[Any]:
    """The view of this name, in its newest shape.

    Raises:
        NoSuchBuild: there is none; the text lists those there are.
    """
    view = contexts.view(name)
    if view is None:
        known = ", ".join(sorted(view.name for view in contexts.views))
        raise NoSuchBuild(f"there is no view {name}; there are {known}")
    return view


def in_shape(build: BuildId, contexts: Contexts) -> View[Any]:
    """The view of a build, in the shape of the build.

    Raises:
        NotDeclared: no context declares it.
    """
    view = contexts.view(build.view, shape=build.shape)
    if view is None:
        raise NotDeclared(
            f"{build} cannot be examined: no context declares {build.view} in shape {build.shape}"
        )
    return view


def _verified(connection: Connection, view: View[Any], build: BuildId) -> Verification:
    with progress.step(f"verifying {view.name} {build.label}", total=None, unit="positions") as step:
        (found,) = verifying.verify(
            connection, [view], build_ids=[build], on_progress=lambda done, _total: step.move_to(done)
        )
    return found


def _moved(name: str, live: BuildId) -> dict[str, Any]:
    return {"view": name, "live": f"s{live.shape} b{live.build}"}


def _head(database_url: str) -> int:
    return status.read(database_url).log.position
