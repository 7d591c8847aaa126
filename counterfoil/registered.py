"""Declared views held against those that are registered."""

from collections.abc import Sequence
from typing import Final

from counterfoil.context import Contexts
from event_store.log.findings import Finding
from event_store.log.reading import Connection
from projections.storing import SCHEMA

_LIVE: Final = "select view from views.live"
_TRACES: Final = """
select view from views.build
union select c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname = %s and c.relkind = 'v'
union select substring(c.relname from '^(.*)_s[0-9]+_b[0-9]+$') from pg_class c
join pg_namespace n on n.oid = c.relnamespace where n.nspname = %s and c.relkind in ('r', 'p')
"""
_CONCERNED: Final = "select exists (select from log.event where type = any(%s))"


def unregistered(connection: Connection, contexts: Contexts) -> tuple[list[Finding], list[str]]:
    """Declared views without a live build: those that had one, and those of which nothing says that they ever had.

    Args:
        connection: in autocommit mode, in a role that reads schemas log and views.
        contexts: what declares views.
    """
    live = {view for (view,) in connection.execute(_LIVE)}
    traces = {view for (view,) in connection.execute(_TRACES, [SCHEMA, SCHEMA])}
    missing = sorted({view.name for view in contexts.views} - live)
    gone = [
        Finding(
            0,
            "view-unregistered",
            f"view {name} has no live build any more: nothing answers from it, and nothing of it was verified",
        )
        for name in missing
        if name in traces
    ]
    never = [name for name in missing if name not in traces]
    if not live | traces and not _concern(connection, contexts):
        return gone, []  # an application of another kind wrote all of this log
    return gone, [f"view {name} was never built here: start the projections" for name in never]


def _concern(connection: Connection, contexts: Contexts) -> bool:
    """Whether there is an event that any view folds."""
    types: Sequence[str] = sorted({name for view in contexts.views for name in view.event_types})
    row = connection.execute(_CONCERNED, [types]).fetchone()
    return row == (True,)
