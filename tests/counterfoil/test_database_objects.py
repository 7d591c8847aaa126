"""What the audit says of functions, tables and rights that are not those of the migrations."""

import psycopg
import pytest

from counterfoil import auditing, database_objects
from counterfoil.contexts import CONTEXTS
from runtime import database
from tests.event_store.proofs import bundling

FORGED = "create function {}(text[]) returns int language sql as 'select 1'"
CHANGES = {
    "a body": (
        FORGED.format("log.types_tagged").replace("create", "create or replace"),
        "function log.types_tagged was added",
    ),
    "a function next to one": (FORGED.format("log.append_batch"), "function log.append_batch was added"),
    "a function": (FORGED.format("log.forged"), "function log.forged was added"),
    "a setting": (
        "alter function log.append_batch reset all",
        "function log.append_batch is not that of its",
    ),
    "whose rights": (
        "alter function transport.begin_generation security invoker",
        "function transport.begin_generation is not that of its migration",
    ),
    "removed": ("drop function vault.deny", "function vault.deny was removed"),
    "rule": (
        "create rule hidden as on delete to log.event do instead nothing",
        "log.event has the rule hidden",
    ),
    "row security": (
        "alter table consumers.parked enable row level security",
        "consumers.parked hides rows by row security",
    ),
    "role": (
        "alter role counterfoil_reader in database {} set search_path = forged, pg_catalog",
        "names of Postgres' own mean others for role counterfoil_reader",
    ),
    "right": ("grant truncate on log.tag to public", "log.tag may be changed by counterfoil_keys"),
}


def examined(url):
    with database.connect(url, role="counterfoil_reader", name="test") as connection:
        return database_objects.examine(connection)


def change(url, statement):
    name = psycopg.conninfo.conninfo_to_dict(url)["dbname"]
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(statement.replace("{}", str(name)))


def test_a_database_is_as_its_migrations_made_it(database_url):
    assert ([], []) == examined(database_url)


@pytest.mark.parametrize(("statement", "said"), CHANGES.values(), ids=CHANGES)
def test_it_is_found_that_this_was_changed(statement, said, database_url):
    change(database_url, statement)
    found, unexamined = examined(database_url)

    assert ({"schema-changed"}, []) == ({each.kind for each in found}, unexamined)
    assert any(said in each.message for each in found), found


def test_functions_of_a_newer_release_are_not_examined_and_the_rest_is(database_url):
    change(database_url, "insert into counterfoil.migration values ('commands', '9999_next.sql', '')")
    change(database_url, "alter table log.tag enable row level security")
    report = auditing.verify(database_url, contexts=CONTEXTS)

    assert ["schema-changed"] == [each.kind for each in report.findings]
    assert any("it is ahead of this program by commands/9999_next.sql" in each for each in report.unexamined)


def test_the_audit_uses_functions_of_postgres_whatever_the_database_says(database_url):
    bundling.fill(database_url)
    change(
        database_url, "insert into log.tag select 'forged', type, position from log.event where position = 1"
    )
    change(
        database_url,
        "create schema forged; grant usage on schema forged to public;"
        " create function forged.strpos(text, text) returns int language sql as 'select 1';"
        " alter database {} set search_path = forged, pg_catalog",
    )

    found = {each.kind for each in auditing.verify(database_url, contexts=CONTEXTS).findings}
    assert {"schema-changed", "tag-mismatch"} <= found
