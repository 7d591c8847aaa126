"""The tutorial of the README and the examples of the pages do what they say, on a shop of their own."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from counterfoil.contexts import CONTEXTS
from tests import forked_programs
from tests.acceptance.running import Up
from tests.documentation.pages import ROOT, Page

pytestmark = pytest.mark.slow

BLOCK_S_MAX = 400
CHANGED_ROW = ROOT / "docs" / "how-to" / "changed-row.md"


class Reader:
    """Somebody who types the tutorial into a terminal."""

    def __init__(self, directory: Path, up: Up) -> None:
        self._directory = directory
        programs = directory / "bin"
        tools = ROOT / "tests" / "documentation"
        forked_programs.write(programs / "python", sys.executable)
        settled = [sys.executable, "-I", "-S", tools / "settled.py", up.state["addresses"]["query_api"]]
        forked_programs.write(programs / "settled", *settled)
        if shutil.which("curl") is None:
            forked_programs.write(programs / "curl", sys.executable, tools / "curl.py")
        kept = {name: value for name, value in os.environ.items() if not name.startswith("COUNTERFOIL_")}
        self._environment = {
            **kept,
            "PATH": f"{programs}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "no_proxy": "localhost,127.0.0.1",
        }
        addresses = up.state["addresses"]
        self._ports = {
            "localhost:8080": addresses["command_api"].removeprefix("http://"),
            "localhost:8081": addresses["query_api"].removeprefix("http://"),
        }

    def types(self, block: str) -> tuple[int, str]:
        """The exit code of the last command, and what all of them printed."""
        for written, real in self._ports.items():
            block = block.replace(written, real)
        done = subprocess.run(
            ["sh", "-c", block.replace(". .venv/bin/activate\n", "")],
            cwd=self._directory,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=BLOCK_S_MAX,
            check=False,
        )
        return done.returncode, done.stdout

    def finds(self, block: str, *expected: str) -> str:
        """Type what only reads, or does the same under the same keys, until it prints all that is expected."""
        give_up = time.monotonic() + BLOCK_S_MAX
        while not all(each in (printed := self.types(block)[1]) for each in expected):
            assert time.monotonic() < give_up, printed
        return printed

    @contextlib.contextmanager
    def going_on(self, block: str) -> Iterator[None]:
        """What the block starts runs meanwhile."""
        typed = block.replace(". .venv/bin/activate\n", "").replace("\ncounterfoil", "\nexec counterfoil")
        with subprocess.Popen(
            ["sh", "-c", typed],
            cwd=self._directory,
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as started:
            try:
                yield
            finally:
                started.terminate()


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    programs = tmp_path / "bin"
    programs.mkdir()
    with forked_programs.written(programs / "counterfoil", module="counterfoil", address=tmp_path / "asked"):
        up = Up(tmp_path / ".counterfoil")
        try:
            yield Reader(tmp_path, up)
        finally:
            up.stop()


def tutorial() -> list[str]:
    """The shell blocks of the tutorial, without the one that `Up` stands for."""
    text = (ROOT / "README.md").read_text()
    section = re.search(r"^## Five minutes.*?(?=^## When not)", text, re.MULTILINE | re.DOTALL)
    assert section is not None
    start, *blocks = [
        text for language, text in Page(ROOT / "README.md", section.group()).blocks if language == "sh"
    ]
    assert "counterfoil up" in start
    return blocks


def test_the_tutorial_breaks_a_view_and_repairs_it_by_replay(reader: Reader):
    sell, again, read_back, break_it, verify, repair, past, buy, forget = tutorial()

    _, sold = reader.types(sell)
    assert 3 == sold.count('"version":1')

    _, repeated = reader.types(again)
    assert "idempotent-replayed: true" in repeated

    reader.finds(read_back, '"status":"confirmed"', '"available":98', "inventory.stock_reserved.v1")

    assert '"on_hand_total":1000000' in reader.types(break_it)[1]

    code, verdict = reader.types(verify)
    assert (1, True) == (code, "on_hand is 1000000, not 100" in verdict)

    code, repaired = reader.types(f"set -e\n{repair}")
    assert (0, True) == (code, "everything is in order" in repaired)
    reader.finds("curl -s localhost:8081/v1/totals", '"on_hand_total":100}')

    assert '"available":100' in reader.types(past)[1]

    forgets_a_customer(reader, buy, forget)
    find_a_row_that_was_changed_with_its_leaf(reader)


def forgets_a_customer(reader: Reader, buy: str, forget: str) -> None:
    """Contact data of an order is shown, until its customer is erased."""
    bought = reader.finds(buy, '"text":"Ada Lovelace"')
    replayed = bought[bought.index("customers.customer") :]
    assert "Lovelace" not in replayed

    forgotten = reader.finds(forget, '"shown":"erased"')
    assert "Lovelace" not in forgotten
    assert "everything is in order" in forgotten


def find_a_row_that_was_changed_with_its_leaf(reader: Reader) -> None:
    """The page that goes on in the shop of the tutorial."""
    page = Page(CHANGED_ROW, CHANGED_ROW.read_text())
    key, seal, keep, change, against, case = [text for language, text in page.blocks if language == "sh"]
    shown = [text for language, text in page.blocks if language == "text"]

    assert 0 == reader.types(key)[0]
    with reader.going_on(seal):
        sealed = "sed -n 2p kept.checkpoint | grep -qx '[1-9][0-9]*'"
        code, printed = reader.types(f"until {keep.strip()} && {sealed}; do sleep 0.3; done")
        assert 0 == code, printed

        code, verified = reader.types(change)
        assert (0, True) == (code, "account:mallory" in verified)
        assert "everything is in order" in verified

    for commands, expected in zip((against, case), shown, strict=True):
        code, printed = reader.types(commands)
        assert 1 == code, printed
        position = re.search(r"DAMAGE at (\d+)", printed)
        assert position, printed
        assert expected.splitlines()[-1].replace("at 3", f"at {position[1]}") in printed


def test_the_examples_of_the_pages_are_accepted(reader: Reader):
    pages = [
        "contexts/catalogue.md",
        "contexts/pricing.md",
        "contexts/inventory.md",
        "contexts/ordering.md",
        "contexts/mail.md",
        "contexts/shipping.md",
        "contexts/payments.md",
        "contexts/customers.md",
        "contexts/cart.md",
        "contexts/operations.md",
        "http-api.md",
    ]
    with_examples = {
        f"contexts/{context.name}.md" for context in CONTEXTS if context.commands is not None
    }  # in an order in which they build on each other
    assert with_examples == {*pages} - {"http-api.md"}
    for name in pages:
        page = Page(ROOT / "docs" / name, (ROOT / "docs" / name).read_text())
        for block in (text for language, text in page.blocks if language == "sh"):
            patient = block.replace("\ncurl ", "\nsettled\ncurl ")  # by process managers and views

            code, printed = reader.types(f"settled\n{patient}")

            assert (0, False) == (code, "/problems/" in printed), printed
