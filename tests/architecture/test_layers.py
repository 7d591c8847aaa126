"""Who may import whom: the contracts in pyproject.toml, checked on the product and on copies with a planted breach."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.source import LEFT_OUT, PACKAGES, ROOT

BREACHES = {
    "the domain imports the event store": ("domain/money.py", "import event_store.log.envelope"),
    "the domain imports the runtime": ("domain/money.py", "import runtime.settings"),
    "the runtime imports the domain": ("runtime/settings.py", "import domain.money"),
    "the event store imports a view": ("event_store/log/leaf.py", "import projections.view"),
    "the projections import the query API": ("projections/view.py", "import read_api.errors"),
    "the query API imports commands": ("read_api/errors.py", "import commands.limits"),
    "the commands import the query API": ("commands/limits.py", "import read_api.errors"),
    "the commands import counterfoil": ("commands/limits.py", "import counterfoil.addresses"),
    "the product needs what production leaves out": ("counterfoil/status.py", "import devservers.child"),
    "one context's events import another's": (
        "domain/catalogue/events.py",
        "import domain.ordering.events",
    ),
    "one context's commands import another's": ("commands/catalogue.py", "import commands.ordering"),
    "one context's folds import another's": (
        "projections/catalogue/folds.py",
        "import projections.ordering.views",
    ),
    "one context's routes import another's": ("read_api/catalogue.py", "import read_api.ordering"),
    "a reader of views folds": ("read_api/catalogue.py", "import projections.replay"),
    "the query API imports the domain": ("read_api/errors.py", "import domain.event"),
    "the query API imports a fold": ("read_api/errors.py", "import projections.ordering.folds"),
    "a reader of views reads the log": ("read_api/errors.py", "import event_store.log.reading"),
    "a route appends past the write path": (
        "commands/catalogue.py",
        "import event_store.log.appending.writer",
    ),
    "a route calls the outside": ("commands/shipping.py", "import commands.gateways.carrier"),
    "a process calls the outside": ("commands/processes/labels.py", "import commands.gateways.labels"),
    "a fold calls the outside": ("projections/view.py", "import httpx"),
    "the log needs its carrier": ("event_store/log/reading.py", "import event_store.transport.relay"),
    "a signed note needs the log": ("event_store/proofs/note.py", "import event_store.log.reading"),
    "a tree needs settings": ("event_store/proofs/merkle.py", "import runtime.settings"),
    "the library leaves its adapter": ("event_store/log/reading.py", "import eventsourcing"),
    "counterfoil needs the library": ("counterfoil/status.py", "import eventsourcing"),
    "the log needs the library's adapter": (
        "event_store/log/reading.py",
        "import event_store.eventsourcing.datastore",
    ),
}


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The product's packages and contracts in a place of their own."""
    copy = tmp_path_factory.mktemp("copied")
    for package in (*PACKAGES, *LEFT_OUT):
        for source in (ROOT / package).rglob("*.py"):
            target = copy / source.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
    (copy / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    return copy


def test_every_import_keeps_the_contracts():
    checked = _lint(ROOT)

    assert 0 == checked.returncode, checked.stdout + checked.stderr


@pytest.mark.parametrize("breach", BREACHES)
def test_a_contract_breaks_when(breach: str, copied: Path):
    path, statement = BREACHES[breach]
    victim = copied / path
    text = victim.read_text()
    victim.write_text(f"{text}\n{statement}\n")

    checked = _lint(copied)
    victim.write_text(text)

    assert 1 == checked.returncode, checked.stdout + checked.stderr
    importer = path.removesuffix(".py").replace("/", ".")
    imported = statement.removeprefix("import ")
    assert f"{importer} -> {imported}" in checked.stdout


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
