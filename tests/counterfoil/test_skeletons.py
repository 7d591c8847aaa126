"""`counterfoil context new`: what it writes works as it is, and it overwrites nothing."""

import os
import subprocess
import sys

import pytest

from counterfoil import declared, skeletons
from counterfoil.context import Context
from counterfoil.skeletons import NotGenerated
from runtime.settings import Settings
from tests import forking
from tests.architecture.source import PACKAGES, ROOT, Source
from tests.counterfoil.test_api import foreign_imports

PASSED = 8
CHECKED = ROOT / ".mypy_cache" / "skeletons"
"""What mypy found in the product that generated packages import: without it, each run would go through all of it."""
TYPED = f"""
[mypy]
strict = true
[mypy-{",".join(f"{package}.*" for package in PACKAGES)}]
ignore_errors = true
"""
"""As if the product were installed: its own functions are checked elsewhere (tests/architecture/test_tools.py)."""


def run(directory, *command, **environment):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("COUNTERFOIL_")}
    return subprocess.run(
        [sys.executable, *command],
        cwd=directory,
        env={**kept, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )


def test_what_is_generated_passes_its_tests_its_types_and_its_style_and_imports_what_is_public(
    tmp_path, postgres
):
    written = forking.run([sys.executable, "-m", "counterfoil", "context", "new", "seed_bank"], cwd=tmp_path)
    project = tmp_path / "seed_bank"
    tested = run(
        project, "-m", "pytest", "-q", "-p", "no:cacheprovider", COUNTERFOIL_DATABASE_URL=postgres.url
    )
    (tmp_path / "mypy.ini").write_text(TYPED)
    asked = ("--config-file", str(tmp_path / "mypy.ini"), "--cache-dir", str(CHECKED))
    typed = run(project, "-m", "mypy", *asked, "seed_bank", MYPYPATH=str(ROOT))
    styled = run(
        project, "-m", "ruff", "check", "--isolated", "--select", "E,F,I,B", "--line-length", "120", "."
    )

    assert 0 == written.returncode, written.stderr
    assert f"{PASSED} passed" in tested.stdout, tested.stdout + tested.stderr
    assert 0 == typed.returncode, typed.stdout
    assert 0 == styled.returncode, styled.stdout
    for path in project.rglob("*.py"):
        assert [] == [
            name
            for name in foreign_imports(Source(path.name, path.read_text()))
            if not f"{name}.".startswith("counterfoil.testing.")
        ]


def test_its_context_is_complete(tmp_path, monkeypatch):
    skeletons.generate("tool_shed", into=tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path / "tool_shed"))

    [context, *_of_every_installation] = declared.contexts(Settings(contexts="tool_shed.context:TOOL_SHED"))

    assert isinstance(context, Context)
    assert {event for view in context.views for event in view.folds} == set(context.events)


@pytest.mark.parametrize("name", ["domain", "json", "class", "Lending", "a-b", "_x", "", "x" * 21, "tests"])
def test_a_name_that_cannot_be_one_or_is_taken_is_refused(name, tmp_path):
    with pytest.raises(NotGenerated):
        skeletons.generate(name, into=tmp_path)

    assert [] == list(tmp_path.iterdir())


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "lending").mkdir()

    with pytest.raises(NotGenerated, match="exists: nothing was written"):
        skeletons.generate("lending", into=tmp_path)

    assert [] == list((tmp_path / "lending").iterdir())
