"""Processes are killed in the middle of an import, each at least once, and the figures come out all the same."""

import contextlib
import subprocess

import psycopg
import pytest

from counterfoil.cli.answering import EXIT_INCOMPLETE
from examples.online_retail import generating
from tests import forking
from tests.acceptance import reference
from tests.acceptance.running import PROJECT, command, environment, last_json, wait_until
from tests.sizes import IMPORTED_UNDER_KILLS

pytestmark = [pytest.mark.slow, pytest.mark.faults]

VICTIMS = (
    "command-api",
    "postgres",
    "relay",
    "kafka",
    "projections",
    "redis",
    "processes",
    "query-api",
)
EVENTS_BETWEEN_KILLS = 200
FINISHED_WITHIN_S = 600


def generated(path, *, orders):
    """A file of the shop's products and customers, with invoices of its own."""
    generating.write_retail_file(path, seed=7, products=40, customers=60, orders=orders)
    path.write_text(path.read_text().replace("\n5", "\n6").replace("\nC5", "\nC6").replace("\n7", "\n4"))
    return path


def importing(shop, file):
    """The import as a process of its own, its output in files."""
    output = (shop.home.parent / "import.out").open("wb")
    errors = (shop.home.parent / "import.err").open("wb")
    with output, errors:
        return forking.popen(
            command("import", "online-retail", file, "--json"),
            env=environment(shop.home),
            cwd=PROJECT,
            stdout=output,
            stderr=errors,
        )


def head(shop):
    """The head of the log; 0 while Postgres is not there."""
    try:
        with psycopg.connect(shop.state["addresses"]["database_url"], connect_timeout=2) as connection:
            row = connection.execute("select position from log.head").fetchone()
    except psycopg.OperationalError:
        return 0
    return row[0] if row else 0


def checked(shop, file, printed, *, after):
    """The figures are those of plain arithmetic, and log and views verify."""
    expected, _ = reference.figures(file, after=after)
    verified = shop.run("audit", "verify", "--json")
    report = last_json(verified)

    assert {name: printed[name] for name in expected} == expected
    assert (verified.returncode, report["findings"]) == (0, [])
    assert [view["name"] for view in report["views"] if not view["matches"]] == []


def test_every_process_and_server_is_killed_in_an_import_and_the_figures_are_exact(
    sold_distributed, small_file, tmp_path
):
    shop, _ = sold_distributed
    file = generated(tmp_path / "retail.csv", orders=IMPORTED_UNDER_KILLS.chosen)
    process = importing(shop, file)
    killed = {}
    try:
        for name in VICTIMS:
            reached = head(shop) + EVENTS_BETWEEN_KILLS
            wait_until(lambda reached=reached: head(shop) > reached, within_s=240, what="the import moves")
            assert process.poll() is None, f"the import ended before {name} was killed"
            killed[name] = shop.kill(name)
        for name, pid in killed.items():
            shop.wait_for_another(name, than=pid)
        assert process.wait(FINISHED_WITHIN_S) == EXIT_INCOMPLETE, (
            shop.home.parent / "import.err"
        ).read_text()[-3000:]
    finally:
        process.kill()
        process.wait()
    output = (shop.home.parent / "import.out").read_text()

    checked(shop, file, last_json(subprocess.CompletedProcess([], 0, output, "")), after=small_file)


def test_an_import_that_is_killed_again_and_again_doubles_nothing(sold, small_file, tmp_path):
    shop, _ = sold
    file = generated(tmp_path / "retail.csv", orders=400)
    begun = head(shop)
    for events in (200, 800, 2_000):
        process = importing(shop, file)
        wait_until(lambda events=events: head(shop) > begun + events, within_s=240, what=f"{events} events")
        process.kill()
        process.wait()
    finished = shop.run("import", "online-retail", file, "--json", timeout_s=600)

    assert finished.returncode == EXIT_INCOMPLETE, finished.stderr[-3000:]
    assert "continuing an unfinished import of this file" in finished.stderr
    checked(shop, file, last_json(finished), after=small_file)


@contextlib.contextmanager
def damage(shop, do, undo):
    """A shop that others use, too, with something changed that is undone whatever the test comes to."""
    row = changed(shop, do)
    try:
        yield row
    finally:
        changed(shop, undo)


def changed(shop, statement):
    """Change a row as the superuser, whom no grant stops; what the statement returns."""
    with psycopg.connect(shop.state["addresses"]["database_url"], autocommit=True) as admin:
        row = admin.execute(statement).fetchone()
    assert row is not None, "the statement changed nothing"
    return row


def test_a_row_of_the_log_changed_behind_the_back_is_named_by_position_and_cause(sold):
    shop, _ = sold
    position, was = changed(
        shop,
        "select position, payload::text from log.event where type = 'ordering.order_placed.v3'"
        " and payload::text like '%\"quantity\":1,%' order by position limit 1",
    )
    forged = was.replace('"quantity":1,', '"quantity":7,')
    update = "update log.event set payload = $json${}$json$::json where position = {} returning position"
    with damage(shop, update.format(forged, position), update.format(was, position)):
        finished = shop.run("audit", "verify", "--json")
    report = last_json(finished)

    assert (finished.returncode, report["ok"]) == (1, False)
    assert (position, "leaf-mismatch") == (report["findings"][0]["position"], report["findings"][0]["kind"])
    assert (
        "payload was changed since a view was made of it: view order_details"
        in report["findings"][0]["message"]
    )
    assert shop.run("audit", "verify").returncode == 0


def test_a_row_of_a_view_changed_behind_the_back_is_named_with_its_view(sold):
    shop, _ = sold
    update = "update views.stock_level_s1_b1 set on_hand = on_hand + {} where sku like '20000%' returning sku"
    with damage(shop, update.format(1), update.format(-1)) as (sku,):
        finished = shop.run("audit", "verify", "--json")
    report = last_json(finished)

    assert finished.returncode == 1
    assert [view["name"] for view in report["views"] if not view["matches"]] == ["stock_level"]
    assert f"view stock_level, key {sku}: on_hand is" in report["findings"][0]["message"]
