"""A Postgres that is not ours: roles somebody else made, logins that may take few of them, and what is said then."""

import psycopg
import pytest
import typer
from psycopg import sql

from counterfoil import migrating, privileges, user_messages
from counterfoil.cli import main
from devservers.postgres import start_postgres
from runtime import database
from runtime.migrations import NotAllowed
from tests.counterfoil import commanding
from tests.documentation import pages

PASSWORD = "for-tests"


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    """A server of its own, since roles belong to a whole server, with a database for each question."""
    settings = {"fsync": "off", "synchronous_commit": "off"}
    with start_postgres(tmp_path_factory.mktemp("foreign"), settings=settings) as server:
        yield Foreign(server.url)


class Foreign:
    def __init__(self, url):
        self.url = url

    def execute(self, statement, *names, database_name=None):
        url = self.url if database_name is None else self.address(database_name)
        with psycopg.connect(url, autocommit=True) as admin:
            admin.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))

    def address(self, name, login=None):
        as_login = {} if login is None else {"user": login, "password": PASSWORD}
        return psycopg.conninfo.make_conninfo(self.url, dbname=name, **as_login)


def test_roles_made_by_an_administrator_a_maker_and_nobody(foreign, tmp_path):
    """One story, since what a server has of roles it keeps."""
    nobody_made_them(foreign, tmp_path)
    a_login_that_may_create_roles_can_run_everything_afterwards(foreign)
    a_login_without_any_right_gets_what_to_have_done(foreign, tmp_path)
    a_database_next_to_a_migrated_one_is_said_to_be_not_migrated(foreign, tmp_path)


def nobody_made_them(foreign, tmp_path):
    foreign.execute("create database empty")
    result = commanding.run(tmp_path, "status", database_url=foreign.address("empty"))

    assert 1 == result.exit_code
    assert "no database of it was migrated yet: run `counterfoil migrate`" in result.stderr


def a_login_that_may_create_roles_can_run_everything_afterwards(foreign):
    foreign.execute(f"create role maker login createrole password '{PASSWORD}'")
    foreign.execute("create database made owner maker")
    url = foreign.address("made", "maker")
    migrating.migrate(url)

    for role in ("owner", "writer", "reader", "relay", "projector", "sealer"):
        with database.connect(url, role=f"counterfoil_{role}", name="test") as connection:
            assert (f"counterfoil_{role}",) == connection.execute("select current_user").fetchone()
    assert [] == migrating.migrate(url)


def a_login_without_any_right_gets_what_to_have_done(foreign, tmp_path):
    foreign.execute(f"create role guest login password '{PASSWORD}'")
    result = commanding.run(tmp_path, "status", database_url=foreign.address("made", "guest"))
    foreign.execute("create database fresh")

    assert "the login guest may not take the role counterfoil_reader" in result.stderr
    assert "grant counterfoil_reader to guest" in result.stderr
    with pytest.raises(NotAllowed, match="counterfoil roles --sql"):
        migrating.migrate(foreign.address("fresh", "guest"))


def a_database_next_to_a_migrated_one_is_said_to_be_not_migrated(foreign, tmp_path):
    result = commanding.run(tmp_path, "status", database_url=foreign.address("fresh"))

    assert "counterfoil: the database is not migrated: run `counterfoil migrate`\n" == result.stderr


def test_a_right_that_was_taken_away_is_reported_without_a_trace():
    message = user_messages.user_message(
        psycopg.errors.InsufficientPrivilege("permission denied for table event")
    )

    assert message is not None
    assert "Postgres refuses: permission denied for table event" in message


def commands_of(group, before=""):
    for name, command in group.commands.items():
        if isinstance(command, typer.core.TyperGroup):
            yield from commands_of(command, f"{before}{name} ")
        else:
            yield f"{before}{name}"


def test_every_command_says_which_roles_it_takes():
    named = [command for part in privileges.PARTS for command in part.commands]
    known = sorted([*named, *privileges.WITHOUT_A_ROLE, *privileges.OF_ITS_OWN])

    assert sorted(commands_of(typer.main.get_command(main.app))) == known


def test_the_page_has_the_same_table():
    page = (pages.ROOT / "docs" / "operations.md").read_text()
    rows = [
        f"| {', '.join(f'`{command}`' for command in part.commands)} | `{privileges.LOGIN_PREFIX}{part.login}` |"
        f" {', '.join(f'`{role}`' for role in part.roles)} |"
        for part in privileges.PARTS
    ]

    assert [] == [row for row in rows if row not in page]


def test_the_roles_are_printed_and_so_is_the_script(tmp_path):
    listed = commanding.run(tmp_path, "roles")
    script = commanding.run(tmp_path, "roles", "--sql", "--login-prefix", "it's_")

    assert "query-api: counterfoil_reader" in listed.stdout
    assert "('it''s_query_api', 'counterfoil_reader')" in script.stdout
