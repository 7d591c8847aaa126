"""Damage of every kind, done with a superuser's SQL behind the log's back, must be found with position and cause."""

import asyncio
import hashlib

import msgspec
import psycopg
import pytest

from domain.inventory.events import StockReceived
from event_store.log import codec, envelope, findings, heap, integrity, reading, tags
from event_store.log.appending.writer import Writer
from event_store.log.envelope import (
    ANY,
    AppendRequest,
    Expectation,
    Metadata,
    NewEvent,
    encode_metadata,
    new_nonce,
)
from event_store.log.leaf import leaf_of
from runtime import database
from tests.event_store.proofs import bundling, sealing
from tests.examples import NOW

EVENTS = 12


def request(number):
    """The n-th of twelve receipts: six items, two receipts each, every one in a batch and so a moment of its own."""
    stream = f"stock-{number % 6}"
    event = StockReceived(sku=str(number % 6), quantity=number + 1, reference="x", received_at=NOW)
    type_name, payload = codec.encode(event)
    digest = hashlib.sha256(str(number).encode()).digest()
    metadata = Metadata(
        actor="test",
        command="receive_stock",
        correlation_id="c",
        nonce=new_nonce(),
        idempotency=digest[:16].hex(),
    )
    return AppendRequest(
        key=digest[:16],
        fingerprint=digest,
        events=(NewEvent(stream, type_name, payload, encode_metadata(metadata)),),
        expectations=(Expectation(stream, ANY),),
    )


@pytest.fixture
def log(database_url):
    async def fill():
        async with Writer.open(database_url) as writer:
            for number in range(EVENTS):
                await writer.append(request(number))

    asyncio.run(fill())
    return database_url


def verify(url):
    with database.connect(url, role="counterfoil_reader", name="test") as connection:
        return integrity.verify_log(connection)


def damage(url, *statements: str):
    with psycopg.connect(url, autocommit=True) as admin:
        for statement in statements:
            admin.execute(statement)


def found(report):
    return [(finding.position, finding.kind) for finding in report.findings]


def test_a_log_that_nobody_touched_has_no_findings(log):
    report = verify(log)

    assert (EVENTS, EVENTS, ()) == (report.head, report.events, report.findings)
    assert report.ok


def test_an_empty_log_is_whole(database_url):
    assert verify(database_url).ok


CHANGED_PARTS = {
    "version": ("version = 7", "version was changed: the leaf was computed over 2"),
    "type": (
        "type = 'inventory.stock_shipped.v1'",
        "type was changed: the leaf was computed over inventory.stock_received.v1",
    ),
    "stream": ("stream = 'stock-elsewhere'", "stream was changed: the leaf was computed over stock-2"),
    "payload in another form": (
        "payload = jsonb_set(payload::jsonb, '{quantity}', '900')::json",
        "payload was changed: it is not in the form in which it is written",
    ),
    "payload in the same form": (
        """payload = replace(payload::text, '"quantity":9', '"quantity":8')::json""",
        "payload, metadata or leaf was changed",
    ),
    "payload that is no such event": ("""payload = '{"sku":"2"}'""", "payload was changed"),
    "metadata in another form": ("metadata = metadata::jsonb::json", "metadata was changed"),
    "metadata in the same form": (
        "metadata = replace(metadata::text, 'test', 'best')::json",
        "payload, metadata or leaf was changed",
    ),
    "leaf": ("leaf = sha256('forged')", "payload, metadata or leaf was changed"),
}


@pytest.mark.parametrize(("change", "message"), CHANGED_PARTS.values(), ids=CHANGED_PARTS.keys())
def test_a_changed_row_is_named_with_the_part_that_was_changed(log, change, message):
    damage(log, f"update log.event set {change} where position = 9")  # stock-2, version 2, quantity 9

    report = verify(log)
    leaf = next(finding for finding in report.findings if finding.kind == "leaf-mismatch")

    assert leaf.position == 9
    assert leaf.message.startswith(message)


def test_a_change_whose_leaf_was_computed_again_is_not_seen_by_the_log_alone(log):
    """The limit that the pages state: leaves are not signed and not kept outside the database."""
    with psycopg.connect(log, autocommit=True) as admin:
        (event,) = reading.read_after(admin, 8, limit=1)
        forged = msgspec.structs.replace(
            event, payload=event.payload.replace(b'"quantity":9', b'"quantity":8')
        )
        admin.execute(
            "update log.event set payload = %s, leaf = %s where position = 9",
            (forged.payload.decode(), leaf_of(forged, epoch=1)),
        )

    assert forged.payload != event.payload
    assert verify(log).ok


def test_a_time_set_to_a_neighbours_is_found_and_one_set_back_shows_twice(log):
    damage(log, "update log.event set recorded_at = recorded_at - interval '1 hour' where position = 9")

    assert found(verify(log)) == [(9, "leaf-mismatch"), (9, "time-backwards")]


def test_a_deleted_row_leaves_a_hole_and_a_version_gap(log):
    damage(log, "delete from log.event where position = 3")

    assert found(verify(log)) == [(3, "position-missing"), (9, "version-gap")]


def test_rows_cut_off_at_the_end_are_missing(log):
    damage(log, "delete from log.event where position > 10")

    report = verify(log)

    assert found(report) == [(11, "position-missing")]
    assert "the events 11 to 12 are missing" in report.findings[0].message


def test_a_head_that_was_set_back_leaves_events_behind_it(log):
    damage(log, "update log.head set position = 10")

    assert found(verify(log)) == [(11, "beyond-head"), (11, "outcome-mismatch")]


def test_a_cut_with_the_head_set_back_is_seen_by_the_outcomes(log):
    damage(log, "delete from log.event where position > 10", "update log.head set position = 10")

    assert found(verify(log)) == [(10, "head-time"), (11, "outcome-mismatch")]


def test_two_rows_that_changed_places_carry_keys_of_other_requests(log):
    damage(
        log,
        "alter table log.tag drop constraint tag_position_fkey",
        "update log.event set position = -position where position in (4, 5)",
        "update log.event set position = 9 + position where position < 0",
    )

    assert [(4, "request-mismatch"), (5, "request-mismatch")] == [
        place for place in found(verify(log)) if place[1] == "request-mismatch"
    ]


def test_an_outcome_that_was_deleted_is_noticed(log):
    damage(log, "delete from log.outcome where first_position = 6")

    assert found(verify(log)) == [(7, "outcome-mismatch")]


def test_outcomes_that_overlap_or_have_lost_their_neighbours_are_all_named(log):
    damage(
        log,
        "delete from log.outcome where first_position in (3, 4, 7)",
        "update log.outcome set last_position = 10 where first_position = 9",
    )

    assert [
        (5, "outcome-mismatch"),
        (8, "outcome-mismatch"),
        (10, "outcome-changed"),
        (10, "outcome-mismatch"),
        (10, "request-mismatch"),
    ] == found(verify(log))


@pytest.fixture
def short_parts(monkeypatch):
    """Segments of two events, parts of one page, no stream remembered: as in a log of many millions."""
    monkeypatch.setattr(integrity, "POSITIONS_PER_SEGMENT", 2)
    monkeypatch.setattr(integrity, "STREAMS_KEPT_MAX", 0)
    monkeypatch.setattr(heap, "BLOCKS_PER_STATEMENT", 1)


@pytest.mark.usefixtures("short_parts")
def test_a_whole_log_is_whole_in_parts_of_any_size_and_any_order_of_outcomes(log):
    damage(log, "create index by_key on log.outcome (key)", "cluster log.outcome using by_key")

    assert verify(log).ok


@pytest.mark.usefixtures("short_parts")
@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("delete from log.event where position = 3", [(3, "position-missing"), (9, "version-gap")]),
        ("delete from log.outcome where first_position = 6", [(7, "outcome-mismatch")]),
        ("delete from log.event where position > 10", [(11, "position-missing")]),
    ],
)
def test_damage_is_found_across_parts(log, statement, expected):
    damage(log, statement)

    assert expected == found(verify(log))


@pytest.mark.usefixtures("short_parts")
def test_versions_that_changed_places_across_parts_are_found(log):
    """Stock 2 has version 1 at position 3 and version 2 at position 9: the leaves would agree, the order does not."""
    damage(
        log,
        "update log.event set position = -position where position in (3, 9)",
        "update log.event set position = case position when -3 then 9 else 3 end where position < 0",
    )

    assert (3, "version-gap") in found(verify(log))


def test_no_snapshot_is_held_for_longer_than_a_segment(log, monkeypatch):
    monkeypatch.setattr(integrity, "POSITIONS_PER_SEGMENT", 2)
    held = set()
    with (
        database.connect(log, role="counterfoil_reader", name="test") as connection,
        psycopg.connect(log, autocommit=True) as admin,
    ):

        def note_horizon(_position):
            row = admin.execute(
                "select backend_xmin from pg_stat_activity where pid = %s", [connection.info.backend_pid]
            ).fetchone()
            held.add(row)

        assert integrity.verify_log(connection, on_progress=note_horizon).ok

    assert {(None,)} == held


@pytest.mark.usefixtures("short_parts")
def test_what_is_appended_meanwhile_is_no_damage(log):
    late = iter([*range(EVENTS, EVENTS + 3)])

    def append(_position):
        if (number := next(late, None)) is not None:
            asyncio.run(_append(log, number))

    with database.connect(log, role="counterfoil_reader", name="test") as connection:
        report = integrity.verify_log(connection, on_progress=append)

    assert (EVENTS, EVENTS, ()) == (report.head, report.events, report.findings)


async def _append(url, number):
    async with Writer.open(url) as writer:
        await writer.append(request(number))


def test_an_epoch_that_was_moved_breaks_the_leaves_behind_it(log):
    damage(
        log,
        "insert into log.epoch (epoch, first_position, started_at, reason) values (2, 11, now(), 'forged')",
        "update log.head set epoch = 2",
    )

    report = verify(log)

    assert found(report) == [(11, "leaf-mismatch"), (12, "leaf-mismatch")]
    assert (
        report.findings[0].message
        == "the epochs' first positions was changed: the leaf was computed over epoch 1"
    )


def test_the_head_must_be_in_the_newest_epoch(log):
    damage(log, "update log.head set epoch = 2")

    assert found(verify(log)) == [(12, "epoch-of-head")]


def test_a_tag_on_an_event_that_is_not_there_is_found(log):
    damage(log, "insert into log.tag (tag, type, position) values ('cart:1', 'ordering.order_placed.v3', 5)")

    assert found(verify(log)) == [(5, "tag-mismatch")]


@pytest.fixture
def tagged(database_url):
    """Requests of one and of three events, with tags and fingerprints, of which some write two streams."""
    bundling.fill(database_url)
    assert verify(database_url).ok
    return database_url


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("tag changed", [(7, "tag-mismatch"), (7, "tag-missing")]),
        ("tag deleted", [(7, "tag-missing")]),
        ("tag added", [(7, "tag-mismatch")]),
        ("outcome's fingerprint", [(1, "outcome-changed")]),
        ("outcome's versions", [(3, "outcome-changed")]),
        ("outcome's key", [(1, "request-mismatch"), (2, "request-mismatch"), (3, "request-mismatch")]),
        ("epoch", [(1, "epoch-number")]),
    ],
)
def test_what_metadata_says_of_tags_and_outcomes_is_held_against_them(kind, expected, tagged):
    damage(tagged, bundling.DAMAGE[kind][0].replace("%%", "%"), sealing.RELEAF)

    assert expected == found(verify(tagged))


def test_a_tag_that_is_written_elsewhere_in_the_metadata_is_false_all_the_same(tagged):
    damage(tagged, "insert into log.tag (tag, type, position) values ('tester', 'shop.happened.v1', 7)")

    assert [(7, "tag-mismatch")] == found(verify(tagged))


def test_tags_of_any_text_are_compared(database_url):
    odd = ('a"b', "back\\slash", "[x]", "tab\t", "ü", '","', "x\\")

    async def fill():
        async with Writer.open(database_url) as writer:
            plain = request(0)
            metadata = msgspec.structs.replace(
                envelope.decode_metadata(plain.events[0].metadata), tags=odd, partition_key='b"'
            )
            event = msgspec.structs.replace(
                plain.events[0], metadata=encode_metadata(metadata), tags=odd, partition_key='b"'
            )
            await writer.append(msgspec.structs.replace(plain, events=(event,)))

    asyncio.run(fill())
    assert verify(database_url).ok

    damage(database_url, """update log.tag set tag = 'b"' where tag = 'ü'""")
    assert [(1, "tag-mismatch"), (1, "tag-missing")] == found(verify(database_url))


def test_a_partition_key_other_than_declared_is_found(log):
    damage(
        log,
        """update log.event set metadata = (left(metadata::text, -1) || ',"partition_key":"order-1"}')::json
        where position = 5""",
    )

    assert (5, "partition-key-changed") in found(verify(log))


@pytest.mark.parametrize("key", ["stock-1", ""])
def test_a_partition_key_where_none_was_declared_is_found(key, log):
    damage(log, f"update log.event set partition_key = '{key}' where position = 5")

    assert [(5, "partition-key-changed")] == found(verify(log))


def test_a_head_with_another_time_than_the_last_event_is_found(log):
    damage(log, "update log.head set recorded_at = '2099-01-01Z'")

    [finding] = verify(log).findings
    assert (EVENTS, "head-time") == (finding.position, finding.kind)
    assert "the head says 2099-01-01" in finding.message


UNREADABLE = {
    "an infinite time": "update log.event set recorded_at = 'infinity' where position = 5",
    "a time beyond the calendar": "update log.event set recorded_at = '20000-01-01Z' where position = 5",
    "a time before it": "update log.event set recorded_at = '0044-03-15 BC' where position = 5",
    **{
        f"no {column}": f"alter table log.event alter {column} drop not null;"
        f" update log.event set {column} = null where position = 5"
        for column in ("version", "recorded_at", "stream", "type", "metadata", "payload")
    },
}


@pytest.mark.parametrize("statement", UNREADABLE.values(), ids=UNREADABLE)
def test_a_row_that_cannot_be_read_is_found_and_keeps_nobody_from_the_others(statement, log):
    damage(log, statement, "update log.event set payload = '{}' where position = 7")

    assert {(5, "row-unreadable"), (7, "leaf-mismatch")} <= set(found(verify(log)))


@pytest.mark.parametrize("column", ["metadata", "payload"])
def test_what_is_nested_deeply_is_found_and_keeps_nobody_from_the_others(column, log):
    deep = """'{"partition_key":"x","more":' || repeat('[', 5000) || repeat(']', 5000) || ','"""
    nested = f"regexp_replace({column}::text, '^.', {deep})"
    damage(
        log,
        f"update log.event set {column} = {nested}::json where position = 5",
        "update log.event set payload = '{}' where position = 7",
    )

    assert [(5, "leaf-mismatch"), (7, "leaf-mismatch")] == found(verify(log))


@pytest.mark.parametrize("value", ["null", "substring(fingerprint for 30)"])
def test_a_fingerprint_that_is_not_whole_is_found(value, database_url):
    bundling.fill(database_url)
    damage(
        database_url,
        "alter table log.outcome drop constraint outcome_fingerprint_check, alter fingerprint drop not null",
        f"update log.outcome set fingerprint = {value} where first_position = 1",
    )

    assert [(1, "outcome-changed")] == found(verify(database_url))


def test_versions_that_are_null_are_found(log):
    damage(
        log,
        "alter table log.outcome alter versions drop not null",
        "update log.outcome set versions = null where first_position = 5",
    )

    assert [(5, "outcome-changed")] == found(verify(log))


def test_progress_ends_at_the_head(log):
    seen = []
    with database.connect(log, role="counterfoil_reader", name="test") as connection:
        integrity.verify_log(connection, on_progress=seen.append)

    assert seen[-1] == EVENTS


def test_an_event_that_was_changed_contradicts_the_log_behind_however_many_changed_tags(
    database_url, monkeypatch
):
    for module in (findings, integrity, tags):
        monkeypatch.setattr(module, "FINDINGS_MAX", 2)
    bundling.fill(database_url)
    damage(database_url, "delete from log.tag where position < 9")
    of_tags = verify(database_url)
    last = """update log.event set payload = '{"number": 0}' where position = (select max(position) from log.event)"""
    damage(database_url, last)
    report = verify(database_url)

    assert {"tag-missing"} == {each.kind for each in report.findings} == of_tags.kinds
    assert (False, True) == (of_tags.contradicted, report.contradicted)
