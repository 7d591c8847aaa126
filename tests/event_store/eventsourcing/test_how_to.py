"""The how-to page does what it says: every block, in order, in one terminal, while a whole shop runs."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import forked_programs
from tests.acceptance.running import Up, last_json
from tests.architecture import hiding
from tests.documentation.pages import ROOT, Page
from tests.documentation.terminal import Terminal

pytestmark = pytest.mark.slow

PAGE = ROOT / "docs" / "how-to" / "eventsourcing-application.md"


@pytest.fixture
def up(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, kafka: str) -> Iterator[Up]:
    """A whole shop on the Kafka of this run, which itself runs without the library."""
    without = {"PYTHONPATH": hiding.python_path(tmp_path_factory.mktemp("without"))}
    up = Up(tmp_path / ".counterfoil", distributed=True, COUNTERFOIL_KAFKA_BOOTSTRAP=kafka, **without)
    try:
        yield up
    finally:
        up.stop()


@pytest.fixture
def terminal(up: Up, tmp_path: Path) -> Iterator[Terminal]:
    programs = tmp_path / "bin"
    programs.mkdir()
    forked_programs.write(programs / "python", sys.executable)
    with forked_programs.written(programs / "counterfoil", module="counterfoil", address=tmp_path / "asked"):
        terminal = Terminal(tmp_path, {"PYTHONPATH": str(ROOT)}, programs=programs)
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
            reads = text.startswith("python show_")
            terminal.shows(text, expected if following == "text" else "", reads=reads)

    status = last_json(up.run("status", "--json"))
    assert {0} == {each["lag_events"] for each in [*status["views"], *status["process_managers"]]}
    assert {None} == {each.get("stopped") for each in status["views"]}
    assert "bicycles" in {each["name"] for each in status["views"]}
