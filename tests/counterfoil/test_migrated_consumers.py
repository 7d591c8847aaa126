"""Parked keys, requests and checkpoints of the release before stand where every consumer's do, and none is lost."""

import shutil
from importlib import resources

import psycopg
import pytest
from psycopg import sql

from counterfoil import migrating
from event_store.consumers import parking
from event_store.consumers.parking import Scope
from runtime import database, migrations
from runtime.migrations import Component

NAME = "counterfoil_test_of_before"
NEW = {
    "0003_parked_keys.sql",
    "0004_snapshots_checkpoint.sql",
    "0002_consumers.sql",
    "0006_kinds_of_consumers.sql",
    "0007_copied_installations.sql",
    "0003_processes_tail_the_log.sql",
    "0004_processes_forget_partitions.sql",
}
BEFORE = """
insert into views.build (view, shape, build, state) values ('order_details', 1, 2, 'following');
insert into views.parked (view, shape, build, partition_key, position, stream, version, type, reason, tries, queued)
values ('order_details', 1, 2, 'order-1', 7, 'order-1', 3, 't.v1', 'no such row', 6, 2);
insert into views.request (kind, view, shape, partition_key, position, actor, executed_at, outcome) values
    ('retry', 'order_details', 1, 'order-1', 7, 'jo', now(), 'parked again'),
    ('skip', 'order_details', 1, 'order-1', 7, 'jo', null, null);
insert into process.registration (name, registered_position) values ('fulfilment', 4), ('restock', 5);
insert into process.checkpoint (name, generation, partition, position, leaf) values
    ('fulfilment', 1, 0, 9, '\\x01'), ('fulfilment', 1, 1, 8, null);
insert into process.parked (name, partition_key, partition, position, stream, version, type, reason, tries, queued,
    last_position)
values ('fulfilment', 'order-2', 1, 6, 'order-2', 1, 't.v1', 'NotReserved', 2, 1, 8);
insert into process.request (kind, name, partition_key, position, actor, note) values
    ('retry', 'fulfilment', 'order-2', 6, 'jo', 'stock is there now');
update views.snapshot_progress set position = 3, leaf = '\\x02';
"""


@pytest.fixture
def before(postgres, tmp_path):
    """Address of a database that the release before migrated and wrote to."""
    components = []
    for component in migrating.components():
        folder = tmp_path / component.name / "migrations"
        folder.mkdir(parents=True)
        with resources.as_file(component.folder) as files:
            if (functions := files.parent / "functions").exists():  # migrations include them
                shutil.copytree(functions, folder.parent / "functions")
            for file in files.glob("*.sql"):
                if file.name not in NEW:
                    shutil.copy(file, folder)
        components.append(Component(component.name, folder))
    name = sql.Identifier(NAME)
    with psycopg.connect(postgres.url, autocommit=True) as admin:
        admin.execute(sql.SQL("drop database if exists {} with (force)").format(name))
        admin.execute(sql.SQL("create database {}").format(name))
        url = psycopg.conninfo.make_conninfo(postgres.url, dbname=NAME)
        roles = (resources.files("event_store") / "sql" / "roles" / "roles.sql").read_text()
        with database.connect(url, role=None, name="test") as conn:
            migrations.apply(conn, components, roles=roles)
            conn.execute(BEFORE)
        yield url
        admin.execute(sql.SQL("drop database {} with (force)").format(name))


def test_what_was_parked_requested_and_reached_is_carried_over(before):
    applied = migrating.migrate(before)

    assert [
        "event_store/0006_kinds_of_consumers.sql",
        "event_store/0007_copied_installations.sql",
        "projections/0003_parked_keys.sql",
        "projections/0004_snapshots_checkpoint.sql",
        "commands/0002_consumers.sql",
        "commands/0003_processes_tail_the_log.sql",
        "commands/0004_processes_forget_partitions.sql",
    ] == applied
    with database.connect(before, role="counterfoil_reader", name="test") as conn:
        assert [
            (Scope("fulfilment"), "order-2", 6, 2, 1, 8),
            (Scope("order_details", 1, 2), "order-1", 7, 6, 2, 7),
        ] == [
            (key.scope, key.partition_key, key.position, key.tries, key.queued, key.last_position)
            for key in parking.listed(conn)
        ]
        pending = parking.pending(conn, ["order_details", "fulfilment"])
        assert [("skip", "order_details", 1, ""), ("retry", "fulfilment", 0, "stock is there now")] == [
            (request.kind, request.consumer, request.shape, request.note) for request in pending
        ]
        assert [("parked again",)] == conn.execute(
            "select outcome from consumers.request where executed_at is not null"
        ).fetchall()
        assert [
            ("fulfilment", "process", 4),
            ("restock", "process", 5),
            ("snapshots", "consumer", 0),
        ] == conn.execute(
            "select consumer, kind, registered_position from consumers.registration order by consumer"
        ).fetchall()
        # Partition 0 stands at the relay's last position for it, so it counts as the relay's; nothing is passed over.
        assert [
            ("fulfilment", 0, 8, None),
            ("restock", 0, 5, None),
            ("snapshots", 0, 3, b"\x02"),
        ] == conn.execute(
            "select consumer, generation, position, leaf from consumers.checkpoint order by consumer, generation"
        ).fetchall()
        assert [(None, None, None)] == conn.execute(
            "select to_regclass('views.parked'), to_regclass('views.request'), to_regnamespace('process')"
        ).fetchall()
