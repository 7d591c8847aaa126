"""The sizes of what could go on for ever: the table of docs/testing.md is that of the code, and each is asked for."""

import re
from typing import Final

import pytest

from tests import sizes, soak
from tests.documentation.pages import ROOT
from tests.sizes import SIZES, Size

_ROW: Final = re.compile(r"^\| (.+?) \| ([\d,]+) \| ([\d,]+) \| `(.+?)` \|$", re.MULTILINE)


def test_the_table_of_sizes_is_that_of_the_code():
    page = (ROOT / "docs/testing.md").read_text()

    assert [(each.what, f"{each.gate:,}", f"{each.full:,}", each.where) for each in SIZES] == _ROW.findall(
        page
    )


@pytest.mark.parametrize("name", [name for name, each in vars(sizes).items() if isinstance(each, Size)])
def test_a_size_is_asked_for_by_the_file_that_its_row_names(name: str):
    size: Size = getattr(sizes, name)

    assert re.search(rf"\b{name}\.", (ROOT / size.where).read_text())


def test_no_full_size_is_below_that_of_the_gate():
    assert [] == [each.what for each in SIZES if each.full < each.gate]


def test_every_path_of_the_soak_exists():
    paths = {part for command in soak.PARTS.values() for part in command if part.startswith("tests/")}

    assert [] == sorted(path for path in paths if not (ROOT / path).exists())
