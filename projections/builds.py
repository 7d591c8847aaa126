"""Builds: the tables of rows a view has, which of them answers queries, and their life from first to last.

A view has one build from the first start on, and at most two: a rebuild makes another next to it.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, Literal, cast

import msgspec
import psycopg
from psycopg import sql

from event_store.consumers import parking
from event_store.log import reading
from event_store.transport.generations import current_generation
from event_store.transport.transport import WHOLE_LOG, Generation, Numbering
from projections import checkpoints
from projections.errors import BuildRefused, DeclarationError, NoSuchBuild
from projections.storing import SCHEMA, BuildId, Table, bare_view
from projections.view import GLOBAL, View

Connection = psycopg.Connection[tuple[object, ...]]

BUILDS_PER_VIEW_MAX: Final = 2
"""Tables one view may have: the live one, and one that is being made or kept for a roll back."""

State = Literal["folding", "following"]

_LOCK: Final = "select pg_advisory_xact_lock(hashtextextended('counterfoil.views.' || %(view)s, 0))"
_LIST: Final = """
select b.view, b.shape, b.build, b.state, b.folded_to, b.fold_to, b.stopped, b.created_at,
    l.view is not null
from views.build b
left join views.live l on (l.view, l.shape, l.build) = (b.view, b.shape, b.build)
order by b.view, b.shape, b.build
"""
_ADD: Final = """
insert into views.build (view, shape, build, state, fold_to)
values (%(view)s, %(shape)s, %(build)s, %(state)s, %(fold_to)s)
"""
_HAVE_ONE: Final = "select view from views.live"
_LIVE: Final = "select shape, build, previous_shape, previous_build from views.live where view = %(view)s"
_POINT: Final = """
insert into views.live (view, shape, build) values (%(view)s, %(shape)s, %(build)s)
on conflict (view) do update set shape = excluded.shape, build = excluded.build,
    previous_shape = views.live.shape, previous_build = views.live.build, moved_at = clock_timestamp()
"""
_FORGET_PREVIOUS: Final = """
update views.live set previous_shape = null, previous_build = null
where view = %(view)s and previous_shape = %(shape)s and previous_build = %(build)s
"""
_REMOVE: Final = "delete from views.build where view = %(view)s and shape = %(shape)s and build = %(build)s"
_STOP: Final = """
update views.build set stopped = %(reason)s
where view = %(view)s and shape = %(shape)s and build = %(build)s
"""
_LAST_NUMBER: Final = "select coalesce(max(build), 0) from views.build where view = %(view)s"


class Build(msgspec.Struct, frozen=True):
    """One build as it stands: `folded_to` of `fold_to` while folding; `stopped` says why nobody feeds it."""

    id: BuildId
    state: State
    folded_to: int
    fold_to: int
    stopped: str | None
    created_at: datetime
    live: bool


def listed(conn: Connection) -> list[Build]:
    """Every build of every view."""
    rows = cast("list[_Row]", conn.execute(_LIST).fetchall())
    return [
        Build(BuildId(view, shape, build), state, folded_to, fold_to, stopped, created_at, live)
        for view, shape, build, state, folded_to, fold_to, stopped, created_at, live in rows
    ]


def found(conn: Connection, build: BuildId) -> Build:
    """One build.

    Raises:
        NoSuchBuild: there is none of that name.
    """
    for each in listed(conn):
        if each.id == build:
            return each
    raise NoSuchBuild(f"there is no build {build}")


def live(conn: Connection, view: str) -> BuildId:
    """The build of a view that answers queries.

    Raises:
        NoSuchBuild: the view has none yet.
    """
    row = conn.execute(_LIVE, {"view": view}).fetchone()
    if row is None:
        raise NoSuchBuild(f"view {view} has no live build yet: start the projections once")
    return BuildId(view, cast("int", row[0]), cast("int", row[1]))


def previous(conn: Connection, view: str) -> BuildId | None:
    """The build that was live before, if it still exists."""
    row = conn.execute(_LIVE, {"view": view}).fetchone()
    if row is None or row[2] is None:
        return None
    return BuildId(view, cast("int", row[2]), cast("int", row[3]))


def numbering_of(view: View[Any], generation: Generation) -> Numbering:
    """The generation of a view's checkpoints, or the whole log for a global view."""
    return WHOLE_LOG if view.kind is GLOBAL else generation


def ensure_builds(conn: Connection, views: Sequence[View[Any]]) -> None:
    """Give every view that has no build its first one, empty, at the log's beginning, and make it live.

    It begins at position 0, a keyed one in the current generation: what was carried before is read from the log. Where
    several shapes are declared, the newest is made.

    Raises:
        DeclarationError: a shape of a view is declared twice.
    """
    if len({(view.name, view.shape) for view in views}) != len(views):
        raise DeclarationError("a shape of a view is declared twice")
    newest = {view.name: view for view in sorted(views, key=lambda view: view.shape)}
    for (name,) in conn.execute(_HAVE_ONE).fetchall():  # at most starts, of all of them
        newest.pop(cast("str", name), None)
    for view in newest.values():
        with conn.transaction():
            lock(conn, view.name)
            if conn.execute(_LIVE, {"view": view.name}).fetchone() is None:
                first = BuildId(view.name, view.shape, 1)
                add(conn, view, first, state="following")
                start_following(conn, view, first, position=0)
                point(conn, view, first)


def lock(conn: Connection, view: str) -> None:
    """Lock the builds of a view until the transaction ends: no other may make, promote or drop one."""
    conn.execute(_LOCK, {"view": view})


def add(conn: Connection, view: View[Any], build: BuildId, *, state: State, fold_to: int = 0) -> None:
    """Make a build's table and its row, inside a transaction that holds the view's lock.

    Raises:
        BuildRefused: the view has as many builds as it may.
    """
    have = [each.id for each in listed(conn) if each.id.view == view.name]
    if len(have) >= BUILDS_PER_VIEW_MAX:
        names = " and ".join(map(str, have))
        raise BuildRefused(f"view {view.name} has {names} already: drop the one that is not live first")
    conn.execute(_ADD, {**_named(build), "state": state, "fold_to": fold_to})
    Table(view, build).create(conn)


def next_number(conn: Connection, view: View[Any]) -> BuildId:
    """The name of a view's next build."""
    row = conn.execute(_LAST_NUMBER, {"view": view.name}).fetchone()
    assert row is not None, "an aggregate answers one row"
    return BuildId(view.name, view.shape, cast("int", row[0]) + 1)


def start_following(conn: Connection, view: View[Any], build: BuildId, *, position: int) -> None:
    """Hand a build that holds everything up to a position to the workers."""
    numbering = numbering_of(view, current_generation(conn))
    conn.execute(
        "update views.build set state = 'following', folded_to = %(position)s"
        " where view = %(view)s and shape = %(shape)s and build = %(build)s",
        {**_named(build), "position": position},
    )
    checkpoints.create(
        conn,
        build,
        numbering=numbering,
        position=position,
        leaf=reading.leaf_at(conn, position) if position else None,
    )


def point(conn: Connection, view: View[Any], build: BuildId) -> None:
    """Make a build the live one, and show it under the view's bare name; inside a transaction with the lock."""
    conn.execute(_POINT, _named(build))
    name = sql.Identifier(SCHEMA, view.name)
    conn.execute(sql.SQL("drop view if exists {}").format(name))
    conn.execute(bare_view(view, build))
    conn.execute(sql.SQL("grant select on {} to counterfoil_reader").format(name))


def remove(conn: Connection, view: View[Any], build: BuildId) -> None:
    """Drop a build's table, checkpoints and parked keys; inside a transaction with the lock."""
    conn.execute(_FORGET_PREVIOUS, _named(build))
    # Its row first: a worker that is about to park a key of it holds a checkpoint, which goes with the row.
    conn.execute(_REMOVE, _named(build))
    parking.forget(conn, build.scope)
    Table(view, build).drop(conn)


def set_stopped(conn: Connection, build: BuildId, reason: str | None) -> None:
    """Save why workers stop feeding a build, or (None) that they may feed it."""
    conn.execute(_STOP, {**_named(build), "reason": reason})


_Row = tuple[str, int, int, State, int, int, str | None, datetime, bool]


def _named(build: BuildId) -> dict[str, str | int]:
    return {"view": build.view, "shape": build.shape, "build": build.build}
