"""Contexts that a setting or an entry point names, and packages that have the names of ours."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from counterfoil import declared, runfile
from counterfoil.contexts import SHOP_CONTEXTS
from counterfoil.declared import ContextsError
from counterfoil.runfile import Addresses, Running
from runtime.settings import Settings
from tests.architecture.source import ROOT

LENDING = "tests.counterfoil.lending:LENDING"
SHOP = [context.name for context in SHOP_CONTEXTS]


def names(setting: str | None) -> list[str]:
    """The contexts that a setting leads to."""
    return [context.name for context in declared.contexts(Settings(contexts=setting))]


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        (None, [*SHOP, "operations", "security"]),
        (LENDING, ["lending", "operations", "security"]),
        (f"shop, {LENDING}", [*SHOP, "lending", "operations", "security"]),
        ("counterfoil.contexts:CATALOGUE", ["catalogue", "operations", "security"]),
    ],
)
def test_a_setting_names_contexts_instead_of_the_shops_and_operations_are_always_there(
    setting: str | None, expected: list[str]
):
    assert expected == names(setting)


def test_an_entry_point_is_a_context_that_is_there_by_itself_or_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    installed = tmp_path / "lending_library-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: lending-library\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text(f"[{declared.GROUP}]\nlibrary = {LENDING}\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    assert [*SHOP, "lending", "operations", "security"] == names(None)
    assert ["lending", "operations", "security"] == names("library")
    assert [*SHOP, "operations", "security"] == names("shop")


def test_a_command_without_a_setting_takes_that_of_what_runs_in_its_home(tmp_path: Path):
    running = Running(
        pid=1,
        mode="standalone",
        started_at="",
        addresses=Addresses(),
        processes={},
        servers={},
        contexts=LENDING,
    )
    with runfile.locked(tmp_path):
        runfile.write(tmp_path, running)
        found = [
            [context.name for context in declared.contexts(Settings(home=tmp_path, contexts=setting))]
            for setting in (None, "shop")
        ]

    assert [["lending", "operations", "security"], [*SHOP, "operations", "security"]] == found


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ("library", "'library' is neither package.module:NAME nor one of shop"),
        ("no_such_place.context:IT", "there is no module 'no_such_place' on Python's path or in "),
        (
            "tests.counterfoil.lending:NOTHING",
            "module 'tests.counterfoil.lending' has no 'NOTHING'",
        ),
        ("tests.counterfoil.lending:BOOK", "is a Aggregate, not a Context"),
        (f"{LENDING},{LENDING}", "the context 'lending' is declared twice"),
        (
            "domain.lending.context:LENDING",
            f"'domain' is a package of Counterfoil ({ROOT}/domain/__init__.py)",
        ),
    ],
)
def test_what_cannot_be_had_is_said(setting: str, complaint: str):
    with pytest.raises(ContextsError) as refused:
        names(setting)

    assert complaint in str(refused.value)


def counterfoil(directory: Path, *arguments: str, **environment: str) -> tuple[int, str]:
    """Exit code and standard error of the command, run as a module in a directory."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("COUNTERFOIL_")}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=directory,
        env={**kept, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize("name", ["domain", "runtime"])
def test_a_callers_package_with_the_name_of_one_of_ours_is_refused_with_both_files(name: str, tmp_path: Path):
    theirs = tmp_path / name / "__init__.py"
    theirs.parent.mkdir()
    theirs.touch()

    code, message = counterfoil(tmp_path, "-m", "counterfoil", "config", "show")

    assert (78, 1) == (code, len(message.splitlines())), message
    assert f"{theirs} would be imported in place of {ROOT / name / '__init__.py'}" in message


def test_a_context_that_imports_a_package_of_the_callers_which_ours_hides_is_refused_with_both_files(
    tmp_path: Path,
):
    theirs = tmp_path / "domain" / "__init__.py"
    theirs.parent.mkdir()
    theirs.touch()
    (tmp_path / "library.py").write_text("from domain.books import Book\n")

    code, message = counterfoil(
        tmp_path, "-P", "-m", "counterfoil", "up", COUNTERFOIL_CONTEXTS="library:LENDING"
    )

    assert (78, 1) == (code, len(message.splitlines())), message
    assert f"{theirs} is not imported, since {ROOT}/domain/__init__.py has the same name" in message
