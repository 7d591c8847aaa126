"""The log's hot queries stay on their indexes: their plans on a table of 20,000 events, after `analyze`."""

import asyncio
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from typing import Any, Final, LiteralString

import psycopg
import pytest
from psycopg import sql

from commands import log_access, log_reading
from event_store.log import paging, reading
from event_store.transport import partition_log
from projections import checkpoints, snapshots
from read_api.audit import subject
from runtime import database

EVENTS: Final = 20_000
STREAMS: Final = 2_000

FILL: Final = """
insert into log.event (position, version, recorded_at, stream, type, partition_key, leaf, metadata, payload)
select p, (p - 1) / %(streams)s + 1, '2020-01-01'::timestamptz + p * interval '1 second',
    'order-' || (p - 1) %% %(streams)s, case p %% 10 when 0 then 'shop.rare.v1' else 'shop.common.v1' end,
    case p %% 5 when 0 then 'customer-' || p %% 100 end, sha256(p::text::bytea), '{}', '{}'
from generate_series(1, %(events)s::bigint) p
"""
FILL_OUTCOMES: Final = """
insert into log.outcome (key, fingerprint, first_position, last_position, versions)
select substring(sha256(p::text::bytea) for 16), sha256(p::text::bytea), p, p, array[1::bigint]
from generate_series(1, %(events)s::bigint) p
"""
FILL_SNAPSHOTS: Final = """
insert into views.snapshot (stream, version, position, partition_key, leaf, declaration, state)
select stream, version, position, stream, leaf, substring(leaf for 32), '{}' from log.event where version = 5
"""
FILL_CHECKPOINTS: Final = """
with build as (
    insert into views.build (view, shape, build, state)
    select 'view_' || v, 1, 1, 'following' from generate_series(1, 30) v
    returning view, shape, build
)
insert into views.build_checkpoint (view, shape, build, generation, partition, position)
select view, shape, build, 1, partition, 0 from build, generate_series(0, 11) partition
"""
FILL_TAGS: Final = """
insert into log.tag (tag, type, position)
select 'sku:' || position %% 1000, type, position from log.event
"""
AS_IF_LARGE: Final = """
select set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true),
    set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true)
"""
"""What the planner does of itself where reading all events costs more than some thousand by an index."""
NEXT_TAGGED: Final = (
    "select t.position from log.tag t where t.tag = %s and t.type = %s and t.position >= %s"
    " order by t.position limit 1"
)
STORED_VERSION: Final = (
    "select s.version from log.event s where s.stream = %s order by s.version desc limit 1"
)

KEY: Final = {"key": "customer-5", "after": 0, "upto": EVENTS, "limit": 100}
PAGE: Final = {"rows_max": 2_000, "bytes_max": 8_000_000}
TAGGED: Final = {
    "tag": "sku:7",
    "types": ["shop.common.v1", "shop.rare.v1"],
    "after": 0,
    "upto": EVENTS,
    "limit": 1000,
}
BY_TAG: Final = {"tag_pkey", "event_pkey"}
BY_POSITION: Final = {"event_pkey"}
BY_STREAM: Final = {"event_stream_version_key"}

HOT: Final[Mapping[str, tuple[LiteralString, Any, set[str]]]] = {
    "behind a position": (reading._AFTER, [EVENTS - 10, EVENTS, 1000], BY_POSITION),
    "from the beginning": (reading._AFTER, [0, 2**63 - 1, 5000], BY_POSITION),
    "of some types": (reading._AFTER_OF_TYPES, [EVENTS - 10, EVENTS, ["shop.rare.v1"], 1000], BY_POSITION),
    "one stream": (reading._STREAM, ["order-7", 3, EVENTS, 1000], BY_STREAM),
    "many streams": (
        reading._STREAMS,
        {"streams": ["order-7", "order-8"], "versions": [0, 2], "limit": 1000},
        BY_STREAM,
    ),
    "events of a tag": (reading._TAGGED, {**TAGGED, "others": []}, BY_TAG),
    "events of four tags": (reading._TAGGED, {**TAGGED, "others": ["a", "b", "c"]}, BY_TAG),
    "one partition key": (reading._KEY, KEY, {*BY_STREAM, "event_partition_key"}),
    "several partition keys": (
        reading._KEYS,
        {"keys": ["order-7", "customer-5"], "upto": EVENTS, "types": ["shop.common.v1"], "limit": 100},
        {*BY_STREAM, "event_partition_key"},
    ),
    "partition keys that changed": (
        reading._CHANGED,
        [EVENTS - 1_000, EVENTS, ["shop.common.v1"]],
        BY_POSITION,
    ),
    "events of a type and a category": (
        paging._FOUND,
        {"after": 100, "upto": 2_000, "types": ["shop.rare.v1"], "categories": ["order"], "limit": 100},
        BY_POSITION,
    ),
    "one leaf": (reading._LEAF, [77], BY_POSITION),
    "leaves of a batch": (reading._LEAVES, [[1, 77]], BY_POSITION),
    "partition keys of a range": (
        partition_log._KEYS,
        {"after": 100, "upto": EVENTS, "limit": 5000},
        BY_POSITION,
    ),
    "events of a partition": (paging._AT, {**PAGE, "positions": [1, 77]}, BY_POSITION),
    "a page of the log": (paging._AFTER, {**PAGE, "after": 0, "upto": 2_000}, BY_POSITION),
    "a page of some types, as global views read": (
        paging._OF_STEMS,
        {**PAGE, "after": 100, "upto": 2_000, "stems": ["shop.rare.v"]},
        BY_POSITION,
    ),
    "the tail of the log, as consumers read": (
        paging._TAIL_OF_STEMS,
        {**PAGE, "after": 100, "upto": 2_000, "stems": ["shop.rare.v"]},
        BY_POSITION,
    ),
    "where events lie": (log_reading._PLACED, [77, 99], BY_POSITION),
    "where a version lies": (log_reading._PLACED_AT, ["order-7", 2], BY_STREAM),
    "the stored version, as append_batch asks": (STORED_VERSION, ["order-7"], BY_STREAM),
    "valid snapshots": (
        snapshots._VALID,
        [["order-7", "order-8"], [bytes(32), bytes(32)]],
        {"snapshot_pkey", *BY_POSITION},
    ),
    "streams that are due for a snapshot": (snapshots._DUE, [["order"], [10], 100, 5_100], BY_POSITION),
    "one outcome": (log_reading._OUTCOME, [bytes(16)], {"outcome_pkey"}),
    "outcomes of many keys": (log_reading._FINGERPRINTS, [[bytes(16)]], {"outcome_pkey"}),
    "a tag's next event, as first_tagged asks": (NEXT_TAGGED, ["sku:7", "shop.rare.v1", 100], {"tag_pkey"}),
}


@pytest.fixture(scope="module")
def filled(new_database: Callable[[], str]) -> Iterator[psycopg.Connection]:
    url = new_database()
    with database.connect(url, role="counterfoil_owner", name="test") as connection:
        for statement in (FILL, FILL_OUTCOMES, FILL_TAGS):
            connection.execute(statement, {"events": EVENTS, "streams": STREAMS})
        for table in ("event", "outcome", "tag"):
            connection.execute(f"analyze log.{table}")
        connection.execute(FILL_SNAPSHOTS)
        connection.execute("analyze views.snapshot")
        yield connection


@pytest.mark.parametrize("question", HOT)
def test_a_hot_query_uses_its_index(question: str, filled: psycopg.Connection):
    statement, given, indexes = HOT[question]

    used, scanned = plan(filled, statement, given)

    assert set() == scanned & {"event", "outcome", "tag", "snapshot"}
    assert indexes == used - {"head_pkey"}


def test_a_query_that_reads_the_whole_table_is_noticed(filled: psycopg.Connection):
    used, scanned = plan(filled, "select position from log.event where type = %s", ["shop.common.v1"])

    assert set() == used
    assert {"event"} == scanned


def test_a_plan_for_many_outcomes_that_was_made_over_few_uses_the_index(new_database: Callable[[], str]):
    url = new_database()
    with database.connect(url, role="counterfoil_owner", name="test") as connection:
        connection.execute("alter table log.outcome set (autovacuum_enabled = off)")
        connection.execute(FILL_OUTCOMES, {"events": 50})
        connection.execute("analyze log.outcome")

    async def planned(connection: reading.AsyncConnection) -> Any:
        raw = psycopg.AsyncRawCursor(connection)
        statement = log_reading._FINGERPRINTS.replace("%s", "$1::bytea[]")
        row = await (
            await raw.execute(f"explain (generic_plan, format json) {statement}".encode())
        ).fetchone()
        assert row is not None
        return row[0][0]["Plan"]

    async def asked() -> Any:
        async with log_access.opened(url, role="counterfoil_writer", name="test", readers=1) as on:
            return await on.reader.read(planned)

    assert {"outcome_pkey"} == {node["Index Name"] for node in _nodes(asyncio.run(asked()))}


@pytest.mark.parametrize(("setting", "sorting"), [(reading._BY_INDEX, set()), ("select 1", {"Sort"})])
def test_a_log_without_statistics_is_copied_by_its_index(
    setting: LiteralString, sorting: set[str], new_database: Callable[[], str]
):
    everything = reading._RANGE.format(
        after=sql.Literal(0), upto=sql.Literal(reading._NO_END), types=sql.SQL("")
    )
    with database.connect(new_database(), role="counterfoil_owner", name="test") as connection:
        connection.execute("alter table log.event set (autovacuum_enabled = off)")
        connection.execute(FILL, {"events": EVENTS, "streams": STREAMS})
        with connection.transaction():
            connection.execute(setting)
            row = connection.execute(sql.SQL("explain (format json) {}").format(everything)).fetchone()

    assert row is not None
    assert sorting == {"Sort"} & {node["Node Type"] for node in _nodes(row[0][0]["Plan"])}


def test_checkpoints_that_move_are_not_compared_with_all_others_before_the_first_analyze(
    new_database: Callable[[], str],
):
    numbers = count(1)
    statement = re.sub(r"%\(\w+\)[sb]", lambda _: f"${next(numbers)}", checkpoints._MOVE)
    with database.connect(new_database(), role="counterfoil_owner", name="test") as connection:
        connection.execute("alter table views.build_checkpoint set (autovacuum_enabled = off)")
        connection.execute(FILL_CHECKPOINTS)
        raw = psycopg.RawCursor(connection)
        row = raw.execute(f"explain (generic_plan, format json) {statement}".encode()).fetchone()

    assert row is not None
    assert "Nested Loop" not in {node["Node Type"] for node in _nodes(row[0][0]["Plan"])}


def test_of_a_customer_with_very_many_events_no_more_are_read_than_are_exported(filled: psycopg.Connection):
    most = 100
    with filled.transaction(force_rollback=True):
        filled.execute(
            "insert into log.tag (tag, type, position) select 'customer:7', type, position from log.event"
        )
        filled.execute(AS_IF_LARGE)
        row = filled.execute(
            "explain (analyze, format json) " + subject._EVENTS, {"customer": "7", "most": most}
        ).fetchone()

    assert row is not None
    read = [
        node["Actual Rows"] * node["Actual Loops"]
        for node in _nodes(row[0][0]["Plan"])
        if node.get("Relation Name") == "event"
    ]
    assert most == max(read)


def plan(connection: psycopg.Connection, statement: LiteralString, given: Any) -> tuple[set[str], set[str]]:
    """The indexes that a statement would use and the tables that it would read from end to end."""
    row = connection.execute("explain (format json) " + statement, given).fetchone()
    assert row is not None
    nodes = list(_nodes(row[0][0]["Plan"]))
    return (
        {node["Index Name"] for node in nodes if "Index Name" in node},
        {node["Relation Name"] for node in nodes if node["Node Type"] == "Seq Scan"},
    )


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", ()):
        yield from _nodes(child)
