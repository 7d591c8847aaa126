"""The how-to page does what it says: every block, in order, in one terminal, beside a whole shop."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.running import Up, last_json
from tests.architecture import hiding
from tests.documentation.pages import ROOT, Page

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

PAGE = ROOT / "docs" / "how-to" / "eventsourcing-application.md"
SHOWN_WITHIN_S = 30
END_OF_BLOCK = "--end of block--"
ANYTHING = "…"


class Terminal:
    """A shell in a directory: what one block exports or starts is there for the next."""

    def __init__(self, directory: Path) -> None:
        programs = directory / "bin"
        programs.mkdir()
        for name, arguments in {"counterfoil": "-m counterfoil", "python": ""}.items():
            program = programs / name
            program.write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n')
            program.chmod(0o755)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("COUNTERFOIL_")}
        path = f"{programs}:{os.environ['PATH']}"
        self._shell = subprocess.Popen(
            ["sh"],
            cwd=directory,
            env={**kept, "PATH": path, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def types(self, block: str) -> str:
        """What the commands of a block print."""
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        self._shell.stdin.write(f"{block}\necho '{END_OF_BLOCK}'\n")
        self._shell.stdin.flush()
        printed = []
        while (line := self._shell.stdout.readline()) != f"{END_OF_BLOCK}\n":
            assert line, "the shell has ended"
            printed.append(line)
        return "".join(printed)

    def close(self) -> None:
        """End the shell and what it has started."""
        os.killpg(self._shell.pid, signal.SIGTERM)
        self._shell.communicate(timeout=30)


@pytest.fixture
def up(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """A whole shop, which itself runs without the library."""
    without = tmp_path_factory.mktemp("without")
    up = Up(tmp_path / ".counterfoil", distributed=True, PYTHONPATH=hiding.python_path(without))
    try:
        yield up
    finally:
        up.stop()


@pytest.fixture
def terminal(up: Up, tmp_path: Path) -> Iterator[Terminal]:
    terminal = Terminal(tmp_path)
    try:
        yield terminal
    finally:
        terminal.close()


def test_the_page_takes_an_application_to_the_log_to_kafka_into_a_view_and_through_the_audit(
    up: Up, terminal: Terminal, tmp_path: Path
):
    blocks = Page(PAGE, PAGE.read_text()).blocks
    for (language, text), (following, expected) in zip(blocks, [*blocks[1:], ("", "")], strict=True):
        if language == "python":
            (tmp_path / text.partition("\n")[0].removeprefix("# ")).write_text(text)
        elif language == "sh" and "counterfoil up" not in text:
            shows(terminal, text, expected if following == "text" else "")

    status = last_json(up.run("status", "--json"))
    assert {0} == {each["lag_events"] for each in [*status["views"], *status["process_managers"]]}
    assert {None} == {each.get("stopped") for each in status["views"]}
    assert "bicycles" in {each["name"] for each in status["views"]}


def shows(terminal: Terminal, commands: str, expected: str) -> None:
    """The block prints what the page says; what only looks is asked again for a while."""
    wanted = re.escape(expected).replace(re.escape(f"{ANYTHING}\n"), "(?:.*\n)*")
    give_up = time.monotonic() + SHOWN_WITHIN_S
    while True:
        printed = terminal.types(commands)
        if re.fullmatch(wanted, printed):
            return
        if not commands.startswith("python show_") or time.monotonic() > give_up:
            pytest.fail(f"{commands}\nprinted\n{printed}\nnot\n{expected}")
        time.sleep(0.5)
