"""Style, format and types are checked by the run that checks everything else."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.source import ROOT

TOOL_S_MAX = 800


def test_the_style_is_kept():
    checked = _run("ruff", "check", ".")

    assert 0 == checked.returncode, checked.stdout


def test_the_format_is_kept():
    checked = _run("ruff", "format", "--check", ".")

    assert 0 == checked.returncode, checked.stdout


@pytest.mark.slow
def test_the_product_is_typed_strictly():
    checked = _run("mypy")

    assert 0 == checked.returncode, checked.stdout


@pytest.mark.parametrize(
    ("tool", "text"),
    [
        (("ruff", "check"), "import os\n"),
        (("ruff", "format", "--check"), "x = { 'a':1 }\n"),
        (("mypy",), "def untyped(x): return x\n"),
    ],
)
def test_a_planted_fault_is_found(tool: tuple[str, ...], text: str, tmp_path: Path):
    planted = tmp_path / "planted.py"
    planted.write_text(text)

    checked = _run(
        *tool, "--config-file" if tool[0] == "mypy" else "--config", "pyproject.toml", str(planted)
    )

    assert 1 == checked.returncode, checked.stdout + checked.stderr


def _run(tool: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", tool, *arguments],
        cwd=ROOT,
        capture_output=True,
        check=False,
        text=True,
        timeout=TOOL_S_MAX,
    )
