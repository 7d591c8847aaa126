"""Files that cannot be read or written, and ports that are taken: what is printed says so, without a trace."""

import os
import socket
import sys

import pytest

from tests import forking

REFUSED, USAGE, CONFIGURATION = 1, 64, 78


def ended(*arguments, home):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COUNTERFOIL_")}
    return forking.run(
        [sys.executable, "-m", "counterfoil", *map(str, arguments)],
        env={**environment, "COUNTERFOIL_HOME": str(home)},
        timeout=300,
    )


@pytest.fixture
def files(tmp_path):
    """Of each kind a file that holds no password."""
    (tmp_path / "binary").write_bytes(b"s3cret\xff\xfe")
    (tmp_path / "empty").touch()
    (tmp_path / "line").write_text("\n")
    return {
        "nofile": "cannot be read (No such file or directory)",
        ".": "cannot be read (Is a directory)",
        "binary": "is no text in UTF-8",
        "empty": "is empty",
        "line": "is empty",
    }


@pytest.mark.parametrize("command", ["token", "create-owner"])
def test_a_file_without_a_password_is_said(tmp_path, files, command):
    for name, words in files.items():
        path = tmp_path / name
        found = ended("account", command, "--email", "a@example.org", "--password-file", path, home=tmp_path)

        assert REFUSED == found.returncode
        assert found.stderr.startswith(f"counterfoil: --password-file {path} {words}")
        assert 1 == len(found.stderr.splitlines())


def test_a_home_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").touch()
    found = ended("up", home=tmp_path / "file" / "home")

    assert CONFIGURATION == found.returncode
    assert "counterfoil: COUNTERFOIL_HOME: " in found.stderr
    assert "set it to a directory that you may write to" in found.stderr
    assert "Traceback" not in found.stderr


@pytest.mark.parametrize("party", ["carrier", "payments"])
def test_a_ledger_that_cannot_be_written_is_said(tmp_path, party):
    for path in (tmp_path / "nofolder" / "ledger", tmp_path):
        found = ended("simulate", party, "--ledger", path, home=tmp_path)

        assert USAGE == found.returncode
        assert "--ledger" in found.stderr
        assert "cannot be written" in " ".join(found.stderr.replace("│", " ").split())
        assert "Traceback" not in found.stderr


@pytest.mark.parametrize("party", ["carrier", "payments"])
def test_a_file_that_is_no_ledger_is_said_and_left_as_it_is(tmp_path, party):
    other = tmp_path / "notes"
    other.write_text("# Notes\nof somebody")
    found = ended("simulate", party, "--ledger", other, home=tmp_path)

    assert REFUSED == found.returncode
    assert found.stderr.startswith(f"counterfoil: {other} is no ledger of this simulator")
    assert 1 == len(found.stderr.splitlines())
    assert "# Notes\nof somebody" == other.read_text()


def test_a_port_that_is_in_use_is_said_by_simulators_and_witnesses_too(tmp_path):
    assert 0 == ended("witness", "create", tmp_path / "w", "--name", "w.example", home=tmp_path).returncode
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for command in (
            ("simulate", "carrier", "--ledger", tmp_path / "labels"),
            ("simulate", "payments", "--ledger", tmp_path / "paid"),
            ("witness", "serve", tmp_path / "w"),
        ):
            found = ended(*command, "--port", port, home=tmp_path)

            assert REFUSED == found.returncode
            assert found.stderr.startswith(
                f"counterfoil: nothing can listen at 127.0.0.1:{port}: Address already"
            )
            assert 1 == len(found.stderr.splitlines())
