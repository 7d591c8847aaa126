"""`counterfoil log fence` says what it is about to do and acts only when it was given the reason and the consent."""

import pytest

from event_store.log import reading
from runtime import database
from tests.counterfoil import commanding


@pytest.fixture
def epoch(database_url):
    """The log's epoch, when it is asked for."""

    def read():
        with database.connect(database_url, role="counterfoil_reader", name="test") as conn:
            return reading.head(conn).epoch

    return read


def fence(tmp_path, database_url, *arguments):
    return commanding.run(tmp_path, "log", "fence", *arguments, database_url=database_url)


@pytest.mark.parametrize("arguments", [(), ("--yes",), ("--reason", "restored")])
def test_without_a_terminal_reason_and_confirmation_are_needed(tmp_path, database_url, epoch, arguments):
    result = fence(tmp_path, database_url, *arguments)

    assert 1 == result.exit_code
    assert "log at " in result.stdout
    assert "epoch 1, generation 1, head 0" in result.stdout
    assert "a fence begins epoch 2 and generation 2 at position 1" in result.stdout
    assert "nothing was fenced" in result.stderr
    assert 1 == epoch()


def test_with_both_it_fences_and_says_what_it_did(tmp_path, database_url, epoch):
    result = fence(tmp_path, database_url, "--reason", "restored", "--yes", "--as", "jo")

    assert (0, 2) == (result.exit_code, epoch())
    assert "epoch 2 and generation 2 begin at position 1" in result.stdout
    with database.connect(database_url, role="counterfoil_reader", name="test") as conn:
        assert ("restored (operator:jo)",) == conn.execute(
            "select reason from log.epoch where epoch = 2"
        ).fetchone()


@pytest.mark.parametrize(("answers", "expected"), [("restored\ny\n", (0, 2)), ("restored\nn\n", (1, 1))])
def test_on_a_terminal_it_asks(tmp_path, database_url, epoch, monkeypatch, answers, expected):
    monkeypatch.setattr("counterfoil.cli.log._has_a_person", lambda: True)
    result = commanding.run(tmp_path, "log", "fence", database_url=database_url, given=answers)

    assert expected == (result.exit_code, epoch())
    assert "fence the log?" in result.stdout
