"""What Postgres refuses: no role that a process takes can change, remove or forge what the log says."""

import secrets
from collections.abc import Iterator
from typing import Final, get_args

import psycopg
import pytest
from psycopg import errors, sql

from event_store.log.appending import wire
from event_store.log.envelope import NEW, AppendRequest, Expectation, NewEvent
from runtime import database
from runtime.database import Role

LOG_TABLES: Final = ("log.head", "log.epoch", "log.event", "log.tag", "log.outcome", "log.tracking")
PROCESS_ROLES: Final = tuple(
    role
    for role in get_args(Role)
    if role
    not in {
        *("counterfoil_owner", "counterfoil_vault", "counterfoil_recorder"),
        *("counterfoil_keys", "counterfoil_revealer"),
    }
)
"""The roles of vault, recorder and keys read no log, so they have nothing to be refused there."""

REFUSED: Final = (
    "update log.event set payload = '{}' where position = 1",
    "update log.head set position = 0",
    "update log.outcome set fingerprint = fingerprint",
    "delete from log.event where position = 1",
    "delete from log.outcome",
    "truncate log.event cascade",
    "truncate log.outcome",
    (
        "insert into log.event (position, version, recorded_at, stream, type, leaf, metadata, payload)"
        " values (2, 1, now(), 'order-2', 'shop.forged.v1', '', '{}', '{}')"
    ),
    (
        "insert into log.outcome (key, fingerprint, first_position, last_position, versions)"
        " values ('\\x00000000000000000000000000000000', sha256(''), 1, 1, '{1}')"
    ),
    "insert into log.tag (tag, type, position) values ('sku:A', 'shop.happened.v1', 1)",
    "insert into log.epoch (epoch, first_position, started_at, reason) values (2, 1, now(), 'forged')",
    "alter table log.event alter column leaf drop not null",
    "alter table log.event disable trigger all",
    (
        "create trigger forging before insert on log.event for each row execute function"
        " suppress_redundant_updates_trigger()"
    ),
    "drop table log.tag",
    "update log.tracking set position = 0",
    "insert into log.tracking (consumer, application, position) values ('x', 'y', 1)",
    "alter function log.append_batch reset all",
    "create table log.added (id int)",
    "lock table log.event in exclusive mode",
    "set session_replication_role = replica",
)


@pytest.fixture
def log_with_one_event(database_url: str) -> str:
    event = NewEvent(stream="order-1", type="shop.happened.v1", payload=b"{}", metadata=b"{}")
    request = AppendRequest(
        key=bytes(16), fingerprint=bytes(32), events=(event,), expectations=(Expectation("order-1", NEW),)
    )
    with database.connect(database_url, role="counterfoil_writer", name="test") as connection:
        wire.register(connection)
        connection.execute(wire.CALL, wire.arguments([request], epoch=1))
    return database_url


@pytest.mark.parametrize("role", PROCESS_ROLES)
def test_no_process_may_change_the_log_behind_its_function(role: Role, log_with_one_event: str):
    with database.connect(log_with_one_event, role=role, name="test") as connection:
        before = contents(connection)

        assert [] == [statement for statement in REFUSED if not is_refused(connection, statement)]
        assert before == contents(connection)


def test_a_right_that_was_granted_by_mistake_is_noticed(log_with_one_event: str):
    with database.connect(log_with_one_event, role="counterfoil_owner", name="test") as owner:
        owner.execute("grant update on log.head to counterfoil_reader")

    with database.connect(log_with_one_event, role="counterfoil_reader", name="test") as connection:
        connection.execute("update log.head set position = 0")
        refused = [statement for statement in REFUSED if is_refused(connection, statement)]

    assert {"update log.head set position = 0"} == set(REFUSED) - set(refused)


def is_refused(connection: psycopg.Connection, statement: str) -> bool:
    try:
        with connection.transaction():
            connection.execute(sql.SQL(statement))
    except errors.InsufficientPrivilege:
        return True
    return False


@pytest.mark.parametrize("role", [role for role in PROCESS_ROLES if role != "counterfoil_writer"])
def test_only_the_writer_may_append(role: Role, database_url: str):
    with database.connect(database_url, role=role, name="test") as connection:
        wire.register(connection)

        with pytest.raises(errors.InsufficientPrivilege):
            connection.execute(wire.CALL, wire.arguments([], epoch=1))


@pytest.mark.parametrize("role", PROCESS_ROLES)
def test_only_the_writer_may_read_the_secret_of_fingerprints(role: Role, database_url: str):
    with database.connect(database_url, role=role, name="test") as connection:
        refused = is_refused(connection, "select key from secret.fingerprint")

        assert (role != "counterfoil_writer") == refused
        assert is_refused(connection, "update secret.fingerprint set key = sha256('')")


@pytest.mark.parametrize("role", PROCESS_ROLES)
def test_every_process_may_read_the_log(role: Role, log_with_one_event: str):
    with database.connect(log_with_one_event, role=role, name="test") as connection:
        assert 1 == contents(connection)["log.event"]


@pytest.mark.parametrize("role", ["counterfoil_writer", "counterfoil_reader", "counterfoil_relay"])
def test_only_the_projector_may_write_views(role: Role, database_url: str):
    statements = (
        "delete from views.build_checkpoint",
        "update views.shared_checkpoint set position = 0",
        "create table views.added (id int)",
        "delete from views.live",
    )
    with database.connect(database_url, role=role, name="test") as connection:
        for statement in statements:
            with pytest.raises(errors.InsufficientPrivilege):
                connection.execute(sql.SQL(statement))


@pytest.mark.parametrize("role", ["counterfoil_reader", "counterfoil_relay"])
def test_only_those_who_run_consumers_may_write_what_consumers_remember(role: Role, database_url: str):
    statements = (
        "insert into consumers.registration (consumer, registered_position) values ('planted', 0)",
        "update consumers.checkpoint set position = 0",
        "delete from consumers.parked",
        "update consumers.request set outcome = 'planted'",
        "create table consumer_tables.planted (id int)",
    )
    with database.connect(database_url, role=role, name="test") as connection:
        assert [] == [statement for statement in statements if not is_refused(connection, statement)]
        assert 0 == len(connection.execute("select from consumers.parked").fetchall())


@pytest.mark.parametrize("role", ["counterfoil_writer", "counterfoil_projector"])
def test_those_who_run_consumers_may_not_forget_where_these_began(role: Role, database_url: str):
    with database.connect(database_url, role=role, name="test") as connection:
        assert is_refused(connection, "update consumers.registration set registered_position = 0")
        assert is_refused(connection, "delete from consumers.registration")
        assert is_refused(connection, "delete from consumers.checkpoint")


@pytest.fixture
def writer_login(database_url: str) -> Iterator[str]:
    """Address with a login of its own that is a member of the writers and of nothing else."""
    name, password = f"login_{secrets.token_hex(4)}", secrets.token_hex(16)
    with psycopg.connect(database_url, autocommit=True) as admin:
        admin.execute(
            sql.SQL("create role {} login password {} in role counterfoil_writer").format(
                sql.Identifier(name), sql.Literal(password)
            )
        )
        yield psycopg.conninfo.make_conninfo(database_url, user=name, password=password)
        admin.execute(sql.SQL("drop role {}").format(sql.Identifier(name)))


def test_a_login_of_the_writers_cannot_become_the_owner(writer_login: str):
    with (
        database.connect(writer_login, role="counterfoil_writer", name="test") as connection,
        pytest.raises(errors.InsufficientPrivilege),
    ):
        connection.execute("set role counterfoil_owner")


def contents(connection: psycopg.Connection) -> dict[str, int]:
    counts = {}
    for table in LOG_TABLES:
        row = connection.execute(
            sql.SQL("select count(*) from {}").format(sql.Identifier(*table.split(".")))
        ).fetchone()
        assert row is not None
        counts[table] = row[0]
    return counts
