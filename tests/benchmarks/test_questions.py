import json
import sys

import pytest

from benchmarks import umadb_peer
from benchmarks.__main__ import QUESTIONS
from tests import forking
from tests.architecture.source import ROOT

RUN_S_MAX = 800

MEMBERS = {
    "name": str,
    "unit": str,
    "ours": float | int,
    "limit": float | int | None,
    "limit_name": str | None,
    "ratio_to_limit": float | int | None,
    "peer": float | int | None,
    "peer_name": str | None,
    "ratio_to_peer": float | int | None,
}

WITH_LIMIT = {"append", "append-hot", "command", "relay", "replay", "growth", "check-only", "audit"}
WITH_PEER = {"append", "boundary", "command", "rebuild", "replay"}
WITH_EITHER = {"read"}


@pytest.fixture(scope="module")
def rows() -> list[dict[str, object]]:
    """What all questions answer at the size at which figures mean nothing."""
    ran = forking.run([sys.executable, "-m", "benchmarks", "--quick", "--json"], cwd=ROOT, timeout=RUN_S_MAX)
    assert 0 == ran.returncode, ran.stderr
    return [json.loads(line) for line in ran.stdout.splitlines()]


@pytest.mark.slow
def test_every_question_is_answered(rows: list[dict[str, object]]):
    answered = {row["name"] for row in rows}

    assert set(QUESTIONS) == answered


def test_every_row_is_one_object_with_the_members_that_scripts_rely_on(rows: list[dict[str, object]]):
    wrong = [
        (row["name"], member)
        for row in rows
        for member, kind in MEMBERS.items()
        if member not in row or not isinstance(row[member], kind)
    ]

    assert [] == wrong


def test_limits_and_peers_are_measured_next_to_ours(rows: list[dict[str, object]]):
    absent = [
        (row["name"], row["case"], what)
        for row in rows
        for what, names in (("limit", WITH_LIMIT), ("peer", WITH_PEER))
        # UmaDB is installed by `make bench` alone: without it the row says that its peer is absent.
        if row["name"] in names
        and not row[what]
        and not (what == "peer" and row["peer_name"] == umadb_peer.NAME)
    ]
    alone = [row["case"] for row in rows if row["name"] in WITH_EITHER and not (row["limit"] or row["peer"])]

    assert ([], []) == (absent, alone)


def test_everything_measured_is_more_than_nothing(rows: list[dict[str, object]]):
    assert [] == [row["case"] for row in rows if not row["ours"]]
