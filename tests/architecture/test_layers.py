"""Who may import whom: the contracts in pyproject.toml, checked on the product and on it with a planted breach."""

import copy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from grimp import ImportGraph
from importlinter import cli
from importlinter.application.app_config import settings

from tests.architecture.source import LEFT_OUT, PACKAGES, ROOT

BREACHES = {
    "the domain imports the event store": ("domain.money", "event_store.log.envelope"),
    "the domain imports the runtime": ("domain.money", "runtime.settings"),
    "the runtime imports the domain": ("runtime.settings", "domain.money"),
    "the event store imports a view": ("event_store.log.leaf", "projections.view"),
    "the projections import the query API": ("projections.view", "read_api.errors"),
    "the query API imports commands": ("read_api.errors", "commands.limits"),
    "the commands import the query API": ("commands.limits", "read_api.errors"),
    "the commands import counterfoil": ("commands.limits", "counterfoil.addresses"),
    "the product needs what production leaves out": ("counterfoil.status", "devservers.child"),
    "one context's events import another's": (
        "domain.catalogue.events",
        "domain.ordering.events",
    ),
    "one context's commands import another's": ("commands.catalogue", "commands.ordering"),
    "one context's folds import another's": (
        "projections.catalogue.folds",
        "projections.ordering.views",
    ),
    "one context's routes import another's": ("read_api.catalogue", "read_api.ordering"),
    "a reader of views folds": ("read_api.catalogue", "projections.replay"),
    "the query API imports the domain": ("read_api.errors", "domain.event"),
    "the query API imports a fold": ("read_api.errors", "projections.ordering.folds"),
    "a reader of views reads the log": ("read_api.errors", "event_store.log.reading"),
    "a route appends past the write path": (
        "commands.catalogue",
        "event_store.log.appending.writer",
    ),
    "a route calls the outside": ("commands.shipping", "commands.gateways.carrier"),
    "a process calls the outside": ("commands.processes.labels", "commands.gateways.labels"),
    "a fold calls the outside": ("projections.view", "httpx"),
    "the log needs its carrier": ("event_store.log.reading", "event_store.transport.relay"),
    "a signed note needs the log": ("event_store.proofs.note", "event_store.log.reading"),
    "a tree needs settings": ("event_store.proofs.merkle", "runtime.settings"),
    "the library leaves its adapter": ("event_store.log.reading", "eventsourcing"),
    "counterfoil needs the library": ("counterfoil.status", "eventsourcing"),
    "the log needs the library's adapter": (
        "event_store.log.reading",
        "event_store.eventsourcing.datastore",
    ),
}


class Planting:
    """Reads the imports of the product once; `importer` imports `imported` in addition."""

    def __init__(self, builder: Any) -> None:
        self._builder = builder
        self._read: ImportGraph | None = None
        self.importer = self.imported = ""

    def build(self, **options: Any) -> ImportGraph:
        """The graph, as the builder of the linter makes it."""
        if self._read is None:
            self._read = self._builder.build(**options)
        graph = copy.deepcopy(self._read)
        assert {self.importer, self.imported} <= graph.modules
        graph.add_import(importer=self.importer, imported=self.imported, line_number=1, line_contents="")
        return graph


@pytest.fixture(scope="module")
def planting() -> Iterator[Planting]:
    builder = settings.GRAPH_BUILDER
    planting = Planting(builder)
    settings.configure(GRAPH_BUILDER=planting)
    yield planting
    settings.configure(GRAPH_BUILDER=builder)


def test_every_import_keeps_the_contracts():
    checked = _lint(ROOT)

    assert 0 == checked.returncode, checked.stdout + checked.stderr


def test_an_import_that_breaks_a_contract_is_found_in_its_file(tmp_path: Path):
    for package in (*PACKAGES, *LEFT_OUT):
        for source in (ROOT / package).rglob("*.py"):
            target = tmp_path / source.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
    (tmp_path / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    with (tmp_path / "domain" / "money.py").open("a") as victim:
        victim.write("\nimport runtime.settings\n")

    checked = _lint(tmp_path)

    assert 1 == checked.returncode, checked.stdout + checked.stderr
    assert "domain.money -> runtime.settings" in checked.stdout


@pytest.mark.parametrize("breach", BREACHES)
def test_a_contract_breaks_when(
    breach: str, planting: Planting, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    # It would disable all loggers of this process.
    monkeypatch.setattr(cli.logging_config, "dictConfig", lambda _: None)
    planting.importer, planting.imported = BREACHES[breach]

    code = cli.lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True, no_logo=True)

    said = capsys.readouterr().out
    assert 1 == code, said
    assert f"{planting.importer} -> {planting.imported}" in said


def _lint(directory: Path) -> subprocess.CompletedProcess[str]:
    program = (
        "import sys; from importlinter.cli import lint_imports_command; sys.exit(lint_imports_command())"
    )
    return subprocess.run(
        [sys.executable, "-c", program, "--no-cache"],
        cwd=directory,
        capture_output=True,
        check=False,
        text=True,
        timeout=300,
    )
