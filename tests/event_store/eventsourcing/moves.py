"""Moves of databases of the library, made as the command makes them, and all that they leave in the log."""

from typing import Any

import psycopg

from counterfoil import moving as command
from event_store.eventsourcing.moving import MoveSummary


def move(url: str, *applications: str, address: str | None = None, **options: Any) -> MoveSummary:
    """Move applications, unless said otherwise from the database in which the log is."""
    given = {"address": address or url, "schema": "public", "followers": [], "ids": None, **options}
    return command.move(url, applications, **given)


def everything(url: str) -> list[tuple[Any, ...]]:
    """The log and the tracking, without what differs from run to run."""
    with psycopg.connect(url, autocommit=True) as admin:
        events = admin.execute(
            "select stream, version, type, payload::text, metadata ->> 'source_position'"
            " from log.event order by position"
        ).fetchall()
        tracked = admin.execute("select *, 0, 0 from log.tracking order by 1, 2").fetchall()
        kept = admin.execute("select * from application.snapshot order by 1, 2, 3, 4").fetchall()
    return [*events, *tracked, *kept]
