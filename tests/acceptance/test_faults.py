"""Processes are killed in the middle of an import, each at least once, and the figures come out all the same."""

import subprocess

import psycopg
import pytest

from counterfoil import generating
from tests.acceptance import reference
from tests.acceptance.running import PROJECT, command, environment, last_json, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.faults, pytest.mark.timeout(420)]

ROLES = ("command-api", "query-api", "relay", "projections", "policies")
KILLED_WITHIN_S = 240


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """Large enough that its import outlasts one kill of every process."""
    path = tmp_path_factory.mktemp("files") / "online-retail.csv"
    generating.write_retail_file(path, seed=11, products=120, customers=400, orders=2_500)
    return path


def importing(shop, file):
    """The import as a process of its own, its output in files."""
    output = (shop.home.parent / "import.out").open("wb")
    errors = (shop.home.parent / "import.err").open("wb")
    with output, errors:
        return subprocess.Popen(
            command("import", "online-retail", file, "--json"),
            env=environment(shop.home),
            cwd=PROJECT,
            stdout=output,
            stderr=errors,
        )


def position_of(shop):
    status = shop.run("status", "--json")
    return last_json(status)["log"]["position"] if status.returncode == 0 else 0


def check(shop, file):
    """The figures of a run that went through, and the proof of log and views."""
    printed = last_json(shop.run("import", "online-retail", file, "--json", timeout_s=200))
    assert printed["events"] == 0, "a finished import changes nothing when it is run again"
    verified = shop.run("audit", "verify", "--json")
    report = last_json(verified)

    assert (verified.returncode, report["findings"]) == (0, [])
    assert [view["name"] for view in report["views"] if not view["matches"]] == []


def damage(shop, statement):
    """Change a row as the superuser, whom no grant stops; the position that the statement returns."""
    with psycopg.connect(shop.state["addresses"]["database_url"], autocommit=True) as admin:
        row = admin.execute(statement).fetchone()
    assert row is not None, "the statement changed nothing"
    return row[0]


@pytest.mark.parametrize("distributed", [False, True], ids=["standalone", "distributed"])
def test_every_process_is_killed_once_and_the_figures_are_exact(shops, file, distributed):
    shop = shops(distributed=distributed)
    servers = ("postgres", "redis", *(["kafka"] if distributed else []))
    process = importing(shop, file)
    try:
        for name in (*ROLES, *servers):
            before = position_of(shop)
            wait_until(lambda before=before: position_of(shop) > before, within_s=60, what="the import moves")
            assert process.poll() is None, f"the import ended before {name} was killed"
            shop.wait_for_another(name, than=shop.kill(name))
        assert process.wait(KILLED_WITHIN_S) == 0, (shop.home.parent / "import.err").read_text()[-3000:]
    finally:
        process.kill()
        process.wait()
    expected, _ = reference.figures(file)
    output = (shop.home.parent / "import.out").read_text()
    printed = last_json(subprocess.CompletedProcess([], 0, output, ""))

    assert {name: printed[name] for name in expected} == expected
    check(shop, file)


def test_an_import_that_is_killed_again_and_again_doubles_nothing(shops, file):
    shop = shops()
    for share in (0.1, 0.3, 0.6):
        process = importing(shop, file)
        wait_until(
            lambda share=share: position_of(shop) > share * 20_000, within_s=60, what=f"{share:.0%} are sent"
        )
        process.kill()
        process.wait()
    finished = shop.run("import", "online-retail", file, "--json", timeout_s=200)
    printed = last_json(finished)
    expected, _ = reference.figures(file)

    assert finished.returncode == 0
    assert {name: printed[name] for name in expected} == expected
    check(shop, file)


def test_a_row_changed_behind_the_back_is_named_by_position_and_cause(shops, small_file):
    shop = shops()
    shop.run("import", "online-retail", small_file, "--json", timeout_s=200)
    position = damage(
        shop,
        "update log.event set payload = replace(payload::text, '\"quantity\":1,', '\"quantity\":7,')::json"
        " where position = (select min(position) from log.event"
        " where type = 'ordering.order_placed.v1' and payload::text like '%\"quantity\":1,%') returning position",
    )
    finished = shop.run("audit", "verify", "--json")
    report = last_json(finished)

    assert (finished.returncode, report["ok"]) == (1, False)
    assert next((finding["position"], finding["kind"]) for finding in report["findings"]) == (
        position,
        "leaf-mismatch",
    )
    assert "payload" in report["findings"][0]["message"]


def test_a_view_row_changed_behind_the_back_is_named_with_its_view(shops, small_file):
    shop = shops()
    shop.run("import", "online-retail", small_file, "--json", timeout_s=200)
    damage(
        shop,
        "update views.stock_level_s1_b1 set on_hand = on_hand + 1 where sku like '20000%' returning position",
    )
    finished = shop.run("audit", "verify", "--json")
    report = last_json(finished)

    assert finished.returncode == 1
    assert [view["name"] for view in report["views"] if not view["matches"]] == ["stock_level"]
    assert "20000" in report["findings"][0]["message"]
