"""Rows of the log with values that no event has: a time beyond the calendar, or none where each event has one.

No append writes these, but who may change the tables may. Such a row must not keep an audit from the others.
"""

from typing import Final

import psycopg

from event_store.log import reading
from event_store.log.envelope import RecordedEvent

_REASONS: Final = (psycopg.DataError, psycopg.NotSupportedError, ValueError, OverflowError)
"""What reading such a row raises, in Postgres or here."""


def events(connection: reading.Connection, *, after: int, upto: int) -> tuple[list[RecordedEvent], list[int]]:
    """The events between two positions, and the positions of rows that cannot be read."""
    try:
        return list(reading.copy_log(connection, after=after, upto=upto)), []
    except _REASONS:
        if upto == after + 1:
            return [], [upto]
    middle = (after + upto) // 2
    events_before, unreadable_before = events(connection, after=after, upto=middle)
    events_behind, unreadable_behind = events(connection, after=middle, upto=upto)
    return events_before + events_behind, unreadable_before + unreadable_behind
