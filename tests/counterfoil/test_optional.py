"""The product without what production leaves out: everything starts, and what is missing is named."""

import subprocess
import sys
import typing

import pytest

from counterfoil.cli import main
from devservers import available
from examples.online_retail.formats import Format
from tests.architecture.source import LEFT_OUT, ROOT

WITHOUT = """
import sys
for package in {packages!r}:
    sys.modules[package] = None
from counterfoil.cli.main import main
sys.argv = ["counterfoil", *{arguments!r}]
main()
"""


def run(*arguments: str, cwd) -> subprocess.CompletedProcess[str]:
    program = WITHOUT.format(packages=LEFT_OUT, arguments=arguments)
    return subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        cwd=cwd,
        env={"COUNTERFOIL_HOME": str(cwd), "PYTHONPATH": str(ROOT)},
    )


@pytest.mark.parametrize("command", ["up", "demo", "import online-retail any.csv"])
def test_a_command_that_production_leaves_out_says_what_to_install(command: str, tmp_path):
    ended = run(*command.split(), cwd=tmp_path)

    assert 1 == ended.returncode
    assert "install counterfoil-devservers" in ended.stderr
    assert 1 == len(ended.stderr.splitlines())


def test_every_other_command_is_there(tmp_path):
    ended = run("--help", cwd=tmp_path)

    assert 0 == ended.returncode, ended.stderr
    assert {"command-api", "migrate", "doctor", "up"} <= set(ended.stdout.split())


def test_doctor_asks_for_an_address_where_nothing_can_be_started(tmp_path):
    ended = run("doctor", cwd=tmp_path)

    assert "no address: set COUNTERFOIL_DATABASE_URL" in ended.stdout


def test_doctor_names_the_program_that_would_be_started():
    found = available.would_start("postgres")

    assert found is not None
    assert found.origin


def test_the_command_line_knows_every_form_of_a_retail_file():
    assert tuple(Format) == typing.get_args(main.RetailFormat)


def test_the_image_holds_nothing_that_production_leaves_out():
    copied = {
        line.split()[1]
        for line in (ROOT / "deploy" / "Dockerfile").read_text().splitlines()
        if line.startswith("COPY ") and "--from" not in line
    }

    assert set() == copied & set(LEFT_OUT)
