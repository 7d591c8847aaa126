import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from benchmarks import measuring, page, table
from benchmarks.table import Goal, Row

ROW = Row(name="append", case="64 callers", unit="appends/s", ours=140.0)


def test_ratios_are_ours_over_the_other():
    measured = replace(ROW, limit=100.0, peer=10.0)

    assert (1.4, 14.0) == (measured.ratio_to_limit, measured.ratio_to_peer)


def test_what_could_not_be_had_has_no_ratio_and_reaches_no_goal():
    measured = replace(ROW, limit_name="absent", goals=(Goal("ratio_to_limit", at_least=1.4),))

    assert (None, False) == (measured.ratio_to_limit, measured.reached)


@pytest.mark.parametrize(
    ("goal", "reached"),
    [
        (Goal("ours", at_least=140), True),
        (Goal("ours", at_least=141), False),
        (Goal("ours", at_most=140), True),
        (Goal("ours", at_most=139), False),
    ],
)
def test_a_goal_is_reached_at_its_bound_and_not_beyond(goal: Goal, *, reached: bool):
    assert reached == replace(ROW, goals=(goal,)).reached


def test_contestants_alternate_and_the_middle_round_counts():
    asked: list[str] = []
    figures = {"ours": iter([3.0, 1.0, 2.0]), "limit": iter([9.0, 9.0, 8.0])}

    def measure(name: str) -> float:
        asked.append(name)
        return next(figures[name])

    found = measuring.alternating(
        {"ours": lambda: measure("ours"), "limit": lambda: measure("limit")}, rounds=3
    )

    assert {"ours": 2.0, "limit": 9.0} == found
    assert ["ours", "limit"] * 3 == asked


def test_a_row_is_one_line_of_json():
    text = table.as_json(replace(ROW, limit=100.0, limit_name="pgbench"), machine="2 cores")

    assert 1 == len(text.splitlines())
    assert 1.4 == json.loads(text)["ratio_to_limit"]


def test_the_page_keeps_what_people_wrote_around_the_figures(tmp_path: Path):
    file = tmp_path / "benchmarks.md"
    file.write_text(f"before\n{page.BEGIN}\nold\n{page.END}\nafter\n")

    page.write(file, [replace(ROW, note="p50 3 ms")], {"Postgres": "18.4"})

    text = file.read_text()
    assert text.startswith("before\n")
    assert text.endswith(f"{page.END}\nafter\n")
    assert "old" not in text
    assert "| append | 64 callers |" in text
