"""Rows of `log.tag` held against the tags in the metadata of events, which the leaf covers: both ways."""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec
from psycopg import sql

from event_store.log import envelope, heap, reading
from event_store.log.envelope import RecordedEvent
from event_store.log.findings import FINDINGS_MAX, Finding, Findings

# The tags are taken out of the metadata as text: a value of metadata that Postgres cannot make text of ends no audit.
_WRONG: Final = sql.SQL(r"""
select t.position, t.tag, t.type, e.type
from log.tag t left join log.event e on e.position = t.position
where {part} and (e.type is distinct from t.type or strpos(
    coalesce(substring(e.metadata::text from '"tags":(\["(?:[^"\\]|\\.)*"(?:,"(?:[^"\\]|\\.)*")*\])'), ''),
    to_json(t.tag)::text
) = 0)
""")
_MISSING: Final = """
select a.position, a.tag
from unnest(%s::bigint[], %s::text[], %s::text[]) as a (position, type, tag)
where not exists (
    select from log.tag t where t.tag = a.tag and t.type = a.type and t.position = a.position
)
"""


def wrong(connection: reading.Connection) -> Iterator[list[Finding]]:
    """Rows whose event is not there, is of another type or was recorded without the tag; by parts of the table."""
    room = FINDINGS_MAX
    for rows in heap.rows(connection, _WRONG, table="log.tag", alias="t"):
        found = [_finding(*row) for row in rows[:room]]
        room -= len(found)
        yield found


def find_missing(
    connection: reading.Connection, segment: Sequence[RecordedEvent], findings: Findings
) -> None:
    """Note the tags of these events that have no row: conditions do not see those events."""
    declared = [
        (event.position, event.type, tag)
        for event in segment
        if b'"tags":[' in event.metadata
        for tag in _tags_of(event)
    ]
    if not declared:
        return
    positions, types, tags = map(list, zip(*declared, strict=True))
    for position, tag in connection.execute(_MISSING, [positions, types, tags]).fetchall():
        message = f"tag {tag} was deleted or changed: the event was recorded with it"
        findings.add(int(position), "tag-missing", message)


def _finding(position: int, tag: str, tagged: str, stored: str | None) -> Finding:
    if tagged == stored:
        message = f"tag {tag} was added or changed: the event was not recorded with it"
    else:
        message = f"tag {tag} says {tagged}, the log has {stored or 'no event'}"
    return Finding(position, "tag-mismatch", message)


def _tags_of(event: RecordedEvent) -> Sequence[str]:
    try:
        return envelope.decode_metadata(event.metadata).tags
    except msgspec.DecodeError:  # metadata that cannot be read is the leaf's finding
        return ()
