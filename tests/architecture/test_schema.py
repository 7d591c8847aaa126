"""The log's object files say what its migrations make, one object each."""

import re
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Final

import psycopg
import pytest
from psycopg import sql

from counterfoil import migrating
from counterfoil.servers.unmanaged import ExternalServer
from devservers.postgres import PostgresServer
from runtime import database, migrations

SQL: Final = Path(str(resources.files("event_store"))) / "sql"

REFERRED_TO: Final = ("head", "epoch", "event")
"""Tables that others refer to, in this order; the rest may come in any."""

_CREATES: Final = re.compile(r"^create table (\w+)\.", re.MULTILINE)

CATALOGUE: Final = {
    "schemas": """
        select nspname, nspacl::text, pg_get_userbyid(nspowner) from pg_namespace where oid = any(%(schemas)s)
    """,
    "columns": """
        select c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity,
            pg_get_expr(d.adbin, d.adrelid)
        from pg_attribute a join pg_class c on c.oid = a.attrelid
        left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
        where c.relnamespace = any(%(schemas)s) and c.relkind in ('r', 'v', 'p') and a.attnum > 0
            and not a.attisdropped
    """,
    "tables": """
        select relname, relkind::text, reloptions, relacl::text, pg_get_userbyid(relowner)
        from pg_class where relnamespace = any(%(schemas)s)
    """,
    "constraints": """
        select conrelid::regclass::text, conname, pg_get_constraintdef(oid)
        from pg_constraint where connamespace = any(%(schemas)s)
    """,
    "indexes": """
        select indexrelid::regclass::text, pg_get_indexdef(indexrelid)
        from pg_index join pg_class on pg_class.oid = indexrelid where relnamespace = any(%(schemas)s)
    """,
    "functions": """
        select proname, pg_get_functiondef(oid), proacl::text, pg_get_userbyid(proowner)
        from pg_proc where pronamespace = any(%(schemas)s)
    """,
    "triggers": """
        select t.tgname, pg_get_triggerdef(t.oid) from pg_trigger t join pg_class c on c.oid = t.tgrelid
        where c.relnamespace = any(%(schemas)s) and not t.tgisinternal
    """,
    "rows": """
        select (select count(*) from log.head), (select count(*) from log.epoch),
            (select count(*) from log.installation), (select octet_length(key) from secret.fingerprint)
    """,
}


@pytest.fixture
def bare_database_url(postgres: PostgresServer | ExternalServer) -> Iterator[str]:
    """Address of a database in which nothing has been created."""
    name = sql.Identifier("counterfoil_test_bare")
    with psycopg.connect(postgres.url, autocommit=True) as admin:
        admin.execute(sql.SQL("drop database if exists {} with (force)").format(name))
        admin.execute(sql.SQL("create database {}").format(name))
        yield psycopg.conninfo.make_conninfo(postgres.url, dbname="counterfoil_test_bare")
        admin.execute(sql.SQL("drop database {} with (force)").format(name))


def test_object_files_and_migrations_make_the_same_log(database_url: str, bare_database_url: str):
    create_from_object_files(bare_database_url)

    migrated, created = catalogue(database_url), catalogue(bare_database_url)
    for part in CATALOGUE:
        assert migrated[part] == created[part], part


@pytest.mark.parametrize(
    "change",
    [
        "alter table log.event add column added text",
        "alter table log.outcome drop constraint outcome_key_check",
        "create index added on log.event (type)",
        "grant update on log.event to counterfoil_writer",
        "grant execute on function log.append_batch to counterfoil_reader",
        "alter function log.append_batch reset all",
        "alter table log.head reset (fillfactor)",
        "grant delete on application.snapshot to counterfoil_writer",
        "grant usage on schema secret to counterfoil_reader",
    ],
)
def test_a_difference_is_noticed(change: str, database_url: str):
    before = catalogue(database_url)

    with database.connect(database_url, role="counterfoil_owner", name="test") as connection:
        connection.execute(change)

    assert before != catalogue(database_url)


def test_what_a_function_says_stands_once():
    files = {path.read_text() for path in (SQL / "functions").glob("*.sql")}

    assert files
    assert [] == [
        path.name
        for path in (SQL / "migrations").glob("*.sql")
        if any(text in path.read_text() for text in files)
    ]


def test_object_files_are_where_they_are_compared():
    folders = {path.parent.name for path in SQL.rglob("*.sql")}

    assert {"tables", "functions", "roles", "migrations"} == folders


def create_from_object_files(url: str) -> None:
    with database.connect(url, role=None, name="test") as connection, connection.transaction():
        connection.execute((SQL / "roles" / "roles.sql").read_text())
        grant = sql.SQL("grant create on database {} to counterfoil_owner")
        connection.execute(grant.format(sql.Identifier(connection.info.dbname)))
        connection.execute("set local role counterfoil_owner")
        connection.execute("create schema log; create schema secret; create schema application")
        for table in tables():
            connection.execute(table.read_text())
        for function in sorted((SQL / "functions").glob("*.sql")):
            connection.execute(function.read_text())
        connection.execute((SQL / "roles" / "privileges.sql").read_text())


def tables() -> list[Path]:
    """The files of all tables, those that others refer to first."""
    found = sorted((SQL / "tables").glob("*.sql"))
    first = [SQL / "tables" / f"{name}.sql" for name in REFERRED_TO]
    return first + [path for path in found if path not in first]


def schemas() -> list[str]:
    """The schemas that object files fill."""
    return sorted({name for table in tables() for name in _CREATES.findall(table.read_text())})


def catalogue(url: str) -> dict[str, list[str]]:
    """What a database says of these schemas, each line as text, in an order that depends on nothing else."""
    with database.connect(url, role=None, name="test") as connection:
        row = connection.execute(
            "select array_agg(oid) from pg_namespace where nspname = any(%s)", [schemas()]
        ).fetchone()
        assert row is not None
        return {
            part: sorted(map(repr, connection.execute(question, {"schemas": row[0]})))
            for part, question in CATALOGUE.items()
        }


def test_no_two_migrations_of_a_component_share_a_number():
    numbers = [(each.component, each.name[:4]) for each in migrations.files(migrating.components())]

    assert sorted(set(numbers)) == sorted(numbers)
    assert all(number.isdecimal() for _, number in numbers)
