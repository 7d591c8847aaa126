import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from benchmarks import comparing, page, table
from benchmarks.comparing import UnfitBaseline
from benchmarks.table import Row
from tests import forking
from tests.architecture.source import ROOT

MACHINE = "2 cores (of some kind)"
ROW = Row(name="append", case="64 callers", unit="appends/s", ours=180.0, limit=100.0, limit_name="pgbench")
SLOWER_IS_MORE = Row(name="growth", case="p99", unit="ms", ours=1.0, limit=1.0, limit_name="the small log")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """What an earlier run printed."""
    stored = tmp_path / "baseline.jsonl"
    rows = [ROW, replace(ROW, peer=10.0, peer_name="UmaDB"), SLOWER_IS_MORE]
    stored.write_text("".join(f"{table.as_json(row, machine=MACHINE)}\n" for row in rows))
    return stored


def found(file: Path, *rows: Row, asked: tuple[str, ...] = ("append", "growth")) -> list[str]:
    return [str(each) for each in comparing.worse(rows, comparing.read(file, machine=MACHINE), asked=asked)]


def test_a_ratio_may_be_a_little_worse(file: Path):
    ours = 180.0 * 0.86
    rows = (replace(ROW, ours=ours), replace(ROW, ours=ours, peer=10.0, peer_name="UmaDB"))

    assert [] == found(file, *rows, replace(SLOWER_IS_MORE, ours=1.14))


def test_ratios_that_are_worse_are_named_with_what_they_were(file: Path):
    rows = (replace(ROW, ours=90.0), replace(ROW, peer=20.0, peer_name="UmaDB"))

    assert [
        "append, 64 callers, as it is: 0.9 of limit, was 1.8 (-50 %)",
        "append, 64 callers, as it is, UmaDB: 9 of peer, was 18 (-50 %)",
    ] == found(file, *rows, asked=("append",))


def test_where_less_is_better_more_is_worse(file: Path):
    assert ["growth, p99, as it is: 1.2 of limit, was 1 (+20 %)"] == found(
        file, replace(SLOWER_IS_MORE, ours=1.2), asked=("growth",)
    )
    assert [] == found(file, replace(SLOWER_IS_MORE, ours=0.1), asked=("growth",))


def test_a_row_that_is_gone_is_named_if_its_question_was_asked(file: Path):
    gone = "growth, p99, as it is: in the baseline, and not measured now"

    assert [gone] == found(file, asked=("growth",))
    assert [] == found(file, asked=("relay",))


def test_a_machine_that_is_faster_in_both_is_not_better(file: Path):
    rows = (replace(ROW, ours=400.0, limit=500.0),)

    assert ["append, 64 callers, as it is: 0.8 of limit, was 1.8 (-56 %)"] == found(file, *rows)[:1]


def test_a_baseline_of_another_machine_is_refused_unless_it_is_wanted(file: Path):
    with pytest.raises(UnfitBaseline, match="of another machine: 2 cores"):
        comparing.read(file, machine="64 cores")

    assert 3 == len(comparing.read(file, machine="64 cores", any_machine=True))


@pytest.mark.parametrize("text", ["", "not json\n", '{"name": "append"}\n'])
def test_what_is_no_output_of_a_run_is_refused(tmp_path: Path, text: str):
    file = tmp_path / "baseline.jsonl"
    file.write_text(text)

    with pytest.raises(UnfitBaseline):
        comparing.read(file, machine=MACHINE)


def test_a_baseline_that_does_not_fit_ends_the_command_before_anything_is_measured(file: Path):
    command = [sys.executable, "-m", "benchmarks", "--only", "append", "--compare", str(file)]
    ran = forking.run(command, cwd=ROOT, timeout=300)

    assert 2 == ran.returncode
    assert f"this one is {page.machine()}" in ran.stderr
