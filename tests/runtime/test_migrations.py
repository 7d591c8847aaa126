"""Migrations on a real Postgres: before and after deployment, outside of transactions, with roles of later releases."""

import secrets
import threading

import psycopg
import pytest
from psycopg import sql

from counterfoil import migrating
from runtime import database, migrations
from runtime.migrations import (
    Component,
    MalformedMigration,
    NotAllowed,
    NotMigrated,
    OutOfOrder,
    UnknownMigration,
)

NO_ROLES = "select 1"
TABLE = "-- pre-deployment\ncreate schema shop; create table shop.sold (sku text, units int);"
COLUMN = "-- pre-deployment\nalter table shop.sold add column country text;"
DROPPED = "-- post-deployment\nalter table shop.sold drop column units;"
INDEX = (
    "-- post-deployment, outside a transaction\n"
    "create index concurrently if not exists sold_sku on shop.sold (sku);"
)


@pytest.fixture
def shop(tmp_path, database_url):
    """A made-up component on a migrated database."""
    return Shop(tmp_path, database_url)


class Shop:
    def __init__(self, folder, url):
        self.folder = folder
        self.url = url

    def has(self, **files):
        """The release holds these files, by name."""
        for old in self.folder.iterdir():
            old.unlink()
        for name, text in files.items():
            (self.folder / f"{name}.sql").write_text(text)
        return self

    @property
    def components(self):
        return [*migrating.components(), Component("shop", self.folder)]

    def migrate(self, *phases, roles=NO_ROLES, url=None):
        with database.connect(url or self.url, role=None, name="test") as conn:
            applied = migrations.apply(conn, self.components, roles=roles, phases=phases or migrations.PHASES)
        return [migration.label for migration in applied]

    def compared(self):
        with database.connect(self.url, role=None, name="test") as conn:
            return migrations.compare(conn, self.components)

    def asked(self, question, *given):
        with database.connect(self.url, role=None, name="test") as conn:
            return conn.execute(question, given).fetchall()


def test_pre_and_post_deployment_are_applied_apart_and_each_once(shop):
    shop.has(m0001_table=TABLE, m0002_column=COLUMN, m0003_dropped=DROPPED)

    assert ["shop/m0001_table.sql", "shop/m0002_column.sql"] == shop.migrate("pre")
    assert ["shop/m0003_dropped.sql"] == [each.label for each in shop.compared().of("post")]
    assert ["shop/m0003_dropped.sql"] == shop.migrate("post")
    assert [] == shop.migrate("pre") == shop.migrate("post") == shop.migrate()


def test_post_deployment_is_refused_before_what_comes_first(shop):
    shop.has(m0001_table=TABLE, m0002_dropped=DROPPED)

    with pytest.raises(OutOfOrder, match="counterfoil migrate --pre"):
        shop.migrate("post")

    assert [(None,)] == shop.asked("select to_regclass('shop.sold')")


def test_a_release_that_was_skipped_over_is_named_and_all_of_it_can_be_applied_in_order(shop):
    shop.has(m0001_table=TABLE, m0002_dropped=DROPPED, m0003_column=COLUMN)

    with pytest.raises(OutOfOrder, match=r"m0002_dropped.*comes before.*m0003_column"):
        shop.migrate("pre")

    assert 3 == len(shop.migrate())


def test_a_file_whose_first_line_does_not_say_when_is_refused(shop):
    shop.has(m0001_table="create schema shop;")

    with pytest.raises(MalformedMigration, match="shop/m0001_table"):
        shop.migrate()


def test_a_file_that_is_included_is_part_of_the_text_and_of_the_digest(tmp_path):
    (tmp_path / "functions").mkdir()
    (tmp_path / "migrations").mkdir()
    function = tmp_path / "functions" / "one.sql"
    function.write_text("select 1;\n")
    (tmp_path / "migrations" / "0001_one.sql").write_text(
        "-- pre-deployment\n-- include: ../functions/one.sql\nselect 2;\n"
    )

    [before] = migrations.files([Component("shop", tmp_path / "migrations")])
    function.write_text("select 3;\n")
    [after] = migrations.files([Component("shop", tmp_path / "migrations")])

    assert "-- pre-deployment\nselect 1;\nselect 2;\n" == before.text
    assert before.digest != after.digest


def test_every_migration_of_ours_says_when_it_is_applied():
    assert set(migrations.PHASES) >= {each.phase for each in migrations.files(migrating.components())}


def test_an_index_is_made_concurrently_and_again_after_an_attempt_that_was_interrupted(shop):
    shop.has(m0001_table=TABLE).migrate()
    with database.connect(shop.url, role="counterfoil_owner", name="test") as owner:
        owner.execute("insert into shop.sold values ('A', 1), ('A', 2)")
        with pytest.raises(psycopg.errors.UniqueViolation):  # leaves an index that is not valid
            owner.execute("create unique index concurrently sold_sku on shop.sold (sku)")

    shop.has(m0001_table=TABLE, m0002_index=INDEX).migrate("post")

    valid = "select indisvalid, indisunique from pg_index where indexrelid = 'shop.sold_sku'::regclass"
    assert [(True, False)] == shop.asked(valid)
    assert [("counterfoil_owner",)] == shop.asked("select tableowner from pg_tables where tablename = 'sold'")
    assert [] == shop.migrate()


def test_two_migrations_at_once_do_not_wait_for_each_other_while_an_index_is_made_concurrently(shop):
    shop.has(m0001_table=TABLE).migrate()
    shop.has(m0001_table=TABLE, m0002_index=INDEX)
    applied, failures = [], []

    def migrate():
        try:
            applied.extend(shop.migrate())
        except psycopg.Error as error:
            failures.append(error)

    with database.connect(shop.url, role="counterfoil_owner", name="test") as owner, owner.transaction():
        owner.execute("insert into shop.sold values ('A', 1)")  # the index waits for this transaction
        racing = [threading.Thread(target=migrate) for _ in range(2)]
        for thread in racing:
            thread.start()
        wait_until_an_index_waits(shop)
    for thread in racing:
        thread.join(60)

    assert [] == failures
    assert ["shop/m0002_index.sql"] == applied


def wait_until_an_index_waits(shop):
    question = (
        "select count(*) filter (where query like '%%concurrently%%' and wait_event_type = 'Lock'),"
        " count(*) from pg_stat_activity"
        " where datname = current_database() and application_name = 'counterfoil test' and pid <> pg_backend_pid()"
    )
    while True:
        ((waiting, sessions),) = shop.asked(question)
        if (
            waiting == 1 and sessions >= 3
        ):  # the transaction's, the one that makes the index, the one that waits
            return


def test_a_later_release_may_add_a_role(shop):
    role = f"counterfoil_later_{secrets.token_hex(4)}"
    create = f"do $$ begin if to_regrole('{role}') is null then create role {role} nologin; end if; end $$"
    grant = f"-- pre-deployment\ngrant usage on schema shop to {role};"
    shop.has(m0001_table=TABLE).migrate()

    shop.has(m0001_table=TABLE, m0002_granted=grant).migrate(roles=create)

    with database.connect(shop.url, role=None, name="test") as conn:
        usage = conn.execute("select has_schema_privilege(%s, 'shop', 'usage')", [role]).fetchone()
        conn.execute("drop schema shop cascade")
        conn.execute(sql.SQL("drop role {}").format(sql.Identifier(role)))
    assert (True,) == usage


def test_a_login_that_may_not_add_the_roles_of_a_later_release_gets_what_to_have_done(shop):
    login = f"migrator_{secrets.token_hex(4)}"
    with psycopg.connect(shop.url, autocommit=True) as admin:
        dbname = sql.Identifier(admin.info.dbname)
        admin.execute(sql.SQL("grant create on database {} to counterfoil_owner").format(dbname))
        admin.execute(
            sql.SQL("create role {} login password 'x' in role counterfoil_owner").format(
                sql.Identifier(login)
            )
        )
        url = psycopg.conninfo.make_conninfo(shop.url, user=login, password="x")
        try:
            shop.has(m0001_table=TABLE)
            with pytest.raises(NotAllowed, match="counterfoil roles --sql"):
                shop.migrate(roles="create role counterfoil_never nologin", url=url)
            assert ["shop/m0001_table.sql"] == shop.migrate(url=url)
        finally:
            dbname = sql.Identifier(admin.info.dbname)
        admin.execute(sql.SQL("grant create on database {} to counterfoil_owner").format(dbname))
        admin.execute(sql.SQL("drop role {}").format(sql.Identifier(login)))


def test_a_version_runs_on_a_database_that_is_ahead_of_it_and_migrates_none(shop):
    shop.has(m0001_table=TABLE).migrate()
    shop.has()

    comparison = shop.compared()

    migrations.require(comparison)
    assert ["shop/m0001_table.sql"] == comparison.unknown
    with pytest.raises(UnknownMigration):
        migrations.due(comparison)


def test_a_version_does_not_run_on_a_database_that_lacks_what_it_needs_first(shop):
    shop.has(m0001_table=TABLE, m0002_dropped=DROPPED)
    with pytest.raises(NotMigrated, match=r"shop/m0001_table\.sql: run `counterfoil migrate --pre`"):
        migrations.require(shop.compared())

    shop.migrate("pre")

    migrations.require(shop.compared())
