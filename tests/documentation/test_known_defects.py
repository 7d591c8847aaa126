"""docs/known-defects.md: every row names tests that exist, and every thread stands in one row."""

import re
from collections import Counter
from typing import Final

from tests.counterfoil.context_tables import cells, places
from tests.documentation.pages import ROOT

SHOWN: Final = ("reported", "invariant", "test")
LEFT_OUT: Final = ("reported", "reason")


def page() -> str:
    return (ROOT / "docs/known-defects.md").read_text(encoding="utf-8")


def findings(text: str) -> list[str]:
    """What of the page is not so: a row without a test, a test that there is not, a thread in two rows."""
    shown = list(cells(text, SHOWN))
    found = [f"{row[0]}: it names no test" for row in shown if "`" not in row[2]]
    tests = [name for row in shown for name in re.findall(r"`([^`]+)`", row[2])]
    found += [f"{len(places(name))} tests have the name {name}" for name in tests if len(places(name)) != 1]
    threads = Counter(thread for row in (*shown, *cells(text, LEFT_OUT)) for thread in _threads(row[0]))
    return [*found, *(f"{thread} stands in {count} rows" for thread, count in threads.items() if count > 1)]


def _threads(reported: str) -> list[str]:
    """`vendure 868, 2302; spree 10874: …` are three threads."""
    found = []
    for part in reported.partition(": ")[0].split("; "):
        project, _, numbers = part.partition(" ")
        found += [f"{project} {number}" for number in re.findall(r"\d+", numbers)]
    return found


def test_every_defect_is_shown_by_tests_that_exist():
    assert [] == findings(page())


def test_a_row_without_a_test_or_with_one_that_there_is_not_is_found():
    table = "| reported | invariant | test |\n|---|---|---|\n"
    rows = (
        "| spree 1: a | b | |\n| spree 2, 3: a | b | `test_that_there_is_not` |\n"
        "| spree 3: a | b | `test_that_there_is_not` |\n"
    )

    assert [
        "spree 1: a: it names no test",
        "0 tests have the name test_that_there_is_not",
        "0 tests have the name test_that_there_is_not",
        "spree 3 stands in 2 rows",
    ] == findings(table + rows)
