"""The page about security: every test that it names exists, and no check of the table lacks one."""

import ast
import functools
import re
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")

_NAMED = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
_ROW = re.compile(r"^\| ([0-9.]+(?:, [0-9.]+)*) \|(.*)$", re.MULTILINE)


@functools.cache
def _tests_of(path: Path) -> set[str]:
    """The tests of a file, by the names that their functions have."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return {each.name for each in functions if each.name.startswith("test_")}


@pytest.mark.parametrize(("file", "name"), sorted(set(_NAMED.findall(PAGE))))
def test_a_test_that_the_page_names_exists(file: str, name: str):
    assert name in _tests_of(ROOT / file)


def test_every_row_of_the_table_names_a_test_or_says_that_there_is_none():
    rows = _ROW.findall(PAGE)

    assert len(rows) > 20
    assert [] == [items for items, rest in rows if not _NAMED.search(rest) and "not covered" not in rest]
