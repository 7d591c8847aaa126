"""A stranger's machine finds nothing of ours, and every test that exists is run."""

from pathlib import Path

import pytest

from tests.architecture import strangers
from tests.architecture.source import ROOT, broken, kept_files, planted, surroundings

ABOUT_TRACES = {ROOT / "tests/architecture/strangers.py", ROOT / "tests/architecture/test_strangers.py"}


def test_no_file_holds_a_trace_of_the_machine_it_was_written_on():
    found = [trace for path in kept_files() if path not in ABOUT_TRACES for trace in strangers.traces(path)]

    assert "" == "\n".join(found)


@pytest.mark.parametrize(
    "text",
    [
        "FILE = '/root/data.csv'",
        "see /home/somebody/notes",
        "--extra-index-url http://index",
        "repository = 'https://repo.maven.example'",
        "host 192.168.1.17",
        f"cd {ROOT}",
    ],
)
def test_a_trace_is_found(text: str, tmp_path: Path):
    path = tmp_path / "planted.txt"
    path.write_text(text)

    assert list(strangers.traces(path))


def test_nothing_is_left_for_later():
    found = [mark for path in kept_files() if path not in ABOUT_TRACES for mark in strangers.unfinished(path)]

    assert "" == "\n".join(found)


@pytest.mark.parametrize("text", ["# TODO: later", "<<<<<<< ours", "=======\n"])
def test_a_mark_of_unfinished_work_is_found(text: str, tmp_path: Path):
    path = tmp_path / "planted.txt"
    path.write_text(text)

    assert list(strangers.unfinished(path))


def test_every_test_is_run():
    assert "" == broken(strangers.tests_not_run, among=surroundings())


@pytest.mark.parametrize(
    "text",
    [
        "@pytest.mark.skip\ndef test_x(): ...",
        "@pytest.mark.skipif(True, reason='')\ndef test_x(): ...",
        "@pytest.mark.xfail(strict=True)\ndef test_x(): ...",
        "def test_x():\n    pytest.skip('no server')",
        "redis = pytest.importorskip('redis')",
        "from pytest import mark",
        "@unittest.skip('later')\ndef test_x(): ...",
        "def test_x(self):\n    self.skipTest('no server')",
    ],
)
def test_a_test_that_may_not_run_is_found(text: str):
    assert planted(strangers.tests_not_run, text, path="tests/test_planted.py")


def test_our_own_code_is_not_mocked():
    assert "" == broken(strangers.own_code_mocked, among=surroundings())


@pytest.mark.parametrize(
    "text",
    [
        "from unittest.mock import Mock",
        "from unittest import mock",
        "import unittest.mock",
        "def test_x(mocker): ...",
    ],
)
def test_a_mock_is_found(text: str):
    assert planted(strangers.own_code_mocked, text, path="tests/test_planted.py")
