"""`counterfoil views`: builds as they stand, and a new one next to the live one, from first fold to promotion."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from counterfoil import progress, status, terminal
from counterfoil.acts import requesting
from counterfoil.acts.requesting import ActsClient
from counterfoil.context import Contexts
from event_store.consumers import parking
from projections import builds, verifying
from projections.errors import NoSuchBuild
from projections.storing import BuildId, Connection
from projections.verifying import Verification
from projections.view import View
from runtime import database

if TYPE_CHECKING:
    from read_api.operations import Act


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


def rebuild(asked: ActsClient, name: str, *, reason: str = "") -> dict[str, Any]:
    """Have a new build folded, or go on with an interrupted one, and wait until the workers have taken it over.

    Raises:
        Refused: there is no such view, or it has two builds.
        NotDone: it failed, or stands still; the text says why and what to do.
    """
    with progress.step(f"rebuilding {name}", total=None, unit="positions") as step:
        act = requesting.act(
            asked,
            "rebuild_view",
            name,
            reason=reason,
            # Before it runs, nobody knows how far it is; once it is done, it stands where it ended.
            on_progress=lambda act: None if act.folded_to is None else step.move_to(act.folded_to),
        )
    return {"view": name, "shape": act.shape, "build": act.build}


def verify(database_url: str, name: str, *, contexts: Contexts) -> dict[str, Any]:
    """Compare every build of a view with a fold of the log, and the one next to the live one with that."""
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


def promote(asked: ActsClient, name: str, *, reason: str = "") -> dict[str, Any]:
    """Let the build next to the live one answer; if need be, wait until the workers have brought it as far.

    Raises:
        Refused: there is no other build, or it is still folded.
        NotDone: it cannot answer, or was not as far in time; the text says why and what to do.
    """
    act = requesting.act(asked, "promote_build", name, reason=reason, on_progress=_saying())
    return {"view": name, "live": _build(act)}


def rollback(asked: ActsClient, name: str, *, reason: str = "") -> dict[str, Any]:
    """Let the build before answer again; waits as `promote` does."""
    act = requesting.act(asked, "roll_back_view", name, reason=reason, on_progress=_saying())
    return {"view": name, "live": _build(act)}


def drop(asked: ActsClient, name: str, *, reason: str = "") -> dict[str, Any]:
    """Remove the build that does not answer, with its documents."""
    return {"view": name, "dropped": _build(requesting.act(asked, "drop_build", name, reason=reason))}


def _saying() -> "Callable[[Act], None]":
    """Says once what an act that runs waits for."""
    said: set[str] = set()

    def say(act: "Act") -> None:
        if act.state == "running" and act.outcome not in said:
            said.add(act.outcome)
            progress.say(terminal.shown(act.outcome))

    return say


def _build(act: "Act") -> str:
    return f"s{act.shape} b{act.build}"


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
