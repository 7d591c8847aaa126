"""What does an append condition cost inside `append_batch`, when a million events carry each of its tags?

The same batch of requests is timed inside the server with and without a condition on each; a batch has no events, so
nothing else is done for it. No event carries all four tags, and the last ones carry three of them: a condition on all
four has to pass them by.
"""

import statistics
from collections.abc import Iterator, Sequence
from typing import Final

import psycopg

from benchmarks.laboratory import Laboratory
from benchmarks.table import Goal, Row
from runtime import database

NAME: Final = "condition"
EVENTS_PER_TAG: Final = 1_000_000
TAGS: Final = ("course:1", "student:2", "term:3", "room:4")
TYPE: Final = "shop.happened.v1"
NEWER: Final = 16
"""Events behind the position that a condition on all four tags names."""
REQUESTS: Final = 64
BATCHES: Final = 400
CASES: Final = ((1, 100.0), (4, 300.0))
"""Numbers of tags, and how many microseconds a condition on so many may take."""

_FILL: Final = """
insert into log.event (position, version, recorded_at, stream, type, leaf, metadata, payload)
select p, 1, '2020-01-01', 'seat-' || p, %(type)s, sha256(p::text::bytea), '{}', '{}'
from generate_series(1, %(events)s::bigint) p
"""
_FILL_TAGS: Final = """
insert into log.tag (tag, type, position)
select t.tag, %(type)s, p from generate_series(1, %(events)s::bigint) p
cross join unnest(%(tags)s::text[]) with ordinality as t (tag, number)
where p %% %(count)s <> t.number - 1
"""
_FILL_HEAD: Final = "update log.head set position = %(events)s"

_TIMED: Final = """
create function pg_temp.timed(_tags text, _type text, _after bigint, _requests int) returns float8
language plpgsql as $$
declare
    _keys bytea[] := array(select substring(sha256(random()::text::bytea) for 16) from generate_series(1, _requests));
    _conditions int := case when _tags is null then 0 else _requests end;
    _epoch bigint := (select epoch from log.head);
    _numbers int[] := array(select generate_series(1, _conditions));
    _began timestamptz;
begin
    _began := clock_timestamp();
    perform log.append_batch(
        _epoch, _keys, array_fill(sha256(''), array[_requests]), array_fill(null::bigint, array[_requests]),
        '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}',
        _numbers, array_fill(_tags, array[_conditions]), array_fill(_type, array[_conditions]),
        array_fill(_after, array[_conditions]), '{}', '{}', '{}', '{}');
    return extract(epoch from clock_timestamp() - _began) * 1000000;
end $$
"""
_TIME: Final = "select pg_temp.timed(%s, %s, %s, %s)"


def rows(laboratory: Laboratory) -> Iterator[Row]:
    """One row for a condition on one tag, one for a condition on four."""
    each = laboratory.size.count(EVENTS_PER_TAG, tiny=1_000)
    events = each * len(TAGS) // (len(TAGS) - 1)
    with (
        laboratory.database() as url,
        database.connect(url, role=None, name="benchmark") as connection,
    ):
        _fill(connection, events)
        connection.execute(_TIMED)
        for tags, goal in CASES:
            after = events if tags == 1 else events - NEWER
            yield Row(
                name=NAME,
                case=f"a condition on {tags} {'tag' if tags == 1 else 'tags'}, {each:,} events on each",
                unit="µs",
                ours=_cost(laboratory, connection, TAGS[:tags], after),
                goals=(Goal("ours", at_most=goal),),
            )


def _fill(connection: psycopg.Connection, events: int) -> None:
    given = {"events": events, "type": TYPE, "tags": list(TAGS), "count": len(TAGS)}
    connection.execute(
        "alter table log.tag disable trigger all"
    )  # a million lookups of what is known to be there
    for statement in (_FILL, _FILL_TAGS, _FILL_HEAD):
        connection.execute(statement, given)
    connection.execute("alter table log.tag enable trigger all")
    connection.execute("vacuum analyze log.event, log.tag")
    connection.execute("checkpoint")


def _cost(laboratory: Laboratory, connection: psycopg.Connection, tags: Sequence[str], after: int) -> float:
    """Microseconds of one condition: batches with and without it, in turns."""
    found: dict[str | None, list[float]] = {None: [], "\n".join(tags): []}
    for _ in range(laboratory.size.count(BATCHES, tiny=5)):
        for condition, figures in found.items():
            row = connection.execute(_TIME, [condition, TYPE, after, REQUESTS]).fetchone()
            assert row is not None
            figures.append(row[0])
    without, with_condition = (statistics.median(figures) for figures in found.values())
    return (with_condition - without) / REQUESTS
