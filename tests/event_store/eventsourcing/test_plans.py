"""What an application asks is answered from its own index entries, on a log it shares with many others' events."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, LiteralString

import psycopg
import pytest
from psycopg import sql

from event_store.eventsourcing import boundaries, notifications, recorders
from runtime import database

EVENTS: Final = 40_000

# Half of the log is the shop's, most of the rest one busy application's; the rare one recorded its events long ago.
FILL: Final = """
insert into log.event (position, version, recorded_at, stream, type, leaf, metadata, payload)
select p, 1, '2020-01-01'::timestamptz + p * interval '1 second',
    case when p <= 3 then 'Rare-' when p %% 2 = 0 then 'order-' when p %% 100 = 1 then 'Quiet-' else 'Busy-' end || p,
    case p %% 10 when 0 then 'bank:Opened' else 'bank:Credited' end, sha256(p::text::bytea), '{}', '{}'
from generate_series(1, %(events)s::bigint) p
"""
FILL_SNAPSHOTS: Final = """
insert into application.snapshot (application, purpose, originator_id, version, topic, state)
select 'Busy', 'snapshots', (p %% 500)::text, p, 'bank:Snapshot', '' from generate_series(1, %(events)s::bigint) p
"""

# Every event carries the category, and one of five hundred other tags; the planner learns nothing of that by chance.
FILL_TAGS: Final = """
insert into log.tag (tag, type, position)
select unnest(array['Busy', 'Busy:' || position % 500]), type, position from log.event where stream like 'Busy-%'
"""

ALL: Final = {"after": 0, "upto": 2**63 - 1, "limit": 10, "topics": ["bank:Opened"]}
OF_APPLICATION: Final = {"event_application"}
EVENTS_OF_AGGREGATE: Final = {"stream": "Busy-7", "gt": -1, "lte": 2**63 - 1, "limit": None}
SNAPSHOTS_OF_AGGREGATE: Final = EVENTS_OF_AGGREGATE | {
    "application": "Busy",
    "purpose": "snapshots",
    "originator_id": "7",
    "limit": 1,
}

OF_TAGS: Final = {"tag_pkey", "event_pkey"}
OF_ONE_TAG: Final = ALL | {"first": ["Busy:7"], "others": [""], "types": ["bank:Credited bank:Opened"]}
OF_TWO_TAGS: Final = ALL | {"first": ["Busy"], "others": ["Busy:7"], "types": [""]}

HOT: Final[Mapping[str, tuple[LiteralString, dict[str, Any], set[str]]]] = {
    "notifications": (notifications.NOTIFICATIONS, ALL, OF_APPLICATION),
    "notifications of some topics": (notifications.NOTIFICATIONS_OF_TOPICS, ALL, OF_APPLICATION),
    "the newest notification": (notifications.LAST, ALL, OF_APPLICATION),
    "tailing": (notifications.TAIL, ALL | {"after": EVENTS - 10}, OF_APPLICATION),
    "tailing some topics": (notifications.TAIL_OF_TOPICS, ALL | {"after": EVENTS - 10}, OF_APPLICATION),
    "one aggregate": (recorders.EVENTS, EVENTS_OF_AGGREGATE, {"event_stream_version_key"}),
    "one aggregate, newest first": (
        recorders.EVENTS_BACKWARDS,
        EVENTS_OF_AGGREGATE,
        {"event_stream_version_key"},
    ),
    "a boundary of one tag": (boundaries.READ, OF_ONE_TAG, OF_TAGS),
    "a boundary of two tags, any type": (boundaries.READ, OF_TWO_TAGS, OF_TAGS),
    "everything an application tagged": (boundaries.READ, OF_TWO_TAGS | {"others": [""]}, OF_TAGS),
    "the newest snapshot": (recorders.SNAPSHOTS_BACKWARDS, SNAPSHOTS_OF_AGGREGATE, {"snapshot_pkey"}),
}


@pytest.fixture(scope="module")
def filled(new_database: Callable[[], str]) -> Iterator[psycopg.Connection]:
    with database.connect(new_database(), role="counterfoil_owner", name="test") as connection:
        connection.execute(FILL, {"events": EVENTS})
        connection.execute(FILL_SNAPSHOTS, {"events": EVENTS})
        connection.execute(FILL_TAGS)
        connection.execute("analyze log.event; analyze log.tag; analyze application.snapshot")
        yield connection


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
@pytest.mark.parametrize("category", ["Rare", "Quiet", "Busy", "Unheard"])
@pytest.mark.parametrize("question", HOT)
def test_a_hot_query_uses_its_index(question: str, category: str, mode: str, filled: psycopg.Connection):
    statement, given, indexes = HOT[question]

    nodes = plan(filled, statement, given | {"category": category}, mode=mode)

    assert indexes == {node["Index Name"] for node in nodes if "Index Name" in node} - {"head_pkey"}
    assert not [node for node in nodes if node["Node Type"] == "Sort" and node["Actual Rows"] > ALL["limit"]]


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
def test_a_rare_application_reads_only_its_own_events(mode: str, filled: psycopg.Connection):
    nodes = plan(filled, notifications.NOTIFICATIONS, ALL | {"category": "Rare"}, mode=mode)

    assert 3 == sum(node["Actual Rows"] for node in nodes if "Index Name" in node)
    assert 0 == sum(node.get("Rows Removed by Filter", 0) for node in nodes)


def test_the_shops_events_are_not_in_the_index(filled: psycopg.Connection):
    row = filled.execute("select reltuples from pg_class where relname = 'event_application'").fetchone()

    assert row is not None
    assert row[0] == pytest.approx(EVENTS / 2, rel=0.05)  # the planner's estimate


def plan(
    connection: psycopg.Connection, statement: LiteralString, given: dict[str, Any], *, mode: str
) -> list[dict[str, Any]]:
    """The nodes of the plan as executed, of a prepared statement."""
    names = list(dict.fromkeys(re.findall(r"%\((\w+)\)s", statement)))
    numbered = re.sub(r"%\((\w+)\)s", lambda found: f"${names.index(found[1]) + 1}", statement)
    types = dict.fromkeys(("after", "upto", "gt", "lte", "limit"), "bigint") | dict.fromkeys(
        ("topics", "first", "others", "types"), "text[]"
    )
    connection.execute(sql.SQL("set plan_cache_mode = {}").format(sql.Literal(mode)))
    connection.execute(
        sql.SQL("prepare asked ({}) as {}").format(
            sql.SQL(", ").join(sql.SQL(types.get(name, "text")) for name in names), sql.SQL(numbered)
        )
    )
    arguments = sql.SQL(", ").join(sql.Literal(given[name]) for name in names)
    row = connection.execute(
        sql.SQL("explain (analyze, format json) execute asked ({})").format(arguments)
    ).fetchone()
    connection.execute("deallocate asked")
    assert row is not None
    return list(_nodes(row[0][0]["Plan"]))


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", ()):
        yield from _nodes(child)
