"""Every audit command ends with a code of one table, the gravest that holds; nothing live is passed over in silence."""

import itertools
import re
import secrets
import sys

import psycopg
import pytest

from counterfoil.cli.answering import (
    EXIT_FAILED,
    EXIT_INCOMPLETE,
    EXIT_NOT_EXAMINED,
    EXIT_OK,
    EXIT_PARKED,
    EXIT_USAGE,
    gravest,
)
from counterfoil.contexts import CONTEXTS
from event_store.log.envelope import ANY, AppendRequest, Expectation, NewEvent
from tests import forking
from tests.architecture.source import ROOT
from tests.counterfoil import commanding
from tests.counterfoil.lending import BOOK, LENDING, BookLent
from tests.projections.feeding import append, append_requests, feeding, publish

AUDITS = (["audit", "verify"], ["views", "verify", "books"], ["replay", "book-dune"])
LIBRARY = "shop,tests.counterfoil.lending:LENDING"
UNDECLARED = "view books s1 b1 is live and declared by no context"


@pytest.mark.parametrize("codes", [*itertools.combinations((1, 4, 3, 2, 0), 2)])
def test_of_two_codes_the_graver_one_holds(codes):
    assert codes[0] == gravest(*codes) == gravest(*reversed(codes))


@pytest.fixture(scope="module")
def lent(new_shop):
    """A library that has lent a book next to the shop; tests take copies of it."""
    url = new_shop()
    append(url, [(BOOK.stream("dune"), BookLent("dune", "ada"))])
    carry(url)
    return url


@pytest.fixture
def database_url(lent, new_database):
    url = new_database(like=lent)
    yield url
    new_database.drop(url)


@pytest.fixture
def library(database_url, tmp_path, monkeypatch):
    """Runs a command on the library; each time with the contexts of the setting."""

    def run(*arguments, contexts=LIBRARY, url=database_url):
        monkeypatch.setenv("COUNTERFOIL_CONTEXTS", contexts)
        return commanding.run(tmp_path, *arguments, database_url=url)

    return run


def carry(database_url):
    """Feed all views up to the head."""
    with feeding(database_url, [*CONTEXTS.views, *LENDING.views]) as feeder:
        publish(database_url)
        feeder.catch_up()


def unreadable(database_url):
    """Have a key parked by an event that no fold can read."""
    event = NewEvent("book-x", "lending.book_lent.v1", b"{}", b"{}")
    request = AppendRequest(secrets.token_bytes(16), bytes(32), (event,), (Expectation("book-x", ANY),))
    append_requests(database_url, [request])
    carry(database_url)


def change(database_url, statement):
    """Do something behind everybody's back."""
    with psycopg.connect(database_url, autocommit=True) as admin:
        admin.execute(statement)


def test_a_library_that_is_in_order_is_and_without_its_context_a_part_is_not_examined(library):
    assert [EXIT_OK] * len(AUDITS) == [library(*audit).exit_code for audit in AUDITS]

    audited = library("audit", "verify", contexts="shop")
    assert (EXIT_INCOMPLETE, True) == (audited.exit_code, f"NOT EXAMINED: {UNDECLARED}" in audited.stdout)
    as_json = commanding.last_json(library("audit", "verify", "--json", contexts="shop"))
    assert (False, 1, []) == (as_json["ok"], len(as_json["unexamined"]), as_json["findings"])
    for command in (["views", "list"], ["status"]):
        [line] = [line for line in library(*command, contexts="shop").stdout.splitlines() if "books" in line]
        assert "DECLARED BY NO CONTEXT" in line
    assert "bad" in library("doctor", contexts="shop").stdout.partition("view books")[0].splitlines()[-1]


def test_a_changed_row_is_damage_also_with_a_parked_key(library, database_url):
    unreadable(database_url)
    change(database_url, "update views.books_s1_b1 set reader_id = 'eve'")

    assert [EXIT_FAILED, EXIT_FAILED, EXIT_OK] == [library(*audit).exit_code for audit in AUDITS]


def test_an_event_that_is_not_of_its_shape_is_damage_to_a_replay(library, database_url):
    unreadable(database_url)

    assert EXIT_FAILED == library("replay", "book-x").exit_code


@pytest.mark.parametrize("audit", [["audit", "verify"], ["views", "verify", "books"]], ids=" ".join)
def test_an_audit_ends_where_a_view_cannot_be_folded_to_its_end(audit, library, database_url):
    change(database_url, "update log.event set type = 'lending.book_lent.v9'")

    ended = library(*audit)
    assert ended.exit_code in {EXIT_FAILED, EXIT_INCOMPLETE}
    assert "lending.book_lent.v9, which this program does not know yet" in ended.output


@pytest.mark.parametrize("table", ["log.head", "log.installation"])
def test_a_log_without_its_head_or_its_installation_is_damaged(table, library, database_url):
    change(database_url, f"delete from {table}")

    ended = library("audit", "verify")
    assert (EXIT_FAILED, True) == (ended.exit_code, f"{table} has 0 rows instead of one" in ended.output)


@pytest.mark.parametrize("audit", AUDITS, ids=" ".join)
def test_an_audit_that_cannot_read_says_so(audit, tmp_path, library, postgres, database_url):
    empty = psycopg.conninfo.make_conninfo(postgres.url, dbname="template1")
    nowhere = "postgresql://nobody@127.0.0.1:1/nothing"

    assert [EXIT_NOT_EXAMINED] * 2 == [library(*audit, url=url).exit_code for url in (empty, nowhere)]
    change(database_url, "revoke select on all tables in schema log, views from counterfoil_reader")
    assert EXIT_NOT_EXAMINED == library(*audit).exit_code


@pytest.mark.parametrize(
    "wrong",
    [
        ["audit", "verifi"],
        ["audit", "verify", "--fulll"],
        ["views", "verify"],
        ["views", "verify", "bokos"],
        ["replay", "book-dune", "--as-of", "soon"],
        ["replay", "book-dune", "--as-of", "99"],
        ["replay", "book-dune", "--as-of", "9" * 5_000],
        ["replay", "book-none"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_64(wrong, library):
    assert EXIT_USAGE == library(*wrong).exit_code


def test_the_command_itself_ends_with_the_code_of_wrong_usage():
    done = forking.run([sys.executable, "-m", "counterfoil", "audit", "verifi"], timeout=300)

    assert EXIT_USAGE == done.returncode


def test_parked_keys_are_no_damage(library, database_url):
    unreadable(database_url)

    assert EXIT_PARKED == library("audit", "verify").exit_code
    assert EXIT_INCOMPLETE == library("audit", "verify", contexts="shop").exit_code


def test_the_table_of_the_pages_holds_every_code():
    page = (ROOT / "docs" / "operations.md").read_text()
    table = page.partition("### Exit codes of audits")[2].partition("\n## ")[0]

    codes = [int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)]
    assert [EXIT_OK, EXIT_FAILED, EXIT_PARKED, EXIT_INCOMPLETE, EXIT_NOT_EXAMINED, EXIT_USAGE] == codes
