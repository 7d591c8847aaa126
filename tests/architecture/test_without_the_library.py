"""Counterfoil starts without the `eventsourcing` library: only applications written with that need it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture import hiding
from tests.architecture.source import PACKAGES, ROOT

ADAPTER = {"event_store.eventsourcing_module"}
ADAPTER_PACKAGE = "event_store.eventsourcing"

IMPORT_ALL = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
assert not any(name.startswith("event_store.eventsourcing") for name in sys.modules)
"""


@pytest.fixture
def without_the_library(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": hiding.python_path(tmp_path)}


def modules() -> list[str]:
    found = [
        ".".join(source.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for package in PACKAGES
        for source in (ROOT / package).rglob("*.py")
        if source.name != "__main__.py"
    ]
    return [name for name in found if name not in ADAPTER and not name.startswith(ADAPTER_PACKAGE)]


def python(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_every_module_but_the_adapter_is_imported_without_the_library(without_the_library: dict[str, str]):
    done = python(without_the_library, "-c", IMPORT_ALL, *modules())

    assert (0, "") == (done.returncode, done.stderr)
    assert len(modules()) > 150


def test_the_adapter_is_what_needs_the_library(without_the_library: dict[str, str]):
    done = python(without_the_library, "-c", IMPORT_ALL, *ADAPTER)

    assert 1 == done.returncode
    assert "the eventsourcing library is hidden" in done.stderr
