"""docs/architecture.md has its parts, and what it draws and lists follows from the declarations."""

import re
from pathlib import Path
from typing import Final

import pytest

from tests.documentation import generated
from tests.documentation.pages import ROOT

TEXT: Final = generated.PAGE.read_text()

HEADINGS: Final = (
    "Overview",
    "Components",
    "Data flow",
    "Operations",
    "Storage",
    "Integrations",
    "Security",
    "Critical paths",
    "Caching",
    "Scaling",
    "Decisions",
    "Key metrics",
)
_NAMED: Final = re.compile(r"`([a-z_]+(?:/[\w.-]*)+)`")


def test_the_page_has_every_part_in_its_order():
    assert list(HEADINGS) == re.findall(r"^## (.+)$", TEXT, re.MULTILINE)


def test_every_component_has_code_that_exists():
    section = TEXT.partition("\n## Components\n")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ") and "`" in line]

    assert all(_NAMED.search(row) for row in rows)
    assert [] == [path for path in _NAMED.findall(TEXT) if not (ROOT / path).exists()]


@pytest.mark.parametrize(
    "page", [generated.PAGE, generated.ACCESS, generated.SECURITY], ids=lambda page: page.stem
)
def test_generated_parts_follow_from_the_declarations(page: Path):
    text = page.read_text()

    assert text == generated.with_generated_parts(text), "python -m tests.documentation.generated"


@pytest.mark.parametrize(
    "part", ["order --> process_fulfilment", "| `POST /v1/orders` | synchronous | `fulfilment`"]
)
def test_a_part_that_differs_is_noticed(part: str):
    assert part in TEXT
    assert TEXT != generated.with_generated_parts(TEXT).replace(part, "")
